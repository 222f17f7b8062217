"""Put a trained base model into the package: float16 safetensors, tokenizer and configuration.

    python scripts/mini/export_base.py runs/mini-base/model -o src/translora/mini/model
    python scripts/mini/export_base.py runs/mini-base-5/model --average src/translora/mini/model 0.3 -o averaged

With `--average` the weights are those of both models, the second with the share that is given: of two stages of one
training the average often generalises better than either (WiSE-FT, Wortsman et al. 2022).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel

from translora.io.files import read_json, write_json

LOADING = ("is_local", "local_files_only")
"""How a tokenizer was loaded, which transformers saves with its settings."""


def weights_in(folder: Path) -> PreTrainedModel:
    """The model in `folder`, in float32; ends the program where there is none."""
    if not (folder / "config.json").is_file():
        raise SystemExit(f"{folder}: no model is there (no config.json)")
    return AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)


def average(model: PreTrainedModel, folder: str, share: str) -> None:
    """Move the weights of `model` towards those of the model in `folder`: by 0 not at all, by 1 to them."""
    if not (re.fullmatch(r"\d*\.?\d+", share) and float(share) <= 1):
        raise SystemExit(f"--average: the share is a number between 0 and 1, not {share}")
    other = weights_in(Path(folder))
    theirs = dict(other.named_parameters())
    if {name: p.shape for name, p in theirs.items()} != {name: p.shape for name, p in model.named_parameters()}:
        raise SystemExit(f"--average: {folder} is a model of another shape")
    for name, parameter in model.named_parameters():
        parameter.data.lerp_(theirs[name].data, float(share))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the folder of the trained model")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--average", nargs=2, metavar=("MODEL", "SHARE"), help="another stage of it, and its share")
    arguments = parser.parse_args()
    model = weights_in(arguments.model)
    if arguments.average:
        average(model, *arguments.average)
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
