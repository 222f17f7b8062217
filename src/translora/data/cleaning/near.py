"""Near duplicates: pairs that an earlier kept pair is nearly like, found by MinHash signatures and LSH bands.

A pair is compared with the earlier kept pairs that have the same signature in a whole band. What is found depends on
the order of the pairs alone, not on how many are given at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from translora.data.cleaning.minhash import BANDS, Rows, alike, signatures
from translora.data.pairs import Pair, chunks

CHUNK = 5_000
"""Pairs that are looked at together."""
ALIKE = 32
"""Kept pairs with the same signature in a band that a pair is compared with: the first of them. So the time is bounded
where very many pairs are somewhat alike."""
_FIRST, _GROWTH = 1 << 13, 1.3
_LOAD = 0.6
"""The share of a table that may be full."""
_AT_ONCE = 1 << 18
_SCRAMBLE = np.uint32(0x9E3779B1)

Numbers = npt.NDArray[np.int64]


class NearDuplicates:
    """Tells which pairs an earlier kept one is nearly like; the others it takes for kept, and remembers them."""

    def __init__(self) -> None:
        self._kept = _Kept()
        self._files: dict[str, int] = {}
        self._names: list[str] = []
        self._numbers, self._lines = array("i"), array("q")

    def find(self, rows: Rows, pairs: Sequence[Pair]) -> list[str]:
        """For each pair the place `file:line` of the first kept one that it is nearly like; empty where it is kept.

        `rows` are the signatures of `pairs`, whose texts are not looked at.
        """
        earlier = self._kept.add(rows)
        for row in np.flatnonzero(earlier < 0).tolist():
            file, line = pairs[row][2:]
            if file not in self._files:
                self._files[file] = len(self._names)
                self._names.append(file)
            self._numbers.append(self._files[file])
            self._lines.append(line)
        return [self._origin(number) if number >= 0 else "" for number in earlier.tolist()]

    def each(self, pairs: Iterable[Pair]) -> Iterator[tuple[Pair, str]]:
        """Each pair with what `find` tells of it."""
        for chunk in chunks(pairs, CHUNK):
            yield from zip(chunk, self.find(signatures(chunk), chunk), strict=True)

    def _origin(self, number: int) -> str:
        return Pair("", "", self._names[self._numbers[number]], self._lines[number]).origin


class _Kept:
    """The signatures of the kept pairs, and for each band a table of them by that part of the signature.

    The tables hold the numbers of pairs in 4 bytes, by open addressing with linear probing; 0 is an empty slot.
    """

    def __init__(self) -> None:
        self._count = 0
        self._rows = np.zeros((_FIRST, BANDS), dtype=np.uint32)
        self._slots = [np.zeros(_FIRST, dtype=np.uint32) for _ in range(BANDS)]

    def add(self, rows: Rows) -> Numbers:
        """The number of the first kept pair that each is nearly like, else -1; pairs with -1 are kept."""
        earlier, counts = self._lookup(rows)
        joins = counts < ALIKE
        open_rows = np.flatnonzero(earlier < 0)
        within = _near_within(rows, open_rows, counts, joins)
        kept = earlier < 0
        kept[list(within)] = False
        numbers = self._count + kept.cumsum() - 1
        for row, other in within.items():
            earlier[row] = numbers[other]
        self._append(rows[kept], joins[kept])
        return earlier

    def _lookup(self, rows: Rows) -> tuple[Numbers, Numbers]:
        """The number of the first kept pair that each is nearly like, else -1, and how many each band's table has."""
        earlier, counts = np.full(len(rows), -1), np.zeros((len(rows), BANDS), dtype=np.int64)
        found = [np.zeros(0, dtype=np.int64)]
        for band in range(BANDS):
            asking, kept = self._same(rows[:, band], band)
            counts[:, band] = np.bincount(asking, minlength=len(rows))
            found.append(asking << 32 | kept)
        together = np.unique(np.concatenate(found))
        for start in range(0, len(together), _AT_ONCE):
            asking, kept = together[start : start + _AT_ONCE] >> 32, together[start : start + _AT_ONCE] & 0xFFFFFFFF
            near = alike(rows[asking], self._rows[kept])
            asking, first = np.unique(asking[near], return_index=True)
            new = earlier[asking] < 0
            earlier[asking[new]] = kept[near][first[new]]
        return earlier, counts

    def _same(self, keys: npt.NDArray[np.uint32], band: int) -> tuple[Numbers, Numbers]:
        """The places in `keys` and the numbers of the kept pairs that have this key in the band's table."""
        slots, asking, places = self._slots[band], np.arange(len(keys)), self._homes(keys, band)
        found = [(asking[:0], asking[:0])]
        while len(asking):
            numbers = slots[places]
            filled = numbers != 0
            asking, places, kept = asking[filled], places[filled], numbers[filled].astype(np.int64) - 1
            same = self._rows[kept, band] == keys[asking]
            found.append((asking[same], kept[same]))
            places = _next(places, len(slots))
        askers, kept_ones = zip(*found, strict=True)
        return np.concatenate(askers), np.concatenate(kept_ones)

    def _homes(self, keys: npt.NDArray[np.uint32], band: int) -> Numbers:
        scrambled = (keys * _SCRAMBLE).astype(np.uint64)
        return (scrambled * np.uint64(len(self._slots[band])) >> np.uint64(32)).astype(np.int64)

    def _append(self, rows: Rows, joins: npt.NDArray[np.bool_]) -> None:
        """Keep pairs; `joins` tells which bands' tables each goes into."""
        count = self._count + len(rows)
        assert count < 1 << 32, "numbers have 4 bytes"
        if count > len(self._rows):
            self._rows.resize((int(count * _GROWTH), BANDS), refcheck=False)
        self._rows[self._count : count] = rows
        numbers = np.arange(self._count, count)
        self._count = count
        for band, slots in enumerate(self._slots):
            if count > _LOAD * len(slots):
                old = slots[slots != 0].astype(np.int64) - 1
                self._slots[band] = np.zeros(int(count / _LOAD * _GROWTH), dtype=np.uint32)
                self._insert(old, band)
            self._insert(numbers[joins[:, band]], band)

    def _insert(self, numbers: Numbers, band: int) -> None:
        slots = self._slots[band]
        for start in range(0, len(numbers), _AT_ONCE):
            waiting = numbers[start : start + _AT_ONCE]
            places = self._homes(self._rows[waiting, band], band)
            while len(waiting):
                free = slots[places] == 0
                slots[places[free]] = waiting[free] + 1
                lost = slots[places] != waiting + 1
                waiting, places = waiting[lost], _next(places[lost], len(slots))


def _next(places: Numbers, size: int) -> Numbers:
    places = places + 1
    places[places == size] = 0
    return places


def _near_within(rows: Rows, chosen: Numbers, counts: Numbers, joins: npt.NDArray[np.bool_]) -> dict[int, int]:
    """Those of the `chosen` rows that an earlier chosen one, itself not among them, is nearly like, with that one.

    `counts` are the kept pairs from before with the same key, by row and band; `joins` is set to False where the
    band's table has enough of them.
    """
    near: dict[int, int] = {}
    members: dict[tuple[int, int], list[int]] = {}
    for row in chosen[_contested(rows[chosen])].tolist():
        keys = list(enumerate(rows[row].tolist()))
        others = sorted({other for key in keys for other in members.get(key, ())})
        if others and (hits := np.flatnonzero(alike(rows[others], rows[[row]]))).size:
            near[row] = others[hits[0]]
            continue
        for band, key in keys:
            group = members.setdefault((band, key), [])
            joins[row, band] = counts[row, band] + len(group) < ALIKE
            if joins[row, band]:
                group.append(row)
    return near


def _contested(rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows have a key of a band that another one has too."""
    shared = np.zeros(len(rows), dtype=np.bool_)
    for keys in rows.T:
        order = keys.argsort(kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        shared[order[1:][same]] = True
        shared[order[:-1][same]] = True
    return shared
