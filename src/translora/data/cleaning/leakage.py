"""Duplicates among training pairs, and overlap with validation and test, exact or nearly so."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import groupby

import numpy as np
import numpy.typing as npt

from translora.data.cleaning.hashes import HashSet
from translora.data.pairs import Pair
from translora.languages import JOINERS, UNSPACED

_OUTER = " .,;:!?\"'"
"""Of ASCII; of all other characters, punctuation by its Unicode category."""
_GRAM, _CHARACTERS, _NEAR = 4, 8, 0.7
"""A sequence has four words, or eight characters of a script without spaces (two stand for a word)."""


def normalised(text: str) -> str:
    """`text` as duplicates and overlap compare it: NFKC, case folded, white space and outer punctuation gone."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    folded = " ".join(plain.casefold().split()).strip(_OUTER)
    if folded.isascii():
        return folded
    first, last = 0, len(folded)
    while first < last and _is_outer(folded[first]):
        first += 1
    while first < last and _is_outer(folded[last - 1]):
        last -= 1
    return folded[first:last]


@cache
def _is_outer(character: str) -> bool:
    return character in _OUTER or (not character.isascii() and unicodedata.category(character).startswith("P"))


class Duplicates:
    """Tells whether a pair came before, by the 64-bit hash of its texts.

    Two different ones among n have the same hash with a probability of n^2 / 2^65: 3 in 10,000 for 100 million.
    """

    def __init__(self, by_normalised: bool) -> None:
        self._by_normalised = by_normalised
        self._hashes = HashSet()

    def seen(self, pair: Pair) -> bool:
        """Whether it came before; remembers it."""
        return not self._hashes.add(self.hash_of(pair))

    def clear(self) -> None:
        """Forget all pairs."""
        self._hashes = HashSet()

    def values(self) -> npt.NDArray[np.uint64]:
        """The hashes to tell later from which pairs came before; here there are none, as `seen` tells it."""
        return np.zeros(0, dtype=np.uint64)

    def hash_of(self, pair: Pair) -> int:
        """The 64-bit hash of the texts."""
        source, target = map(normalised, pair[:2]) if self._by_normalised else pair[:2]
        data = f"{source}\0{target}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class HashList(Duplicates):
    """Takes every pair for a new one, and keeps the hashes, from which it is told later which came before."""

    def __init__(self, by_normalised: bool) -> None:
        super().__init__(by_normalised)
        self._values = array("Q")

    def seen(self, pair: Pair) -> bool:
        """False; remembers the pair."""
        self._values.append(self.hash_of(pair))
        return False

    def values(self) -> npt.NDArray[np.uint64]:
        """The hashes of all pairs so far, in order."""
        return np.array(self._values, dtype=np.uint64)

    def clear(self) -> None:
        """Forget all pairs."""
        self._values = array("Q")


class Leakage:
    """Tells whether a side of a pair occurs on that side of validation or test, or nearly so."""

    def __init__(self, held_out: Iterable[Pair], near: bool) -> None:
        sides = zip(*((normalised(pair.source), normalised(pair.target)) for pair in held_out), strict=True)
        self._sides: list[NearTexts | set[str]] = [NearTexts(texts) if near else set(texts) for texts in sides]

    def holds(self, pair: Pair) -> bool:
        """Whether it does."""
        return any(normalised(text) in side for text, side in zip(pair[:2], self._sides, strict=False))


class NearTexts:
    """Normalised texts that another one nearly is: it has the same letters, or most of a text's sequences of words.

    The measure is that of n-gram overlap, by which training data is searched for test data: at least 70% of the word
    4-grams of a text here stand in the other one. In scripts without spaces between words, two characters count as a
    word.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._letters = {_letters(text) for text in texts}
        self._sizes: list[int] = []
        self._places: dict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            grams = _grams(text)
            self._sizes.append(len(grams))
            for gram in grams:
                self._places[gram].append(number)

    def __contains__(self, text: str) -> bool:
        if _letters(text) in self._letters:
            return True
        shared = Counter(number for gram in _grams(text) for number in self._places.get(gram, ()))
        return any(count >= _NEAR * self._sizes[number] for number, count in shared.items())


_PLAIN_WORD = re.compile(r"[^\W\d_]+")
_MAY_COMBINE = re.compile("[\u0300-\u036f\u0483-\u1fff\u200c\u200d\u20d0-\u20ff\u2c00-\U0010ffff]")
"""Characters among which are all combining marks and all scripts without spaces: a quick test for the plain case."""
_UNSPACED = re.compile(f"[{UNSPACED}]")


def _words(text: str) -> list[str]:
    """The words of a text, with their combining marks; of scripts without spaces, the characters."""
    return (_word_pattern() if _MAY_COMBINE.search(text) else _PLAIN_WORD).findall(text)


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    planes = (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))  # all that have combining marks
    marks = JOINERS
    for _, run in groupby(enumerate(code for code in planes if unicodedata.category(chr(code))[0] == "M"), _offset):
        codes = [code for _, code in run]
        marks += f"{chr(codes[0])}-{chr(codes[-1])}"
    return re.compile(rf"[{UNSPACED}][{marks}]*|[^\W\d_{UNSPACED}](?:[^\W\d_{UNSPACED}]|[{marks}])*")


def _offset(numbered: tuple[int, int]) -> int:
    """The same for numbers that follow each other."""
    return numbered[1] - numbered[0]


def _letters(text: str) -> str:
    """The letters of a normalised text alone; all of it where there are none."""
    return "".join(_words(text)) or text


def _grams(text: str) -> set[str]:
    words = _words(text)
    if not _UNSPACED.search(text):
        return {" ".join(words[start : start + _GRAM]) for start in range(len(words) - _GRAM + 1)}
    sizes = [1 if _UNSPACED.match(word) else _CHARACTERS // _GRAM for word in words]
    grams, end, size = set(), 0, 0
    for start in range(len(words)):
        while end < len(words) and size < _CHARACTERS:
            size += sizes[end]
            end += 1
        if size >= _CHARACTERS:
            grams.add(" ".join(words[start:end]))
        size -= sizes[start]
    return grams
