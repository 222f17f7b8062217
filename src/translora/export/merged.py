"""A merged model as one folder of safetensors, which plain transformers loads."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from translora.errors import ModelError
from translora.models.load import LoadedModel, quiet_transformers
from translora.models.t5.forward import scales_output


def save_merged(loaded: LoadedModel, folder: Path) -> None:
    """Write the model and its tokenizer into `folder`.

    Raises `ModelError` where transformers has no way to load it: T5's classes know one embedding for both sides, and
    an adapter of the embeddings gives each its own.
    """
    model = loaded.model
    sides = [side.get_input_embeddings().weight for side in (model.get_encoder(), model.get_decoder())]
    if model.config.model_type in ("t5", "mt5", "umt5") and not torch.equal(*sides):
        raise ModelError(
            "the adapter changed the embeddings of encoder and decoder, each in its own way, and transformers keeps "
            "one for both: use --format ctranslate2, or the adapter as it is"
        )
    with quiet_transformers():
        model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)


def scale_by_transformers(model: PreTrainedModel, plain: PreTrainedModel) -> float:
    """By how much transformers scales the logits of `plain`, which it loaded itself, against those of `model`.

    Releases before 5.24 take every UMT5 for one whose head is tied, and scale its logits by width**-0.5: the texts of
    greedy decoding are the same, the scores of beams are not. 1 for all others.
    """
    wrong = scales_output(plain.config) and not scales_output(model.config)
    return float(plain.config.d_model**-0.5) if wrong else 1.0


def load_plain(folder: Path, like: PreTrainedModel) -> PreTrainedModel:
    """The model in `folder` as transformers alone loads it, on the device and of the dtype of `like`."""
    with quiet_transformers():
        model: PreTrainedModel = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=like.dtype, use_safetensors=True)
    return model.to(device=like.device).eval()
