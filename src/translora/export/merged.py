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

    Raises `ModelError` where transformers could not load it: its T5 classes have one embedding for encoder and
    decoder, and an adapter of the embeddings gives each its own.
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
    """The factor by which the logits of `plain`, as transformers loaded it, differ from those of `model`.

    Releases before 5.24 treat the head of every UMT5 as tied and scale its logits by width**-0.5. Greedy texts stay
    the same, but beam scores change. The factor is 1 for all other models.
    """
    wrong = scales_output(plain.config) and not scales_output(model.config)
    return float(plain.config.d_model**-0.5) if wrong else 1.0


def load_plain(folder: Path, like: PreTrainedModel) -> PreTrainedModel:
    """The model in `folder` as transformers alone loads it, on the device and of the dtype of `like`."""
    with quiet_transformers():
        model: PreTrainedModel = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=like.dtype, use_safetensors=True)
    return model.to(device=like.device).eval()
