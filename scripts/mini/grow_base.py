"""Start a new base model from an older one: more layers and another vocabulary, nearly the same function.

python scripts/mini/grow_base.py src/translora/mini/model shape -o start

`shape` is the new model's folder of configuration and tokenizer, which build_base.py makes. Pieces of both vocabularies
keep their embedding; another piece gets the mean of the embeddings of what the older tokenizer cuts it into; pieces
that it cannot write get small random ones. Added layers are copies of the last one whose outputs are scaled down, so
that training begins near where the older model ended (after Net2Net, Chen, Goodfellow and Shlens 2016).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from translora.models.load import quiet_transformers

QUIET = 0.1
"""By how much the outputs of an added layer are scaled."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="the folder of the older model")
    parser.add_argument("shape", type=Path, help="the folder of the new configuration and tokenizer")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    with quiet_transformers():
        old = AutoModelForSeq2SeqLM.from_pretrained(arguments.old, dtype=torch.float32)
        new = AutoModelForSeq2SeqLM.from_config(AutoConfig.from_pretrained(arguments.shape))
        tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (arguments.old, arguments.shape)]
    kept = grow(old, new, *tokenizers)
    with quiet_transformers():
        new.save_pretrained(arguments.output)
        tokenizers[1].save_pretrained(arguments.output)
    print(f"{new.num_parameters():,} parameters; {kept:,} of {len(tokenizers[1]):,} pieces keep their embedding")


@torch.no_grad()
def grow(
    old: PreTrainedModel,
    new: PreTrainedModel,
    old_tokenizer: PreTrainedTokenizerBase,
    new_tokenizer: PreTrainedTokenizerBase,
) -> int:
    """Copy what `old` knows into `new`; returns how many pieces keep their embedding."""
    for side in ("encoder", "decoder"):
        before, after = getattr(old, side), getattr(new, side)
        for number, block in enumerate(after.block):
            source = before.block[min(number, len(before.block) - 1)]
            block.load_state_dict(source.state_dict(), strict=number < len(before.block))
            if number >= len(before.block):
                for layer in block.layer:
                    part = getattr(layer, "SelfAttention", None) or getattr(layer, "EncDecAttention", None)
                    (part.o if part else layer.DenseReluDense.wo).weight.mul_(QUIET)
        after.final_layer_norm.load_state_dict(before.final_layer_norm.state_dict())
    return _embed(old, new, old_tokenizer, new_tokenizer)


def _embed(
    old: PreTrainedModel,
    new: PreTrainedModel,
    old_tokenizer: PreTrainedTokenizerBase,
    new_tokenizer: PreTrainedTokenizerBase,
) -> int:
    known, weights = old_tokenizer.get_vocab(), old.get_input_embeddings().weight
    rows = new.get_input_embeddings().weight
    rows.normal_(std=float(weights.std()))
    kept = 0
    for piece, row in new_tokenizer.get_vocab().items():
        if piece in known:
            rows[row] = weights[known[piece]]
            kept += 1
            continue
        parts = old_tokenizer(piece.replace("▁", " "), add_special_tokens=False)["input_ids"]
        if parts and old_tokenizer.unk_token_id not in parts and not piece.startswith("<ph"):
            rows[row] = weights[parts].mean(0)
    return kept


if __name__ == "__main__":
    main()
