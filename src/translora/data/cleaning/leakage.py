"""Duplicates among training pairs, and overlap with validation and test, exact or nearly so."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from translora.data.pairs import Pair

_NO_LETTER = re.compile(r"[\W\d_]+")


_WORD = re.compile(r"[^\W\d_]+")


_OUTER = " .,;:!?\"'"


_GRAM, _NEAR = 4, 0.7


def normalised(text: str) -> str:
    """`text` as duplicates and overlap compare it: NFKC, case folded, white space and outer punctuation gone."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.casefold().split()).strip(_OUTER)


class Duplicates:
    """Tells whether a pair came before, by the hash of its texts."""

    def __init__(self, by_normalised: bool) -> None:
        self._by_normalised = by_normalised
        self._hashes: set[int] = set()

    def seen(self, pair: Pair) -> bool:
        """Whether it came before; remembers it."""
        source, target = map(normalised, pair[:2]) if self._by_normalised else pair[:2]
        data = f"{source}\0{target}".encode("utf-8", "surrogatepass")
        value = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
        before = len(self._hashes)
        self._hashes.add(value)
        return len(self._hashes) == before


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
    4-grams of a text here stand in the other one.
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


def _letters(text: str) -> str:
    """The letters of a normalised text alone; all of it where there are none."""
    return _NO_LETTER.sub("", text) or text


def _grams(text: str) -> set[str]:
    words = _WORD.findall(text)
    return {" ".join(words[start : start + _GRAM]) for start in range(len(words) - _GRAM + 1)}
