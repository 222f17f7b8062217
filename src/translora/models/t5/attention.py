"""T5's attention of packed tokens."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import torch
from torch.autograd import Function
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from translora.models.t5.layout import Layout, Shape, pad_tokens, unpad_tokens

_LONGEST_MATERIALISED = 256
"""Up to this length, in tokens, attention that saves its probabilities is faster on a CPU and takes little memory."""
_GPU_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All but cuDNN's, which torch prefers on new GPUs and which plans anew for each shape: most batches have their own."""


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    queries: Layout,
    keys: Layout,
    heads: int,
    dropout: float = 0.0,
) -> torch.Tensor:
    """T5's attention (scores are not scaled) of packed tokens; `q`, `k`, `v` and the result are (tokens, heads * size).

    `bias` is added to the scores; its shape must broadcast to (pairs, heads, longest query, longest key).
    `dropout` is the probability of dropping an attention weight.
    """
    rows = queries.rows(heads), keys.rows(heads)
    shapes = (queries.pairs, heads, queries.longest), (keys.pairs, heads, keys.longest)
    if q.device.type == "cpu" and max(queries.longest, keys.longest) <= _LONGEST_MATERIALISED and not dropout:
        return cast(torch.Tensor, _Attention.apply(q, k, v, bias, *rows, *shapes))
    q, k, v = (_Pad.apply(tensor, rows[side], shapes[side]) for tensor, side in ((q, 0), (k, 1), (v, 1)))
    with sdpa_kernel(_GPU_KERNELS) if q.is_cuda else nullcontext():
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout, scale=1.0)
    return cast(torch.Tensor, _Unpad.apply(mixed, rows[0]))


class _Pad(Function):
    @staticmethod
    def forward(ctx: Any, packed: torch.Tensor, rows: torch.Tensor, shape: Shape) -> torch.Tensor:
        ctx.save_for_backward(rows)
        return pad_tokens(packed, rows, shape)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (rows,) = ctx.saved_tensors
        return unpad_tokens(grads[0], rows), None, None


class _Unpad(Function):
    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = padded.shape[:3]
        return unpad_tokens(padded, rows)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (rows,) = ctx.saved_tensors
        return pad_tokens(grads[0], rows, ctx.shape), None


class _Attention(Function):
    """Attention that saves its probabilities: for short sentences, fewer and larger products than a tiled kernel."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        bias: torch.Tensor | None,
        query_rows: torch.Tensor,
        key_rows: torch.Tensor,
        query_shape: Shape,
        key_shape: Shape,
    ) -> torch.Tensor:
        q, k, v = (
            pad_tokens(q, query_rows, query_shape),
            pad_tokens(k, key_rows, key_shape),
            pad_tokens(v, key_rows, key_shape),
        )
        scores = torch.matmul(q, k.transpose(-1, -2))
        if bias is not None:
            scores += bias
        shares = torch.softmax(scores, -1, out=scores)
        ctx.save_for_backward(q, k, v, shares, query_rows, key_rows)
        ctx.shapes = query_shape, key_shape
        ctx.bias_shape = None if bias is None else bias.shape
        return unpad_tokens(torch.matmul(shares, v), query_rows)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, shares, query_rows, key_rows = ctx.saved_tensors
        grad = pad_tokens(grads[0], query_rows, ctx.shapes[0])
        of_v = torch.matmul(shares.transpose(-1, -2), grad)
        of_shares = torch.matmul(grad, v.transpose(-1, -2))
        of_scores = torch.ops.aten._softmax_backward_data(of_shares, shares, -1, shares.dtype)
        of_bias = of_scores.sum_to_size(ctx.bias_shape) if ctx.needs_input_grad[3] else None
        of_q, of_k = torch.matmul(of_scores, k), torch.matmul(of_scores.transpose(-1, -2), q)
        packed = unpad_tokens(of_q, query_rows), unpad_tokens(of_k, key_rows), unpad_tokens(of_v, key_rows)
        return *packed, of_bias, None, None, None, None
