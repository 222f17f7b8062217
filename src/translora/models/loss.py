"""The loss of a batch: label-smoothed cross-entropy over real target tokens, padding left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from transformers import PreTrainedModel

from translora.data.tokens import IGNORED, Batch
from translora.models.hardware import autocast
from translora.models.t5.forward import decoder_states, encoder_states
from translora.models.t5.layers import plain_layer
from translora.models.t5.layout import Layout

LossPath = Literal["fast", "generic", "own"]
"""`fast_t5`; the model's own forward pass with the head and loss of this file; all the model's own."""

_LEAST_BLOCK = 128
"""Fewer tokens at a time than this make slow matrix products."""
_BLOCK_LOGITS = {"cpu": 2**23, "other": 2**26}
"""About as many logits at a time: on a CPU so that they stay in its cache."""


class BatchLoss(NamedTuple):
    """Sums over the real target tokens of a batch."""

    objective: torch.Tensor
    """The smoothed cross-entropy in nats that is minimised, with its graph."""
    cross_entropy: torch.Tensor
    """The plain cross-entropy in nats that is reported, for training and validation alike; detached."""


def batch_loss(
    model: PreTrainedModel,
    batch: Batch,
    label_smoothing: float = 0.0,
    dtype: torch.dtype = torch.float32,
    path: LossPath = "own",
) -> BatchLoss:
    """Teacher-forced loss of `batch`, summed over its target tokens, with matrix products in `dtype`.

    With smoothing e the objective is (1 - e) * cross-entropy + e * mean over the vocabulary of -log p
    (Szegedy et al. 2016), as in `torch.nn.functional.cross_entropy`.
    """
    decoder_ids = shift_right(batch.labels, model.config)
    device = batch.labels.device
    target = Layout(batch.target_lengths, batch.labels.shape[1], device)
    labels = batch.labels.flatten()[target.index]
    if path == "fast":
        source = Layout(batch.source_lengths, batch.input_ids.shape[1], device)
        encoded = batch.encoded
        if encoded is None:
            encoded = encoder_states(model, (batch.input_ids.flatten()[source.index], source), dtype)
        states = decoder_states(model, (encoded, source), (decoder_ids.flatten()[target.index], target), dtype)
        return head_loss(states, model.get_output_embeddings(), labels, label_smoothing)
    inputs = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "decoder_input_ids": decoder_ids,
        "use_cache": False,
    }
    with autocast(model.device, dtype):
        if path == "own":
            logits = model(**inputs).logits.flatten(0, 1)[target.index]
            return BatchLoss(*_CrossEntropy.apply(logits, labels, label_smoothing))
        base: Any = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
        states = base.model(**inputs).last_hidden_state.flatten(0, 1)[target.index]
    bias = getattr(base, "final_logits_bias", None)
    return head_loss(states, model.get_output_embeddings(), labels, label_smoothing, bias)


def encode_batch(model: PreTrainedModel, batch: Batch, dtype: torch.dtype) -> torch.Tensor:
    """The `encoded` of `batch`, by the fast path: shape (source tokens, width), in `dtype`."""
    layout = Layout(batch.source_lengths, batch.input_ids.shape[1], batch.input_ids.device)
    return encoder_states(model, (batch.input_ids.flatten()[layout.index], layout), dtype)


def head_loss(
    states: torch.Tensor,
    head: torch.nn.Module,
    labels: torch.Tensor,
    smoothing: float = 0.0,
    bias: torch.Tensor | None = None,
) -> BatchLoss:
    """The loss of the head `head` on `states` (tokens, width) against `labels` (tokens,), a block of tokens at a time.

    The logits of a block and their gradient are made, used and dropped in the forward pass. `bias` is added to the
    logits, shape (1, vocabulary).
    """
    layer = plain_layer(head)
    if layer is None:
        logits = head(states) if bias is None else head(states) + bias
        return BatchLoss(*_CrossEntropy.apply(logits, labels, smoothing))
    return BatchLoss(*_HeadLoss.apply(states, *layer, bias, labels, smoothing))


class _HeadLoss(torch.autograd.Function):
    """Linear head, LoRA on it where there is one, and smoothed cross-entropy in one pass over blocks of tokens."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        a: torch.Tensor | None,
        b: torch.Tensor | None,
        scale: float,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        smoothing: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`states` (tokens, width), `weight` (vocabulary, width), `labels` (tokens,) to two sums over the tokens."""
        tensors = (states, weight, a, b)
        narrow = [None if t is None else t.to(states.dtype) for t in tensors]
        sum_type = _wide(states.dtype)  # the gradients of all but the states add up over the blocks
        needed = zip(narrow, ctx.needs_input_grad[:4], (states.dtype, sum_type, sum_type, sum_type), strict=True)
        grads = [torch.zeros_like(t, dtype=kind) if t is not None and need else None for t, need, kind in needed]
        limit = _BLOCK_LOGITS["cpu" if states.device.type == "cpu" else "other"]
        block = max(_LEAST_BLOCK, limit // weight.shape[0])
        sums = []
        for start in range(0, len(labels), block):
            part = slice(start, start + block)
            sums.append(_head_block(narrow, part, scale, bias, labels[part], smoothing, grads))
        ctx.grads = [None if g is None or t is None else g.to(t.dtype) for g, t in zip(grads, tensors, strict=True)]
        objective, cross_entropy = torch.stack(sums).sum(0).unbind()
        cross_entropy = cross_entropy.clone()
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients made in the forward pass, scaled in place: they serve once."""
        made, ctx.grads = ctx.grads, None
        return (
            *(None if grad is None else grad.mul_(gradients[0].to(grad.dtype)) for grad in made),
            None,
            None,
            None,
            None,
        )


def _head_block(
    tensors: Sequence[torch.Tensor | None],
    part: slice,
    scale: float,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    smoothing: float,
    grads: Sequence[torch.Tensor | None],
) -> torch.Tensor:
    """Objective and cross-entropy of the tokens in `part`, shape (2,); their gradients are added to `grads`.

    `tensors` and `grads` are of the states, the head's weight, and its adapter's A and B.
    """
    states, weight, a, b = tensors
    assert states is not None
    assert weight is not None
    states = states[part]
    logits = torch.mm(states, weight.t())
    thin = None
    if a is not None and b is not None:
        thin = torch.mm(states, a.t())
        logits.addmm_(thin, b.t(), alpha=scale)
    scores = logits.to(_wide(logits.dtype))
    if bias is not None:
        scores.add_(bias)
    wanted = any(grad is not None for grad in grads)
    sums = _smoothed_sums(scores, labels, smoothing, wanted)
    if wanted:
        _head_gradients((states, weight, a, b), thin, scale, scores.to(states.dtype), part, grads)
    return sums


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which probabilities of logits in `dtype` are computed: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def _smoothed_sums(scores: torch.Tensor, labels: torch.Tensor, smoothing: float, gradient: bool) -> torch.Tensor:
    """Objective and cross-entropy, shape (2,), of logits `scores` (tokens, vocabulary), which are overwritten.

    With `gradient` they become the objective's gradient.
    """
    columns = labels.unsqueeze(1)
    picked = scores.gather(1, columns)
    mean = scores.mean(1, keepdim=True) if smoothing else picked
    top = scores.amax(1, keepdim=True)
    total = scores.sub_(top).exp_().sum(1, keepdim=True)
    log_total = total.log().add_(top)
    cross_entropy = (log_total - picked).sum()
    objective = (1 - smoothing) * cross_entropy + smoothing * (log_total - mean).sum()
    if gradient:
        scores.div_(total)
        if smoothing:
            scores.sub_(smoothing / scores.shape[1])
        scores.scatter_add_(1, columns, torch.full_like(picked, smoothing - 1))
    return torch.stack((objective, cross_entropy))


def _head_gradients(
    tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None],
    thin: torch.Tensor | None,
    scale: float,
    of_logits: torch.Tensor,
    part: slice,
    grads: Sequence[torch.Tensor | None],
) -> None:
    """Add to `grads` the part of the gradient `of_logits` (tokens, vocabulary); `thin` is states A^T."""
    states, weight, a, b = tensors
    of_states, of_weight, of_a, of_b = grads
    if of_states is not None:
        torch.mm(of_logits, weight, out=of_states[part])
    if of_weight is not None:
        _add_product(of_weight, of_logits.t(), states)
    if a is None or b is None or thin is None:
        return
    of_thin = torch.mm(of_logits, b).mul_(scale)
    if of_states is not None:
        of_states[part].addmm_(of_thin, a)
    if of_a is not None:
        _add_product(of_a, of_thin.t(), states)
    if of_b is not None:
        _add_product(of_b, of_logits.t(), thin, scale)


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0) -> None:
    """Add `scale` times the product of `left` and `right` to `total`, which may be wider than they are."""
    if total.dtype == left.dtype:
        total.addmm_(left, right, alpha=scale)
    else:
        total.add_(torch.mm(left, right), alpha=scale)


class _CrossEntropy(torch.autograd.Function):
    """Smoothed cross-entropy whose gradient is made in the forward pass, in the place of the probabilities.

    Going through autograd instead keeps three tensors of the logits' size and walks over them twice as often.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, labels: torch.Tensor, smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`logits` (tokens, vocabulary) and `labels` (tokens,) to two sums over the tokens."""
        scores = logits.to(_wide(logits.dtype), copy=True)
        objective, cross_entropy = _smoothed_sums(scores, labels, smoothing, ctx.needs_input_grad[0]).unbind()
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(scores.to(logits.dtype))
        cross_entropy = cross_entropy.clone()
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The saved gradient, scaled."""
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None


def shift_right(labels: torch.Tensor, config: object) -> torch.Tensor:
    """The decoder's input, shape as `labels`: the start token, then the labels but the last, padding in padding."""
    start = getattr(config, "decoder_start_token_id", None)
    pad = getattr(config, "pad_token_id", 0) or 0
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = pad if start is None else start
    return shifted.masked_fill(shifted == IGNORED, pad)
