"""A fast T5: the forward pass of a loaded transformers model, with its PEFT adapters, over real tokens only.

The modules stay those of transformers and PEFT, which also save them. This file reads their weights and does the
arithmetic in another way:

- Padding is left out. The tokens of a batch lie packed in one matrix, shape (tokens, width); only attention, which
  works inside sentences, lays them out in padded rows.
- Norm, projections and adapters of a sublayer are one autograd function (`layers.py`). It saves its input but
  not the normed input, which the backward pass recomputes, and computes no gradient of a frozen weight.
- The head never sees padding, and its logits are never saved (`loss.py`).

It covers T5 1.0 and 1.1, FLAN-T5, mT5, ByT5, UMT5 and MADLAD-400. An adapter that is more than a plain LoRA (DoRA,
dropout on its input) is called as the module that it is. Forward hooks of inner modules are not run.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.utils.checkpoint import checkpoint

from translora.models.t5.attention import attention
from translora.models.t5.layers import gated_gelu, project, rms_norm
from translora.models.t5.layout import Layout

_MODEL_TYPES = ("t5", "mt5", "umt5")


def is_t5(model: torch.nn.Module) -> bool:
    """Whether `model` is of the T5 architecture."""
    return cast(Any, model).config.model_type in _MODEL_TYPES


def why_not(model: torch.nn.Module) -> str:
    """Why the fast path cannot take `model`; empty where it can."""
    if not is_t5(model):
        return f"the architecture is {cast(Any, model).config.model_type}, not T5"
    return ""


def encoder_states(model: torch.nn.Module, source: tuple[torch.Tensor, Layout], dtype: torch.dtype) -> torch.Tensor:
    """The encoder's output, one state per real source token, shape (source tokens, width), in `dtype`.

    `source` are token ids of shape (tokens,) with their layout.
    """
    return _stack(_base(model).encoder, source[0], source[1], dtype)


def decoder_states(
    model: torch.nn.Module,
    encoded: tuple[torch.Tensor, Layout],
    target: tuple[torch.Tensor, Layout],
    dtype: torch.dtype,
) -> torch.Tensor:
    """The input of the head, one state per real target token, shape (target tokens, width), scaled as T5 1.0 needs.

    `encoded` are the `encoder_states` with their layout; `target` are the token ids of the decoder's input, shape
    (tokens,), with theirs. Matrix products are computed in `dtype`.
    """
    base = _base(model)
    states = _stack(base.decoder, target[0], target[1], dtype, *encoded)
    return states * base.config.d_model**-0.5 if scales_output(base.config) else states


def _base(model: torch.nn.Module) -> Any:
    return cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model


def scales_output(config: Any) -> bool:
    """Whether the decoder's states are scaled before the head, by the rule of each family's own forward pass."""
    if config.model_type == "t5":
        return bool(config.scale_decoder_outputs)
    return config.model_type == "umt5" and bool(config.tie_word_embeddings)


def _stack(
    stack: Any,
    ids: torch.Tensor,
    layout: Layout,
    dtype: torch.dtype,
    encoded: torch.Tensor | None = None,
    source: Layout | None = None,
) -> torch.Tensor:
    """Run the encoder or decoder: token ids (tokens,) to states (tokens, width), after the final norm."""
    x = stack.dropout(stack.embed_tokens(ids))
    bias = StackBias(layout, causal=encoded is not None)
    across = source.padding_bias(dtype) if source is not None else None
    for block in stack.block:

        def run(x: torch.Tensor, encoded: torch.Tensor | None, block: Any = block) -> torch.Tensor:
            return _block(block, x, layout, bias, dtype, encoded, source, across)

        if stack.training and block.gradient_checkpointing:
            x = cast(torch.Tensor, checkpoint(run, x, encoded, use_reentrant=False))
        else:
            x = run(x, encoded)
    norm = stack.final_layer_norm
    return cast(torch.Tensor, stack.dropout(rms_norm(x, norm.weight, norm.variance_epsilon).to(dtype)))


class StackBias:
    """The bias of a stack's attention scores: relative positions, and minus infinity at masked positions.

    T5 computes it once, in the first block; UMT5 computes one in each block.
    """

    def __init__(self, layout: Layout, causal: bool) -> None:
        self._layout, self._causal = layout, causal
        self._last: torch.Tensor | None = None

    def of(self, module: Any, dtype: torch.dtype) -> torch.Tensor:
        """The bias for the attention `module`, shape (pairs or 1, heads, longest, longest)."""
        if self._last is None or module.has_relative_attention_bias:
            longest = self._layout.longest
            bias = module.compute_bias(longest, longest).to(dtype)
            if self._causal:  # padding follows a target's end, so the causal mask hides it too
                ahead = torch.ones(longest, longest, dtype=torch.bool, device=bias.device).triu(1)
                bias = bias.masked_fill(ahead, -torch.inf)
            elif self._layout.padding is not None:
                bias = bias.masked_fill(self._layout.padding, -torch.inf)
            self._last = bias
        return self._last


def _block(
    block: Any,
    x: torch.Tensor,
    layout: Layout,
    bias: StackBias,
    dtype: torch.dtype,
    encoded: torch.Tensor | None,
    source: Layout | None,
    across: torch.Tensor | None,
) -> torch.Tensor:
    """Self-attention, attention to the source in a decoder, feed-forward; each added to its input."""
    layer = block.layer[0]
    attend = layer.SelfAttention
    q, k, v = project(x, (attend.q, attend.k, attend.v), dtype, layer.layer_norm)
    mixed = _attend(attend, (q, k, v), bias.of(attend, dtype), (layout, layout))
    x = _add(x, mixed, attend.o, layer.dropout)
    if encoded is not None and source is not None:
        layer = block.layer[1]
        attend = layer.EncDecAttention
        (q,) = project(x, (attend.q,), dtype, layer.layer_norm)
        k, v = project(encoded, (attend.k, attend.v), dtype)
        mixed = _attend(attend, (q, k, v), across, (layout, source))
        x = _add(x, mixed, attend.o, layer.dropout)
    layer = block.layer[-1]
    return _add(x, _feed_forward(layer, x, dtype), layer.DenseReluDense.wo, layer.dropout)


def _attend(
    module: Any,
    qkv: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    bias: torch.Tensor | None,
    layouts: tuple[Layout, Layout],
) -> torch.Tensor:
    return attention(*qkv, bias, *layouts, module.n_heads, module.dropout if module.training else 0.0)


def _feed_forward(layer: Any, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The norm and the inner part of the feed-forward layer: the input of `wo`."""
    dense = layer.DenseReluDense
    if not hasattr(dense, "wi_0"):
        (inner,) = project(x, (dense.wi,), dtype, layer.layer_norm)
        made = dense.act(inner)
    else:
        gate, inner = project(x, (dense.wi_0, dense.wi_1), dtype, layer.layer_norm)
        known = type(dense.act).__name__ == "NewGELUActivation"
        made = gated_gelu(gate, inner) if known else dense.act(gate) * inner
    return cast(torch.Tensor, dense.dropout(made))


def _add(x: torch.Tensor, inner: torch.Tensor, module: Any, dropout: Any) -> torch.Tensor:
    """`x` plus the projection of `inner` by `module`."""
    if (dropout.training and dropout.p) or x.dtype != inner.dtype:
        return x + cast(torch.Tensor, dropout(project(inner, (module,), inner.dtype)[0]))
    return project(inner, (module,), inner.dtype, residual=x)[0]
