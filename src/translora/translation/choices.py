"""From decoder states to the best next tokens: the head, log-probabilities, repetition guards, top k.

Penalties and their order are those of transformers' logits processors, in float32 as there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch

from translora.models.shortlist import Shortlist
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
    shortlist: Shortlist | None = None
    """The tokens that may be chosen, over which probabilities are normalised; None is the whole vocabulary."""

    @property
    def guarded(self) -> bool:
        """Whether repetitions are penalised."""
        return self.no_repeat_ngram_size > 0 or self.repetition_penalty != 1.0


class Best(NamedTuple):
    """The best next tokens of each line, the best first: one for greedy search, else twice as many as beams."""

    ids: torch.Tensor
    """Shape (lines, k)."""
    parents: torch.Tensor
    """The beam that each continues; shape (lines, k)."""
    scores: torch.Tensor
    """What beams are compared by: the sum of the beam and the token's log-probability after penalties; (lines, k)."""
    logs: torch.Tensor
    """The model's log-probabilities; shape (lines, k). For greedy search without scores they are zeros."""
    ends: torch.Tensor
    """The score of the end token after each beam, its sum not included; shape (lines, beams)."""
    end_logs: torch.Tensor
    """The model's log-probability of the end token after each beam; shape (lines, beams)."""
    would_end: torch.Tensor
    """Whether the end token is the best after each beam; shape (lines, beams)."""


def best_tokens(
    decoder: Decoder, states: torch.Tensor, cache: Cache, rules: Rules, sums: torch.Tensor | None = None
) -> Best:
    """The best tokens after `states` (lines * beams, width); `sums` (lines, beams) are the scores of beams so far."""
    limit = _BLOCK_LOGITS["cpu" if states.device.type == "cpu" else "other"]
    head, beams = decoder.head(rules.shortlist), rules.beams
    parts = -(-len(states) // max(_LEAST_ROWS, limit // head.width))
    size = -(-len(states) // (parts * beams)) * beams  # of whole lines, and about equal
    told = head.columns(cache.tokens[:, :, cache.window].flatten(0, 1)) if rules.guarded else None
    rules = rules._replace(start=head.column(rules.start), end=head.column(rules.end))
    sums = states.new_zeros(0) if sums is None else sums
    groups = cache.row_groups() if decoder.adapters else None
    if groups is not None:  # in the order of their adapters, so that the head's large result is added to in place
        lines = groups.order[::beams] // beams
        states, told = states[groups.order], None if told is None else told[groups.order]
        sums = sums[lines] if len(sums) else sums
    found = []
    for start in range(0, len(states), size):
        part = slice(start, start + size)
        which = None if groups is None else Groups(groups.which[groups.order[part]])
        logits = head(states[part], which).float()
        own = sums[start // beams : (start + size) // beams]
        found.append(_best(logits, None if told is None else told[part], own, rules))
    best = found[0] if len(found) == 1 else Best(*map(torch.cat, zip(*found, strict=True)))
    best = best._replace(ids=head.tokens(best.ids))
    return best if groups is None else Best(*(tensor[lines.argsort()] for tensor in best))


def _best(logits: torch.Tensor, told: torch.Tensor | None, sums: torch.Tensor, rules: Rules) -> Best:
    if rules.beams > 1:
        return _best_of_beams(logits, told, sums, rules)
    ids = first_best(logits if told is None else penalised(logits, told, rules)).unsqueeze(1)
    logs = logits.log_softmax(-1).gather(1, ids) if rules.scores else logits.new_zeros(ids.shape)
    return Best(ids, torch.zeros_like(ids), logs, logs, logs, logs, ids == rules.end)


def _best_of_beams(logits: torch.Tensor, told: torch.Tensor | None, sums: torch.Tensor, rules: Rules) -> Best:
    """The best continuations of all beams of a line together."""
    beams, width = rules.beams, logits.shape[1]
    logs = torch.log_softmax(logits, -1, out=logits if logits.device.type == "cpu" else None)
    scores = logs if told is None else penalised(logs, told, rules)
    values, parents, ids, peaks = top(scores, sums, 2 * beams)
    places = (torch.arange(len(sums), device=ids.device)[:, None] * beams + parents) * width + ids
    ends = scores[:, rules.end].view(-1, beams)
    end_logs = ends if told is None else logs[:, rules.end].view(-1, beams)
    chosen = logs.take(places)
    return Best(ids, parents, values, chosen, ends, end_logs, ends >= peaks)


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


def top(
    scores: torch.Tensor, sums: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The largest `count` of `scores` (lines * beams, vocabulary) plus `sums` (lines, beams), over all beams of a line.

    Returns these, their beams and their tokens, all of shape (lines, count), the best first, and the largest score of
    each beam, shape (lines, beams). The largest of blocks are found first, then only blocks that can hold the best are
    searched.
    """
    (lines, beams), width = sums.shape, scores.shape[1]
    block = _block(width)
    blocks = width // block
    if blocks * beams < count:
        block, blocks = 1, width
    peaks = scores.view(lines, beams, blocks, block).amax(3) if block > 1 else scores.view(lines, beams, blocks)
    highest = peaks.amax(2)
    values, best = (peaks + sums[:, :, None]).flatten(1).topk(count)
    if block == 1:
        return values, best // blocks, best % blocks, highest
    first = torch.arange(0, lines * beams * blocks, beams * blocks, device=scores.device)
    near = scores.view(-1, block).index_select(0, (best + first[:, None]).flatten()).view(lines, count, block)
    near = near + sums.gather(1, best // blocks)[:, :, None]
    values, places = near.flatten(1).topk(count)
    best = best.gather(1, places // block)
    return values, best // blocks, best % blocks * block + places % block, highest


def first_best(scores: torch.Tensor) -> torch.Tensor:
    """`scores.argmax(1)` of (rows, vocabulary), the first where several are equal; many times as fast on a CPU."""
    rows, width = scores.shape
    block = _block(width)
    blocks = width // block
    if block == 1:
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
    """The divisor of `width` that makes the length of blocks that are searched fastest; 1 where none is any good."""

    def cost(size: int) -> float:
        """Nanoseconds a row, as measured: numbers past a multiple of 32 are compared one by one."""
        return width / size * (3 + 1.7 * (size % 32) + 1.5 * (size // 32)) + 4 * size

    divisors = [size for size in range(8, min(width // 8, 1024) + 1) if width % size == 0]
    return min(divisors, key=cost, default=1) if width >= _LEAST_VOCABULARY else 1
