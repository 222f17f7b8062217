"""A set of 64-bit hashes in 11 to 17 bytes each, where Python's own takes about 90; and hashes that came before."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
_PARTS = 256
"""Tables that grow one after the other, so that the copy of one that grows is small beside all."""
_FIRST, _GROWTH = 32, 1.5
_LOAD = 0.7
"""The share of a table that may be full."""
_TAIL = 32
"""Slots behind the last home of a hash, so that a search need not begin again at the front."""


_BUCKET = 1 << 22
"""About as many hashes as are sorted at a time."""


def repeated(parts: Sequence[Hashes]) -> list[Mask]:
    """Which hashes came before, in their own part or in an earlier one: what `HashSet.add` would tell of each."""
    starts = np.cumsum([0, *map(len, parts)])
    found = np.zeros(starts[-1], dtype=np.bool_)
    parts = [np.where(part == 0, np.uint64(_PARTS), part) for part in parts]  # as in a set
    buckets = int(starts[-1]) // _BUCKET + 1
    for bucket in range(buckets):
        chosen = [np.flatnonzero(part % np.uint64(buckets) == bucket) for part in parts]
        places = np.concatenate([rows + start for rows, start in zip(chosen, starts, strict=False)] or [starts[:0]])
        hashes = np.concatenate([part[rows] for part, rows in zip(parts, chosen, strict=True)] or [starts[:0]])
        order = hashes.argsort(kind="stable")
        same = hashes[order[1:]] == hashes[order[:-1]]
        found[places[order[1:][same]]] = True
    return np.split(found, starts[1:-1]) if parts else []


class HashSet:
    """A set of numbers from 0 to 2^64 - 1 that are evenly distributed."""

    def __init__(self) -> None:
        self._parts = [_Table() for _ in range(_PARTS)]

    def __len__(self) -> int:
        return sum(part.count for part in self._parts)

    def add(self, value: int) -> bool:
        """Add `value`; returns whether it was not there."""
        return self._parts[value % _PARTS].add(value or _PARTS)  # 0 is an empty slot, and counts as another number

    @property
    def nbytes(self) -> int:
        """The memory of all slots."""
        return sum(part.nbytes for part in self._parts)


class _Table:
    """Open addressing with linear probing. The last slot is always empty, so every search ends."""

    def __init__(self) -> None:
        self.count = 0
        self._homes = _FIRST
        self._slots = array("Q", [0]) * (_FIRST + _TAIL)

    @property
    def nbytes(self) -> int:
        return len(self._slots) * self._slots.itemsize

    def add(self, value: int) -> bool:
        slots = self._slots
        place = value // _PARTS % self._homes
        while found := slots[place]:
            if found == value:
                return False
            place += 1
        slots[place] = value
        self.count += 1
        if self.count > _LOAD * self._homes or place + 1 == len(slots):
            self._grow()
        return True

    def _grow(self) -> None:
        """Put all hashes into a larger table, by their homes: each at its own, or behind the one before."""
        values = np.frombuffer(self._slots, dtype=np.uint64)
        values = values[values != 0]
        self._homes = int(self._homes * _GROWTH)
        homes = (values // np.uint64(_PARTS) % np.uint64(self._homes)).astype(np.int64)
        order = homes.argsort(kind="stable")
        number = np.arange(len(values))
        places = np.maximum.accumulate(homes[order] - number) + number
        self._slots = array("Q", [0]) * (max(self._homes, int(places[-1]) + 1) + _TAIL)
        np.frombuffer(self._slots, dtype=np.uint64)[places] = values[order]
