"""Remarks of readers: units that they pass over or change, said in one line and kept for whoever counts them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from translora.io import console


@dataclass(frozen=True)
class Remark:
    """Something that a reader met in a file, and how often."""

    kind: str
    count: int
    place: str
    """The first of them, as `file:line`."""
    left_out: bool
    """Whether these became no pairs."""


_kept: ContextVar[list[Remark] | None] = ContextVar("remarks", default=None)


def remark(found: Remark, words: str) -> None:
    """Say `words`, and keep `found` where `kept_remarks` is at work."""
    file, _, line = found.place.rpartition(":")
    console.notice(f"{file}: {words} (the first at line {line})")
    if (remarks := _kept.get()) is not None:
        remarks.append(found)


@contextmanager
def kept_remarks() -> Iterator[list[Remark]]:
    """The remarks of the files that are read inside the block."""
    remarks: list[Remark] = []
    token = _kept.set(remarks)
    try:
        yield remarks
    finally:
        _kept.reset(token)


class Counts:
    """What a reader leaves out of one file, or changes, by kind."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: dict[tuple[str, bool], tuple[int, int]] = {}
        """The number of each kind, and the line of the first."""

    def add(self, kind: str, line: int, left_out: bool = True) -> None:
        """One more of a kind, at `line`."""
        count, first = self._found.get((kind, left_out), (0, line))
        self._found[kind, left_out] = count + 1, first

    def say(self) -> None:
        """Remark on each kind."""
        for (kind, left_out), (count, first) in self._found.items():
            words = f"{count:,} {kind}" + (" left out" if left_out else "")
            remark(Remark(kind, count, f"{self._file}:{first}", left_out), words)
