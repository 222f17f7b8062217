"""The kinds of layers, by the names that the model families give them. Loads no model."""

from __future__ import annotations

from typing import Literal

from translora.models.families import ALSO_CALLED, ATTENTION, FEED_FORWARD

Kind = Literal["attention", "feed_forward", "embeddings", "norms", "position_bias", ""]
"""The kind of a layer; empty for one of none of them."""

EMBEDDINGS = ("shared", "embed_tokens", "lm_head")
"""The names of the embeddings, and of the head, which may be the same weight."""
POSITION_BIAS = "relative_attention_bias"
_ATTENTION = {*ATTENTION, *(ALSO_CALLED[name] for name in ATTENTION)}


def kind_of(name: str) -> Kind:
    """The kind of the module or parameter `name`, a dotted name that may be one in an adapter."""
    parts = name.split(".")
    if any(part in EMBEDDINGS for part in parts):
        return "embeddings"
    if POSITION_BIAS in parts:
        return "position_bias"
    if any("layer_norm" in part or "layernorm" in part for part in parts):
        return "norms"
    if any(part in FEED_FORWARD for part in parts):
        return "feed_forward"
    return "attention" if any(part in _ATTENTION for part in parts) else ""
