"""The loss of a batch: label-smoothed cross-entropy over real target tokens, padding left out."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from translora.data.tokens import IGNORED, Batch


class BatchLoss(NamedTuple):
    """Sums over the real target tokens of a batch."""

    objective: torch.Tensor
    """What is minimised: smoothed cross-entropy in nats, with its graph."""
    cross_entropy: torch.Tensor
    """Plain cross-entropy in nats, detached: what is reported, for training and validation alike."""


def batch_loss(model: PreTrainedModel, batch: Batch, label_smoothing: float = 0.0) -> BatchLoss:
    """Teacher-forced loss of `batch`, summed over its target tokens.

    With smoothing e the objective is (1 - e) * cross-entropy + e * mean over the vocabulary of -log p
    (Szegedy et al. 2016), as in `torch.nn.functional.cross_entropy`.
    """
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        decoder_input_ids=shift_right(batch.labels, model.config),
        use_cache=False,
    ).logits
    objective, cross_entropy = _CrossEntropy.apply(logits.flatten(0, 1), batch.labels.flatten(), label_smoothing)
    return BatchLoss(objective, cross_entropy)


class _CrossEntropy(torch.autograd.Function):
    """Smoothed cross-entropy whose gradient is made in the forward pass, in the place of the probabilities.

    Going through autograd instead keeps three tensors of the logits' size and walks over them twice as often.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, labels: torch.Tensor, smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`logits` (positions, vocabulary) and `labels` (positions,) to two sums over the real positions."""
        real = labels != IGNORED
        columns = labels.masked_fill(~real, 0).unsqueeze(1)
        log_p = torch.log_softmax(logits.float() if logits.dtype != torch.float64 else logits, dim=-1)
        cross_entropy = -log_p.gather(1, columns).squeeze(1)[real].sum()
        objective = cross_entropy
        if smoothing:
            objective = (1 - smoothing) * cross_entropy - smoothing * log_p.mean(dim=-1)[real].sum()
        if ctx.needs_input_grad[0]:
            gradient = log_p.exp_()
            if smoothing:
                gradient -= smoothing / logits.shape[1]
            gradient.scatter_add_(1, columns, gradient.new_full(columns.shape, smoothing - 1))
            gradient *= real.unsqueeze(1)
            ctx.save_for_backward(gradient.to(logits.dtype))
        cross_entropy = cross_entropy.clone()
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The saved gradient, scaled."""
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None


def shift_right(labels: torch.Tensor, config: object) -> torch.Tensor:
    """The decoder's input, shape as `labels`: the start token, then the labels but the last, padding in padding."""
    start = getattr(config, "decoder_start_token_id", None)
    pad = getattr(config, "pad_token_id", 0) or 0
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = pad if start is None else start
    return shifted.masked_fill(shifted == IGNORED, pad)
