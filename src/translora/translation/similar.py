"""Fuzzy matches: of many texts the one that is most like another, by the edit distance of their words.

The measure is that of translation memories: one minus the number of words to insert, delete or replace, as a share of
the longer text. Case does not count; characters of scripts without spaces are words. Of a match, the translation is
given to the model after the text (Bulte and Tezcan 2019, "Neural Fuzzy Repair").
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from translora.errors import ConfigError
from translora.languages import UNSPACED

SEPARATOR = " @@@ "
"""Stands between a text and the translation of its match."""
_ROUNDING = 1e-9
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")


class Match(NamedTuple):
    """A text that is like another one."""

    number: int
    """Its place among the texts."""
    similarity: float
    """From 0 to 1, which is the same words."""


class Similar:
    """Finds the text that is most like another one, among many."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raises `ConfigError` where RapidFuzz is not installed."""
        self._distance = _distance()
        self._words = [words(text) for text in texts]
        self._places: dict[str, list[int]] = defaultdict(list)
        for number, found in enumerate(self._words):
            for word in set(found):
                self._places[word].append(number)

    def best(self, text: str, least: float, skipped: int = -1) -> Match | None:
        """The match of most similarity, at least `least`, of equals the first; None without one.

        Texts of the same words are no match, nor is the one at the place `skipped`.
        """
        wanted = words(text)
        best: Match | None = None
        for number in sorted(self._candidates(wanted, least)):
            other = self._words[number]
            if number == skipped or other == wanted:
                continue
            most = max(len(wanted), len(other))
            allowed = math.floor((1 - (best.similarity if best else least)) * most + _ROUNDING)
            edits = self._distance.distance(wanted, other, score_cutoff=allowed)
            if edits <= allowed and (best is None or 1 - edits / most > best.similarity):
                best = Match(number, 1 - edits / most)
        return best

    def _candidates(self, wanted: list[str], least: float) -> set[int]:
        """The texts that may be so similar: each holds one of the rarest words, as few can be missing."""
        missing = math.floor((1 - least) * len(wanted) + _ROUNDING)
        rarest = sorted(wanted, key=lambda word: len(self._places.get(word, ())))[: missing + 1]
        low, high = math.ceil(least * len(wanted) - _ROUNDING), len(wanted) / least
        return {
            number
            for word in set(rarest)
            for number in self._places.get(word, ())
            if low <= len(self._words[number]) <= high
        }


def words(text: str) -> list[str]:
    """The words and punctuation marks of a text, without their case."""
    return _WORD.findall(text.casefold())


def with_match(text: str, translation: str) -> str:
    """What the model reads of a text whose match has this translation."""
    return f"{text}{SEPARATOR}{translation}"


def _distance() -> Any:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise ConfigError('fuzzy matches need RapidFuzz: pip install "translora[fuzzy]"') from error
    return Levenshtein
