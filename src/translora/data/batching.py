"""Batches by token budget out of length-sorted pools: a pure function of lengths, seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_POOL_PAIRS = 20_000


def batches_within(order: Ints, source: Ints, target: Ints, budget: int) -> Iterator[Ints]:
    """Cut `order` (indices, sorted by length) into runs whose padded size stays within `budget` tokens.

    The padded size of a batch is its number of pairs times the sum of its longest source and its longest target.
    A pair that is longer than the budget is a batch of its own.
    """
    start = longest_source = longest_target = 0
    for end, index in enumerate(order):
        wider_source = max(longest_source, int(source[index]))
        wider_target = max(longest_target, int(target[index]))
        if end > start and (end - start + 1) * (wider_source + wider_target) > budget:
            yield order[start:end]
            start, wider_source, wider_target = end, int(source[index]), int(target[index])
        longest_source, longest_target = wider_source, wider_target
    if start < len(order):
        yield order[start:]


def epoch_batches(source: Ints, target: Ints, budget: int, seed: int, epoch: int) -> list[Ints]:
    """The batches of one epoch, each an array of pair indices; every pair occurs once.

    The pairs are shuffled, cut into pools, sorted by length inside each pool, cut by `budget`, and the batches of
    all pools are shuffled. `source` and `target` are lengths in tokens, of shape (pairs,).
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(source))
    batches: list[Ints] = []
    for start in range(0, len(order), _POOL_PAIRS):
        pool = order[start : start + _POOL_PAIRS]
        pool = pool[np.lexsort((source[pool], target[pool]))]
        batches.extend(batches_within(pool, source, target, budget))
    return [batches[i] for i in random.permutation(len(batches))]


def epoch_groups(target: Ints, pairs: int, tokens: int, seed: int, epoch: int) -> list[Ints]:
    """The pairs of one epoch in random order, cut into runs of `pairs` pairs and of `tokens` target tokens at most.

    A limit of 0 is none; a pair with more tokens than the limit is a run of its own. `target` has shape (pairs,).
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(target))
    ends = np.cumsum(target[order])
    groups: list[Ints] = []
    start = 0
    while start < len(order):
        end = start + pairs if pairs else len(order)
        if tokens:
            before = int(ends[start - 1]) if start else 0
            end = min(end, max(start + 1, int(np.searchsorted(ends, before + tokens, side="right"))))
        groups.append(order[start:end])
        start = end
    return groups


def micro_batches(pairs: Ints, source: Ints, target: Ints, budget: int) -> list[Ints]:
    """Cut the pairs of a step by length into batches whose padded size stays within `budget`, as `batches_within`."""
    return list(batches_within(pairs[np.lexsort((source[pairs], target[pairs]))], source, target, budget))


def even_batches(pairs: Ints, source: Ints, target: Ints, budget: int, shares: int) -> list[Ints]:
    """Cut the pairs of a step as `micro_batches` does, and further so that `shares` workers have equal parts.

    There are about as many batches as a multiple of `shares`, of about as many real tokens each.
    """
    least = len(micro_batches(pairs, source, target, budget))
    parts = shares * -(-least // shares)
    order = pairs[np.lexsort((source[pairs], target[pairs]))]
    ends = np.cumsum(source[order] + target[order])
    bounds = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts)
    return [batch for run in np.split(order, bounds) for batch in batches_within(run, source, target, budget)]


def sorted_batches(source: Ints, target: Ints, budget: int) -> list[Ints]:
    """Batches for evaluation: longest first, so that a lack of memory shows at once; every pair occurs once."""
    order = np.lexsort((target, source))[::-1]
    return list(batches_within(order, source, target, budget))


def padding_share(batches: list[Ints], source: Ints, target: Ints) -> float:
    """The share of padding among all tokens of `batches`."""
    real = padded = 0
    for batch in batches:
        real += int(source[batch].sum() + target[batch].sum())
        padded += len(batch) * int(source[batch].max() + target[batch].max())
    return 1 - real / padded if padded else 0.0
