"""Put a trained base model into the package: float16 safetensors, tokenizer and configuration.

python scripts/mini/export_base.py runs/mini-base/model -o src/translora/mini/model
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from translora.io.files import read_json, write_json

LOADING = ("is_local", "local_files_only")
"""How a tokenizer was loaded, which transformers saves with its settings."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the folder of the trained model")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    model = AutoModelForSeq2SeqLM.from_pretrained(arguments.model, dtype=torch.float32)
    largest = max(float(p.detach().abs().max()) for p in model.parameters())
    if largest > torch.finfo(torch.float16).max / 8:
        raise SystemExit(f"a weight of {largest:.0f} is too near the end of float16")
    model.half().save_pretrained(arguments.output)
    AutoTokenizer.from_pretrained(arguments.model).save_pretrained(arguments.output)
    settings = arguments.output / "tokenizer_config.json"
    write_json(settings, {key: value for key, value in read_json(settings).items() if key not in LOADING})
    size = sum(file.stat().st_size for file in arguments.output.iterdir())
    print(f"{model.num_parameters():,} parameters, largest {largest:.1f}, {size / 1e6:.1f} MB in {arguments.output}")


if __name__ == "__main__":
    main()
