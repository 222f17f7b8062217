"""From decoder states to the best next tokens: the head, log-probabilities, repetition guards, top k.

Penalties and their order are those of transformers' logits processors, in float32 as there.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch

from translora.models.t5.cache import NO_TOKEN, Cache
from translora.models.t5.decode import Decoder
from translora.models.t5.products import Groups

_BLOCK_LOGITS = {"cpu": 2**20, "other": 2**26}
"""About this many logits are computed at a time; on a CPU so few that they stay in its cache."""
_LEAST_ROWS = 16
_LEAST_VOCABULARY = 1024
"""A smaller vocabulary is searched directly."""


class Rules(NamedTuple):
    """How to search; names and meanings are those of transformers' `GenerationConfig`."""

    start: int
    """The decoder's first token."""
    end: int
    beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    scores: bool = False
    """Whether to compute the log-probabilities of greedy translations; beams have them anyway."""

    @property
    def guarded(self) -> bool:
        """Whether repetitions are penalised."""
        return self.no_repeat_ngram_size > 0 or self.repetition_penalty != 1.0


class Best(NamedTuple):
    """The best next tokens of each row, the best first."""

    ids: torch.Tensor
    """Shape (rows, k)."""
    scores: torch.Tensor
    """What the search goes by: log-probabilities after penalties; shape (rows, k)."""
    logs: torch.Tensor
    """The model's log-probabilities; shape (rows, k). For greedy search without scores they are zeros."""
    ends: torch.Tensor
    """For beams, the score of the end token, after penalties; shape (rows,)."""


def best_tokens(decoder: Decoder, states: torch.Tensor, cache: Cache, rules: Rules) -> Best:
    """The best tokens after `states` (rows, width): one for greedy search, else twice as many as beams."""
    limit = _BLOCK_LOGITS["cpu" if states.device.type == "cpu" else "other"]
    size = max(_LEAST_ROWS, limit // decoder.vocabulary)
    told = cache.tokens[:, :, cache.window].flatten(0, 1) if rules.guarded else None
    groups = cache.row_groups() if decoder.adapters else None
    if groups is not None:  # in the order of their adapters, so that the head's large result is added to in place
        states, told = states[groups.order], None if told is None else told[groups.order]
    found = []
    for start in range(0, len(states), size):
        part = slice(start, start + size)
        which = None if groups is None else Groups(groups.which[groups.order[part]])
        logits = decoder.logits(states[part], which).float()
        found.append(_best(logits, None if told is None else told[part], rules))
    best = found[0] if len(found) == 1 else Best(*map(torch.cat, zip(*found, strict=True)))
    return best if groups is None else Best(*(tensor[groups.order.argsort()] for tensor in best))


def _best(logits: torch.Tensor, told: torch.Tensor | None, rules: Rules) -> Best:
    if rules.beams > 1:
        logs = logits.log_softmax(-1)
        scores = logs if told is None else penalised(logs, told, rules)
        values, ids = top(scores, min(2 * rules.beams, logits.shape[1]))
        return Best(ids, values, values if told is None else logs.gather(1, ids), scores[:, rules.end])
    ids = first_best(logits if told is None else penalised(logits, told, rules)).unsqueeze(1)
    logs = logits.log_softmax(-1).gather(1, ids) if rules.scores else logits.new_zeros(ids.shape)
    return Best(ids, logs, logs, logs[:, 0])


def penalised(scores: torch.Tensor, told: torch.Tensor, rules: Rules) -> torch.Tensor:
    """`scores` (rows, vocabulary) after the repetition penalty and without repeated n-grams.

    `told` (rows, columns) are the tokens so far, the start token included, `NO_TOKEN` before it.
    """
    if rules.repetition_penalty != 1.0:
        ids = told.where(told != NO_TOKEN, rules.start)
        seen = scores.gather(1, ids)
        penalty = rules.repetition_penalty
        scores = scores.scatter(1, ids, torch.where(seen < 0, seen * penalty, seen / penalty))
    size = rules.no_repeat_ngram_size
    if 0 < size <= told.shape[1]:
        windows = told.unfold(1, size, 1)
        recent = told[:, told.shape[1] + 1 - size :]
        repeated = (windows[..., :-1] == recent[:, None]).all(-1) & (windows != NO_TOKEN).all(-1)
        ids = windows[..., -1].where(repeated, scores.shape[1])  # a spare column for what is not repeated
        banned = torch.zeros((len(scores), scores.shape[1] + 1), dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(banned.scatter_(1, ids, True)[:, :-1], -torch.inf)
    return scores


def top(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`scores.topk(count)` of (rows, vocabulary): the largest of blocks first, then only blocks that can hold them."""
    rows, width = scores.shape
    block = _block(width)
    blocks = width // block
    if width < _LEAST_VOCABULARY or blocks < count or block == 1:
        return tuple(scores.topk(count))  # type: ignore[return-value]
    peaks = scores.view(rows, blocks, block).amax(2)
    best = peaks.topk(count, sorted=False)[1]
    first = torch.arange(0, rows * blocks, blocks, device=scores.device)
    near = scores.view(rows * blocks, block).index_select(0, (best + first[:, None]).flatten()).view(rows, -1)
    values, places = near.topk(count)
    return values, best.gather(1, places // block) * block + places % block


def first_best(scores: torch.Tensor) -> torch.Tensor:
    """`scores.argmax(1)` of (rows, vocabulary), the first where several are equal; many times as fast on a CPU."""
    rows, width = scores.shape
    block = _block(width)
    blocks = width // block
    if width < _LEAST_VOCABULARY or block == 1:
        return scores.argmax(1)
    peaks = scores.view(rows, blocks, block).amax(2)
    most = peaks.amax(1, keepdim=True)
    best = _first_equal(peaks, most)
    first = torch.arange(0, rows * blocks, blocks, device=scores.device)
    near = scores.view(rows * blocks, block).index_select(0, best + first)
    return best * block + _first_equal(near, most)


def _first_equal(values: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The first column of `values` (rows, columns) that equals `wanted` (rows, 1); column 0 where none does."""
    width = values.shape[1]
    descending = torch.arange(width, 0, -1, device=values.device, dtype=torch.float32)
    return ((width - torch.where(values == wanted, descending, 0.0).amax(1)) % width).long()


@lru_cache
def _block(width: int) -> int:
    """The divisor of `width` that is nearest to the length of blocks that are searched fastest."""
    wanted = max(8, round(math.sqrt(width / 8)))
    divisors = [size for size in range(4, 8 * wanted) if width % size == 0]
    return min(divisors, key=lambda size: abs(math.log(size / wanted)), default=1)
