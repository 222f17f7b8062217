"""The arithmetic of single layers of packed tokens: projections with LoRA, norm, gated GELU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch.autograd import Function
from torch.nn import functional


class PlainLayer(NamedTuple):
    """A linear layer without a bias, and its LoRA where it has one: x W^T + scale x A^T B^T."""

    weight: torch.Tensor
    """W, shape (out, in)."""
    a: torch.Tensor | None = None
    """A, shape (rank, in)."""
    b: torch.Tensor | None = None
    """B, shape (out, rank)."""
    scale: float = 0.0


def plain_layer(module: torch.nn.Module) -> PlainLayer | None:
    """`module` as a `PlainLayer`, or `None` where it computes more than that and must be called itself."""
    lora: Any = module if isinstance(module, LoraLinear) else None
    base: Any = module if lora is None else lora.base_layer
    if type(base) is not torch.nn.Linear or getattr(base, "bias", None) is not None:
        return None
    if lora is None or lora.disable_adapters or lora.merged:
        return PlainLayer(base.weight)
    names = [name for name in lora.active_adapters if name in lora.lora_A]
    if not names:
        return PlainLayer(base.weight)
    (name, *others) = names
    dropout = lora.lora_dropout[name]
    drops = lora.training and getattr(dropout, "p", 0.0) > 0
    if others or drops or name in lora.lora_variant or lora.lora_bias[name] or lora.fan_in_fan_out:
        return None
    a, b = (cast(torch.nn.Linear, side[name]).weight for side in (lora.lora_A, lora.lora_B))
    return PlainLayer(base.weight, a, b, float(lora.scaling[name]))


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """T5's norm: `x` (tokens, width) over its root mean square, times `weight` (Zhang & Sennrich 2019)."""
    return cast(torch.Tensor, _Project.apply(x, weight, epsilon, None, (), x.dtype)[0])


def project(
    x: torch.Tensor,
    modules: Sequence[torch.nn.Module],
    dtype: torch.dtype,
    norm: Any = None,
    residual: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """Apply `norm`, if given, and then each of `modules` to `x` (tokens, in); each result is (tokens, out) in `dtype`.

    `residual` is added to the result of a single module.
    """
    layers = [plain_layer(module) for module in modules]
    weight, epsilon = (norm.weight, norm.variance_epsilon) if norm is not None else (None, 0.0)
    plain = [layer for layer in layers if layer is not None]
    if len(plain) < len(layers):
        normed = (x if weight is None else rms_norm(x, weight, epsilon)).to(dtype)
        outputs = tuple(cast(torch.Tensor, module(normed)).to(dtype) for module in modules)
        return outputs if residual is None else (residual + outputs[0],)
    scales = tuple(layer.scale for layer in plain)
    tensors = [tensor for layer in plain for tensor in layer[:3]]
    return cast(tuple[torch.Tensor, ...], _Project.apply(x, weight, epsilon, residual, scales, dtype, *tensors))


class _Inputs(NamedTuple):
    """One value for each argument of `_Project.forward` that precedes the tensors of the layers."""

    x: Any
    norm: Any
    epsilon: Any
    residual: Any
    scales: Any
    dtype: Any


class _Slots(NamedTuple):
    """One value for each of the three tensors of one layer."""

    weight: Any
    a: Any
    b: Any


def _by_layer(values: Sequence[Any]) -> list[_Slots]:
    """Group `values` by layer; each layer has three."""
    return [_Slots(*values[start : start + 3]) for start in range(0, len(values), 3)]


class _Project(Function):
    """Norm, linear layers and adapters of one sublayer; without layers, the norm alone.

    Saves the input, one number per token and the rank-wide products; the backward pass recomputes the normed input.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        norm: torch.Tensor | None,
        epsilon: float,
        residual: torch.Tensor | None,
        scales: tuple[float, ...],
        dtype: torch.dtype,
        *tensors: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        inverse = None if norm is None else _inverse_rms(x, epsilon)
        y = _normed(x, norm, inverse, dtype)
        outputs: list[torch.Tensor] = []
        narrow: list[torch.Tensor | None] = []
        for scale, layer in zip(scales, _by_layer(tensors), strict=True):
            weight, a, b = (None if t is None else t.to(dtype) for t in layer)
            assert weight is not None
            out = torch.mm(y, weight.t()) if residual is None else torch.addmm(residual, y, weight.t())
            thin = None if a is None else torch.mm(y, a.t())
            if thin is not None and b is not None:
                out.addmm_(thin, b.t(), alpha=scale)
            narrow.append(thin)
            outputs.append(out)
        ctx.scales, ctx.dtype = scales, dtype
        needs, needed = _needs(ctx)
        trained = any(map(any, needed))
        kept = x if trained or (norm is not None and (needs.x or needs.norm)) else None
        ctx.save_for_backward(kept, norm, inverse, *tensors, *narrow)
        return tuple(outputs) if scales else (y.clone() if y is x else y,)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of the trained tensors, and of the input where it needs one."""
        x, norm, inverse, *rest = ctx.saved_tensors
        needs, needed = _needs(ctx)
        count = len(needed)
        layers, narrow = _by_layer(rest[: 3 * count]), rest[3 * count :]
        passes_on = needs.x or needs.norm
        trained = any(map(any, needed))
        y = _normed(x, norm, inverse, ctx.dtype) if trained else grads[0]  # unused where nothing is trained
        below = None if ctx.scales else grads[0]
        results: list[torch.Tensor | None] = []
        for i, ((weight, a, b), need) in enumerate(zip(layers, needed, strict=True)):
            grad = grads[i].to(ctx.dtype)
            if passes_on:
                below = _accumulated(below, grad, weight.to(ctx.dtype))
            results.append(torch.mm(grad.t(), y).to(weight.dtype) if need.weight else None)
            if a is None:
                results.extend((None, None))
                continue
            scale = ctx.scales[i]
            thin = torch.mm(grad, b.to(ctx.dtype)).mul_(scale)
            results.append(torch.mm(thin.t(), y).to(a.dtype) if need.a else None)
            results.append(torch.mm(narrow[i].t(), grad).mul_(scale).t().to(b.dtype) if need.b else None)
            if passes_on:
                below = _accumulated(below, thin, a.to(ctx.dtype))
        residual = grads[0] if needs.residual else None
        norm_grad = None
        if norm is not None and below is not None:
            below, norm_grad = _norm_backward(below, x, norm, inverse, needs.norm)
        of_inputs = _Inputs(below if needs.x else None, norm_grad, None, residual, None, None)
        return *of_inputs, *results


def _needs(ctx: Any) -> tuple[_Inputs, list[_Slots]]:
    """Which inputs of `_Project` need a gradient."""
    fixed = len(_Inputs._fields)
    return _Inputs(*ctx.needs_input_grad[:fixed]), _by_layer(ctx.needs_input_grad[fixed:])


def _accumulated(total: torch.Tensor | None, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.mm(left, right) if total is None else total.addmm_(left, right)


def _inverse_rms(x: torch.Tensor, epsilon: float) -> torch.Tensor:
    """1 / root mean square of each row, shape (tokens, 1), in float32 or wider."""
    wide = torch.promote_types(x.dtype, torch.float32)
    square: torch.Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide).square_()
    return square.div_(x.shape[-1]).add_(epsilon).rsqrt_()


def _normed(
    x: torch.Tensor, norm: torch.Tensor | None, inverse: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor:
    if norm is None or inverse is None:
        return x.to(dtype)
    return (x * inverse).mul_(norm).to(dtype)


def _norm_backward(
    grad: torch.Tensor, x: torch.Tensor, norm: torch.Tensor, inverse: torch.Tensor, trained: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The gradients of the norm's input and weight.

    With g = grad * norm, r = inverse and n = width, the input's is r g - x r^3 (g . x) / n.
    """
    grad = grad.to(inverse.dtype)
    norm_grad = (grad * x).mul_(inverse).sum(0).to(norm.dtype) if trained else None
    scaled = grad * norm
    along = (scaled * x).sum(-1, keepdim=True).mul_(inverse.pow(3)).div_(x.shape[-1])
    return scaled.mul_(inverse).addcmul_(x, along, value=-1).to(x.dtype), norm_grad


def gated_gelu(gate: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """GELU(gate) * inner with the tanh form of GELU (Shazeer 2020)."""
    return cast(torch.Tensor, _GatedGelu.apply(gate, inner))


_CUBIC = 0.044715


_STEEP = 2 * math.sqrt(2 / math.pi)


class _GatedGelu(Function):
    """Saves the two derivatives instead of the two inputs: the forward pass already has the sigmoid they need.

    GELU(x) = x s with s = sigmoid(u), u = c x (1 + 0.044715 x^2) and c = sqrt(8 / pi), so
    GELU'(x) = s + x s (1 - s) u'.
    """

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
        if not any(ctx.needs_input_grad):
            return functional.gelu(gate, approximate="tanh").mul_(inner)
        steep = gate.new_tensor(_STEEP)
        share = torch.addcmul(steep, gate, gate, value=_STEEP * _CUBIC).mul_(gate).sigmoid_()
        gelu = gate * share
        slope = torch.addcmul(steep, gate, gate, value=3 * _STEEP * _CUBIC).mul_(gelu)
        slope = slope.addcmul_(slope, share, value=-1).add_(share).mul_(inner)
        ctx.save_for_backward(slope, gelu)
        return gelu * inner

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        slope, gelu = ctx.saved_tensors
        return grads[0] * slope, grads[0] * gelu
