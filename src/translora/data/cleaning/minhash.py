"""MinHash signatures of pairs: 64 bytes each, from which is estimated how alike two pairs are.

A side's features are its words and word bigrams; of scripts without spaces, the characters and their bigrams. Two pairs
are as similar as the mean of the Jaccard similarities of their sides. The share of hash functions that have the same
minimum on two sets estimates their Jaccard similarity (Broder 1997), and four bits of each minimum suffice (Li and
König 2010). Knows nothing of which pairs came before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from translora.data.pairs import Pair
from translora.languages import JOINERS, UNSPACED

Rows = npt.NDArray[np.uint32]
"""Signatures of n pairs: n x `BANDS`, the hash functions of a band in each number: four of either side."""
_Words = npt.NDArray[np.uint64]
_Codes = npt.NDArray[np.uint32]

BANDS, BAND_ROWS = 16, 8
"""Groups of hash functions, and the functions of each."""
THRESHOLD = 0.8
"""The similarity from which pairs are near duplicates."""
_SIDE = BANDS * BAND_ROWS // 2
"""The hash functions of a side."""
_BITS = 4
_LEAST = round(2 * _SIDE * (THRESHOLD + (1 - THRESHOLD) / 2**_BITS))
"""Equal minima of pairs of that similarity; one of 16 others is equal by chance."""
_BLOCK = 1 << 17
"""Characters whose arrays are held at a time, about 40 bytes for each; longer texts are cut into pieces for that."""
_BASE = 0x9E3779B97F4A7C15
"""The base of the polynomial that is the hash of a word; an odd number."""
_SCRAMBLE = np.uint32(0x9E3779B1)
_NIBBLES = np.uint64(0x1111111111111111)

_SEPARATOR, _PART, _ALONE, _MARK, _UNKNOWN = range(5)
"""Kinds of characters: between words, part of a word, a word of its own, and combined with the one before."""
_KINDS = np.full(0x110000, _UNKNOWN, dtype=np.uint8)
"""The kind of each character, filled in as characters are met."""
_UNSPACED = re.compile(f"[{UNSPACED}]")


def signatures(pairs: Sequence[Pair]) -> Rows:
    """The signatures of pairs; they are the same on every machine and in any company."""
    rows = np.empty((len(pairs), BANDS, 2), dtype=np.uint16)
    for side in (0, 1):
        rows[:, :, side] = _side([pair[:2][side] for pair in pairs], side)
    return rows.reshape(len(pairs), BANDS * 2).view(np.uint32)


def alike(some: Rows, others: Rows) -> npt.NDArray[np.bool_]:
    """Whether the pairs of two lists of signatures are near duplicates, each of the one at the same place."""
    found: npt.NDArray[np.bool_] = agreements(some, others) >= _LEAST
    return found


def similarity(some: Rows, others: Rows) -> npt.NDArray[np.float64]:
    """The estimated similarity of each pair with the one at the same place; below 0 by chance."""
    chance = 1 / 2**_BITS
    estimate: npt.NDArray[np.float64] = (agreements(some, others) / (2 * _SIDE) - chance) / (1 - chance)
    return estimate


def agreements(some: Rows, others: Rows) -> npt.NDArray[np.int64]:
    """How many of the 128 minima are equal, of each pair and the one at the same place."""
    differs = (some ^ others).view(np.uint64)
    for shift in (2, 1):
        differs |= differs >> np.uint64(shift)  # the lowest bit of each four tells whether any differs
    different: npt.NDArray[np.int64] = np.bitwise_count(differs & _NIBBLES).sum(axis=1, dtype=np.int64)
    return 2 * _SIDE - different


def found_by_bands(similarity: float) -> float:
    """The chance that two pairs of which both sides have this similarity are equal in at least one band."""
    equal = similarity + (1 - similarity) / 2**_BITS
    return float(1 - (1 - equal**BAND_ROWS) ** BANDS)


def _side(texts: Sequence[str], side: int) -> npt.NDArray[np.uint16]:
    """The minima of a side's hash functions over the features of each text: texts x `BANDS`, four in each number."""
    minima = np.full((_SIDE, len(texts)), 0xFFFFFFFF, dtype=np.uint32)
    for first, block in _blocks(texts):
        features, starts, owners = _features(block)
        if not len(starts):
            continue
        owners += first
        hashed = np.empty_like(features)
        for lowest, (salt, factor) in zip(minima, _functions()[side], strict=True):
            np.bitwise_xor(features, salt, out=hashed)
            np.multiply(hashed, factor, out=hashed)
            lowest[owners] = np.minimum(lowest[owners], np.minimum.reduceat(hashed, starts))
    minima *= _SCRAMBLE
    minima >>= np.uint32(32 - _BITS)
    grouped = minima.astype(np.uint16).reshape(BANDS, BAND_ROWS // 2, len(texts))
    grouped <<= np.arange(0, 16, _BITS, dtype=np.uint16)[:, None]
    packed: npt.NDArray[np.uint16] = np.bitwise_or.reduce(grouped, axis=1).T
    return packed


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """The number of a text, and it and those after it while they are short; or one piece of a long one."""
    start = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size > _BLOCK:
            yield start, texts[start:number]
            start, size = number, len(text)
        if size > _BLOCK:
            yield from ((number, [text[place : place + _BLOCK]]) for place in range(0, size, _BLOCK))
            start, size = number + 1, 0
    yield start, texts[start:]


@lru_cache(maxsize=1)
def _functions() -> npt.NDArray[np.uint32]:
    """The hash functions: sides x functions x (salt, factor)."""
    numbers = _mixed(np.arange(1, 4 * _SIDE + 1, dtype=np.uint64)).reshape(2, _SIDE, 2)
    numbers[:, :, 1] |= np.uint32(1)
    return numbers


def _features(texts: Sequence[str]) -> tuple[_Codes, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The hashes of all features, where those of a text start, and its number; texts without words have none.

    A text's last word stands twice, in place of the bigram that would begin with it.
    """
    words, owners = _word_hashes(texts)
    features = np.empty((len(words), 2), dtype=np.uint32)
    features[:, 0] = _mixed(words)
    features[:, 1] = features[:, 0]
    inside = np.flatnonzero(owners[1:] == owners[:-1])
    features[inside, 1] = _mixed(words[inside] * np.uint64(3) + words[inside + 1])
    first = np.flatnonzero(np.diff(owners, prepend=-1))
    return features.reshape(-1), 2 * first, owners[first]


def _word_hashes(texts: Sequence[str]) -> tuple[_Words, npt.NDArray[np.int64]]:
    """The hashes of the words of all texts, as normalised for duplicates, and the number of each word's text."""
    joined = "\n" + "\n".join(texts)
    if joined.count("\n") > len(texts):
        joined = "\n" + "\n".join(text.replace("\n", " ") for text in texts)
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined)
    codes = np.frombuffer(joined.casefold().encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds, marks = _kinds(codes)
    begins = kinds == _PART
    begins[1:] &= kinds[:-1] != _PART
    begins |= (kinds == _ALONE) & ~marks
    starts = np.flatnonzero(begins)
    ups, downs = _powers(max(1 << 16, 1 << len(codes).bit_length()))
    values = np.where(kinds == _SEPARATOR, 0, codes).astype(np.uint64) * ups[: len(codes)]
    hashes = np.add.reduceat(values, starts) * downs[starts] if len(starts) else values[:0]
    return hashes, np.flatnonzero(codes == ord("\n")).searchsorted(starts) - 1


def _kinds(codes: _Codes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The kind of each character, of marks that of the one before, and which ones are marks. The first is no mark."""
    kinds = _KINDS[codes]
    unknown = kinds == _UNKNOWN
    if unknown.any():
        for code in np.unique(codes[unknown]).tolist():
            _KINDS[code] = _kind(chr(code))
        kinds = _KINDS[codes]
    marks = kinds == _MARK
    if marks.any():
        kinds = kinds[np.maximum.accumulate(np.where(marks, 0, np.arange(len(codes))))]
    return kinds, marks


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] == "M" or character in JOINERS:
        return _MARK
    if category[0] in "PZ" or category in ("Cc", "Cf", "Cs"):
        return _SEPARATOR
    return _ALONE if category[0] == "S" or _UNSPACED.match(character) else _PART


@lru_cache(maxsize=4)
def _powers(size: int) -> tuple[_Words, _Words]:
    """The powers of the base modulo 2^64 from the first on, and of its inverse."""
    bases = (np.full(size, base, dtype=np.uint64) for base in (_BASE, pow(_BASE, -1, 2**64)))
    ups, downs = map(np.cumprod, bases)
    return ups, downs


def _mixed(numbers: _Words) -> _Codes:
    """Evenly distributed hashes of numbers: the finaliser of SplitMix64 (Steele et al. 2014), its upper half."""
    mixed = numbers ^ numbers >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(32)).astype(np.uint32)
