"""The checks of an export: it must give the same logits, or the same texts and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from translora.data.pairs import Corpus
from translora.data.tokens import tokenise
from translora.errors import ModelError
from translora.models.load import LoadedModel
from translora.translation.result import Translation

LOGITS = 1e-5
"""The largest difference of logits, as a share of the largest logit."""
SCORES = 1e-4
"""The largest difference of mean log-probabilities per token."""
_TIE = 1e-5
_PAIRS = 16


@torch.inference_mode()
def logits(model: PreTrainedModel, loaded: LoadedModel, pairs: Corpus, max_tokens: int) -> torch.Tensor:
    """The logits of `model` for the first pairs, of shape (real target tokens, vocabulary).

    Prompt and tokenizer are those of `loaded`.
    """
    examples = tokenise(pairs.head(_PAIRS), loaded.tokenizer, loaded.prompt, max_tokens)
    batch = examples.batch(examples.all_indices()).to(next(model.parameters()).device)
    found: torch.Tensor = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        labels=batch.labels,
    ).logits
    return found[batch.labels >= 0].float()


def require_same_logits(before: torch.Tensor, after: torch.Tensor, step: str) -> float:
    """The largest difference as a share of the largest logit; raises `ModelError` where it is above `LOGITS`."""
    difference = float((before - after).abs().max() / before.abs().max())
    if not difference <= LOGITS:  # NaN too
        raise ModelError(
            f"{step} changed the logits by {difference:.1e} of the largest, more than {LOGITS:g}: nothing was exported"
        )
    return difference


@dataclass(frozen=True)
class SameTexts:
    """How two engines' translations of the same lines compare."""

    lines: int
    """Lines that were compared."""
    cut: int
    """Lines that reached the limit on both sides, which are not compared: a search cut short ranks differently."""
    ties: int
    """Lines whose texts differ while their scores are equal, up to rounding."""
    largest: float
    """The largest difference of scores."""


def require_same_texts(ours: Sequence[Translation], theirs: Sequence[Translation], step: str) -> SameTexts:
    """Compare texts and scores line by line; raises `ModelError` for the first line that differs."""
    compared = ties = 0
    largest = 0.0
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        if one.cut and other.cut:
            continue
        compared += 1
        difference = 0.0 if one.score is None or other.score is None else abs(one.score - other.score)
        largest = max(largest, difference)
        ties += one.text != other.text and difference <= _TIE
        if difference > SCORES or (one.text != other.text and difference > _TIE):
            raise ModelError(
                f"{step}: line {number} is {other.text[:60]!r} (score {other.score}) after it and {one.text[:60]!r} "
                f"(score {one.score}) before: nothing was exported"
            )
    return SameTexts(compared, len(ours) - compared, ties, largest)
