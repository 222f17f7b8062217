"""The start of an adapter with `lora.init: gradient`: A from the gradient of the frozen weights over the first steps.

B is zero, so the outputs stay those of the base, and the base stays as it is. At the first step, the rows of A span
the directions of the input in which the weight would change most (LoRA-GA, Wang et al. 2024, arXiv:2407.05000).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Embedding as LoraEmbedding

from translora.data.batching import Ints, micro_batches
from translora.errors import NotFiniteError
from translora.models.tied import ADAPTER, Transposed, adapted_weights
from translora.training.plan import Plan
from translora.training.step import Stepper, step_seed

_MOST_BYTES = 2**28
"""Gradients of at most so many bytes are summed at a time; a single larger one alone."""
_MORE = 8
"""How many more directions than the rank the randomised decomposition computes, for exactness."""
_ROUNDS = 4
_ROW_LENGTH = 3**-0.5
"""The mean length of a row of a linear layer's random A; of an embedding's it is the root of the width."""


def initial_bytes(model: torch.nn.Module) -> int:
    """The bytes that `begin_from_gradient` takes beside a step: sums, and the gradients that are added to them."""
    return max(sum(2 * 4 * weight.numel() for weight in part) for part in _parts(list(adapted_weights(model))))


def begin_from_gradient(stepper: Stepper, plan: Plan, steps: int) -> None:
    """Set A of every adapted layer from the gradients of the first `steps` steps of `plan`, which are not taken.

    Layers that are one weight in the base get the same directions. Raises `NotFiniteError` for a gradient that is not
    finite, and `OutOfMemoryError`.
    """
    layers = adapted_weights(stepper.translator.model)
    count = min(steps, plan.total_steps)
    for part in _parts(list(layers)):
        for weight, gradient in zip(part, _summed(stepper, plan, count, part), strict=True):
            for layer in filter(_has_own_factors, layers[weight]):
                _set_directions(layer, gradient, stepper.seed)


def _parts(weights: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """`weights` in parts whose gradients are kept at a time."""
    part: list[torch.nn.Parameter] = []
    for weight in weights:
        if part and sum(4 * one.numel() for one in (*part, weight)) > _MOST_BYTES:
            yield part
            part = []
        part.append(weight)
    if part:
        yield part


def _summed(stepper: Stepper, plan: Plan, steps: int, weights: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """The gradients of `weights`, in float32, summed over the first `steps` steps."""
    totals = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    stepper.translator.model.train()
    for weight in weights:
        weight.requires_grad_(True)
    try:
        for number in range(steps):
            pairs = plan.pairs(number)
            found = stepper.budget.run(partial(_gradients, stepper, number, pairs, weights))
            for total, gradient in zip(totals, found, strict=True):
                total += gradient
                if not torch.isfinite(gradient).all():
                    raise NotFiniteError(
                        "a gradient for lora.init is not finite", "use dtype float32", number, pairs.tolist()
                    )
    finally:
        for weight in weights:
            weight.requires_grad_(False)
    return totals


def _gradients(
    stepper: Stepper, number: int, pairs: Ints, weights: list[torch.nn.Parameter], most: int
) -> list[torch.Tensor]:
    """The gradients of `weights` in step `number`, computed at most `most` padded tokens at a time."""
    examples, translator = stepper.examples, stepper.translator
    torch.manual_seed(step_seed(stepper.seed, number))
    tokens = int(examples.target_lengths[pairs].sum())
    totals = [torch.zeros_like(weight) for weight in weights]
    for part in micro_batches(pairs, examples.source_lengths, examples.target_lengths, most):
        loss = translator.loss(examples.batch(part), stepper.training.label_smoothing)
        for total, gradient in zip(totals, torch.autograd.grad(loss.objective / tokens, weights), strict=True):
            total += gradient
    return totals


def _has_own_factors(layer: Any) -> bool:
    """Whether the factors of `layer` are not those of an embedding that it is tied to."""
    return isinstance(layer, LoraEmbedding) or not isinstance(layer.lora_A[ADAPTER], Transposed)


@torch.no_grad()
def _set_directions(layer: Any, gradient: torch.Tensor, seed: int) -> None:
    """Set A of `layer`, or B of an embedding, to the right singular vectors of `gradient` (out, in).

    They get the mean length of the random rows that they replace, so that the learning rate means the same.
    """
    embedding = isinstance(layer, LoraEmbedding)
    factor = layer.lora_embedding_B[ADAPTER].t() if embedding else layer.lora_A[ADAPTER].weight
    count = min(len(factor), *gradient.shape)
    if not gradient.any():
        return
    with torch.random.fork_rng(devices=[gradient.device] if gradient.device.type == "cuda" else []):
        torch.manual_seed(seed)
        _, _, directions = torch.svd_lowrank(gradient, q=min(count + _MORE, *gradient.shape), niter=_ROUNDS)
    length = gradient.shape[1] ** 0.5 if embedding else _ROW_LENGTH
    factor[:count] = directions.t()[:count].to(factor.dtype) * length
