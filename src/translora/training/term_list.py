"""A list of terms from training pairs: words and short phrases of the two sides that occur together.

The measure is Dice's coefficient, 2 c / (a + b), of a pairs with the source term, b with the target term and c with
both; each term must be the other's best.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from translora.data.pairs import Corpus
from translora.translation.terms import Term, Token, stemmer, tokens_of

_MOST_PAIRS = 50_000
_LONGEST = 3
"""Words in a term."""
_FEWEST = 5
"""Pairs that hold a term and its translation."""
_WIDEST = 0.08
"""The largest share of the pairs that hold a term: more have function words."""
_DICE = 0.5
_MOST_TERMS = 5_000

Ints = npt.NDArray[np.int64]


class TermPair(NamedTuple):
    """A source term, its translation, and how they occur."""

    source: str
    target: str
    pairs: int
    """Training pairs that hold both."""
    dice: float

    @property
    def term(self) -> Term:
        """The pair as an entry of a glossary."""
        return Term((self.source,), (self.target,))


def term_pairs(corpus: Corpus, source: str, target: str, seed: int = 0) -> list[TermPair]:
    """Terms of `corpus`, the most frequent first; of a large corpus, of 50,000 pairs drawn by `seed`.

    Terms that are the same in both languages are left out, as nothing need be taught about them.
    """
    pairs = corpus.sample(_MOST_PAIRS, seed) if len(corpus) > _MOST_PAIRS else corpus
    left, right = _Side.of(pairs.texts("source"), source), _Side.of(pairs.texts("target"), target)
    forward, backward = _best(left, right), _best(right, left)
    found = []
    for number, (other, together) in forward.items():
        dice = float(2 * together / (left.counts[number] + right.counts[other]))
        words, translation = left.shown(number), right.shown(other)
        mutual = backward.get(other, (-1, 0))[0] == number
        surely = together >= _FEWEST and dice >= _DICE
        if mutual and surely and words.casefold() != translation.casefold():
            found.append(TermPair(words, translation, together, round(dice, 3)))
    return sorted(found, key=lambda one: (-one.pairs, one.source))[:_MOST_TERMS]


@dataclass(frozen=True)
class _Side:
    """The phrases of the texts of one language that may be terms."""

    rows: list[Ints]
    """The numbers of the phrases of each text."""
    counts: Ints
    """How many texts hold each phrase."""
    surfaces: list[Counter[str]]
    """How each phrase is written."""

    @classmethod
    def of(cls, texts: Iterator[str], language: str) -> _Side:
        stem = stemmer(language)
        numbers: dict[tuple[str, ...], int] = {}
        surfaces: defaultdict[int, Counter[str]] = defaultdict(Counter)
        rows = []
        for text in texts:
            row = set()
            for words in _phrases(tokens_of(text)):
                key = tuple(stem(word.text) for word in words)
                number = numbers.setdefault(key, len(numbers))
                row.add(number)
                surfaces[number][text[words[0].start : words[-1].end]] += 1
            rows.append(np.array(sorted(row), dtype=np.int64))
        return cls._kept(rows, [surfaces[number] for number in range(len(numbers))])

    @classmethod
    def _kept(cls, rows: list[Ints], surfaces: list[Counter[str]]) -> _Side:
        """Without phrases that are rare or in too many texts."""
        counts = np.bincount(np.concatenate([*rows, np.zeros(0, np.int64)]), minlength=len(surfaces))
        kept = (counts >= _FEWEST) & (counts <= max(_FEWEST, _WIDEST * len(rows)))
        places = np.cumsum(kept) - 1
        rows = [places[row[kept[row]]] for row in rows]
        return cls(rows, counts[kept], [surfaces[number] for number in np.flatnonzero(kept)])

    def shown(self, number: int) -> str:
        """The most frequent spelling of a phrase."""
        return min(self.surfaces[number].items(), key=lambda one: (-one[1], one[0]))[0]


def _phrases(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Runs of up to three words, which neither begin nor end with a short word."""
    for start in range(len(tokens)):
        for words in (tokens[start : start + length] for length in range(1, _LONGEST + 1)):
            if not all(_is_word(word.text) for word in words) or start + len(words) > len(tokens):
                break
            if _has_weight(words[0].text) and _has_weight(words[-1].text):
                yield words


def _is_word(text: str) -> bool:
    return text[0].isalpha()


def _has_weight(text: str) -> bool:
    return len(text) > 3 or not text.isascii()


def _best(left: _Side, right: _Side) -> dict[int, tuple[int, int]]:
    """For each phrase of `left` the one of `right` of the highest Dice coefficient, and how often both occur."""
    texts: defaultdict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(left.rows):
        for number in row.tolist():
            texts[number].append(place)
    found = {}
    for number, places in texts.items():
        others, together = np.unique(np.concatenate([right.rows[place] for place in places]), return_counts=True)
        if len(others):
            dice = 2 * together / (len(places) + right.counts[others])
            best = int(np.argmax(dice))
            found[number] = int(others[best]), int(together[best])
    return found
