"""Training pairs with the translation of a fuzzy match after their source, so that a model learns to use one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from translora.data.pairs import Corpus, Pair
from translora.translation.protect import Protector
from translora.translation.similar import Similar, with_match

SHARE = 0.5
"""Of the pairs that have a match, so many get it; the others stay as they are, so that both are learnt."""


@dataclass(frozen=True)
class MatchedPairs:
    """Pairs, and how many of them have a match."""

    corpus: Corpus
    matched: int
    """Pairs for which there is a match."""
    given: int
    """Those that got it."""


def match_pairs(corpus: Corpus, least: float, seed: int) -> MatchedPairs:
    """Put after the source of some pairs the target of the most similar other pair.

    Matches are of at least the similarity `least`. Pairs that hold placeholders have none and are none, as texts with
    placeholders are translated without.

    Raises `ConfigError` where RapidFuzz is not installed.
    """
    protector, draw = Protector(), random.Random(seed)
    pairs = list(corpus)
    plain = [i for i, pair in enumerate(pairs) if not (protector.found(pair.source) or protector.found(pair.target))]
    similar, places = Similar([pairs[i].source for i in plain]), {place: n for n, place in enumerate(plain)}
    counts = [0, 0]

    def made() -> Iterator[Pair]:
        for i, pair in enumerate(pairs):
            match = similar.best(pair.source, least, places[i]) if i in places else None
            if match is None:
                yield pair
                continue
            given = draw.random() < SHARE
            counts[0] += 1
            counts[1] += given
            target = pairs[plain[match.number]].target
            yield pair._replace(source=with_match(pair.source, target)) if given else pair

    return MatchedPairs(Corpus.of(made()), *counts)
