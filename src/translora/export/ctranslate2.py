"""A merged model in CTranslate2's format, converted from memory, with its tokenizer beside it.

CTranslate2's converter for T5 scales the logits by width**-0.5 where `tie_word_embeddings` is set. transformers 5 sets
that flag on every T5, and decides by `scale_decoder_outputs` instead. `convert` therefore gives the converter a
configuration whose flag says what the model does.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

from translora.errors import ConfigError
from translora.models.load import LoadedModel, quiet_transformers
from translora.models.t5.forward import is_t5, scales_output
from translora.translation.exported import compute_types, engine_library

COMPUTE = ("float32", "int8", "int8_float16", "int8_bfloat16", "float16", "bfloat16")
"""The types that weights can be stored in, as CTranslate2 names them."""


def require_compute(compute: str, device: str) -> None:
    """Raise `ConfigError` for a type that CTranslate2 does not have, or that this machine cannot compute with."""
    if compute not in COMPUTE:
        raise ConfigError(f"--compute {compute}: use one of {', '.join(COMPUTE)}")
    able = compute_types(device)
    if compute not in able:
        raise ConfigError(
            f"--compute {compute}: CTranslate2 cannot compute with it on this machine's {device}, so the export could "
            f"not be tried: use one of {', '.join(name for name in COMPUTE if name in able)}"
        )


def convert(loaded: LoadedModel, folder: Path, compute: str) -> None:
    """Write the model in CTranslate2's format, with weights of type `compute`, and its tokenizer into `folder`.

    Raises `ConfigError` for a model that is not of the T5 architecture.
    """
    if not is_t5(loaded.model):
        raise ConfigError(f"{loaded.name}: only models of the T5 architecture are converted: use --format merged")
    engine_library()
    from ctranslate2.converters.transformers import TransformersConverter

    class Converter(TransformersConverter):
        """Takes the model and the tokenizer from memory."""

        def load_model(self, *_: Any, **__: Any) -> Any:
            return loaded.model

        def load_tokenizer(self, *_: Any, **__: Any) -> Any:
            return loaded.tokenizer

    config = loaded.model.config
    loaded.model.config = copy.deepcopy(config)
    loaded.model.config.tie_word_embeddings = scales_output(config)
    try:
        with quiet_transformers(), tempfile.TemporaryDirectory() as shape:
            config.save_pretrained(shape)
            Converter(shape).convert(str(folder), quantization=compute, force=True)  # makes the folder anew
            loaded.tokenizer.save_pretrained(folder)
    finally:
        loaded.model.config = config
