"""Frozen weights in 8 or 4 bits by bitsandbytes, under an adapter in full precision (QLoRA).

int8 is LLM.int8() (Dettmers et al. 2022, https://arxiv.org/abs/2208.07339), nf4 is the 4-bit NormalFloat of QLoRA
(Dettmers et al. 2023, https://arxiv.org/abs/2305.14314) with quantised scales. Embeddings, the head and T5's `wo`,
which overflows in short types, keep their type.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterable
from typing import Any, Literal

import torch

from translora.errors import ConfigError

Quantise = Literal["off", "int8", "nf4"]

_BYTES = {"int8": 1.0, "nf4": 0.516}
"""Bytes of a quantised weight with its scales: one in 64 of 8 bits for nf4, itself scaled by one in 256 of 32 bits."""
_KEPT = re.compile(r"(^|\.)(shared|embed_tokens|embed_positions|lm_head|wo|relative_attention_bias)\.")
"""Matrices that keep their type."""


def require_library(what: str) -> None:
    """Raise `ConfigError` where bitsandbytes is not installed, which `what` needs."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(f'{what}: bitsandbytes is not installed: pip install "translora[quantise]"')


def settings(kind: Quantise, dtype: torch.dtype) -> Any:
    """What transformers needs to load weights as `kind`, and to compute their products in `dtype`; None for `off`.

    Raises `ConfigError` where bitsandbytes is not installed.
    """
    if kind == "off":
        return None
    require_library(f"quantise {kind}")
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def keep_gradients(model: torch.nn.Module) -> None:
    """Have quantised layers compute in training what they compute in evaluation.

    On a CPU with AVX512-BF16 bitsandbytes packs 4-bit weights anew at the first evaluation, and its product with packed
    weights has no gradient: the adapters below it would no longer learn.
    """
    layers: Iterable[Any] = model.modules()
    for module in layers:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def is_quantised(model: torch.nn.Module) -> bool:
    """Whether `model` has weights that bitsandbytes quantised."""
    return any(hasattr(p, "quant_state") or p.dtype == torch.int8 for p in model.parameters())


def numbers(parameter: torch.Tensor) -> int:
    """How many weights `parameter` holds: bitsandbytes packs two of 4 bits in a byte."""
    state = getattr(parameter, "quant_state", None)
    return math.prod(state.shape) if state is not None else parameter.numel()


def stored_bytes(name: str, size: list[int], kind: Quantise, dtype: torch.dtype) -> float:
    """The bytes that the weight `name` of the shape `size` takes once it is loaded."""
    quantised = kind != "off" and len(size) == 2 and not _KEPT.search(name)
    return math.prod(size) * (_BYTES[kind] if quantised else dtype.itemsize)
