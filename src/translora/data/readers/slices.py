"""Splits and slices, such as `train[:1%]`: the part of a source that is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from translora.data.pairs import Item
from translora.errors import DataError
from translora.io import console

_SLICE = re.compile(r"(?P<name>[\w.-]*)(?:\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


def parse_split(text: str, unnamed: str = "train") -> tuple[str, str, str]:
    """`test[:1%]` to ("test", "", "1%"): the name of a split, and where its slice begins and ends.

    A text without a name, such as `[:500]` or none at all, is of the split `unnamed`.

    Raises `DataError` for any other form.
    """
    found = _SLICE.fullmatch(text)
    if not found:
        raise DataError(f"split {text!r}: use a name with an optional slice, such as train, train[:1%], test[100:600]")
    return found["name"] or unnamed, found["start"] or "", found["stop"] or ""


def slice_bounds(start: str, stop: str, total: Callable[[], int]) -> tuple[int, int | None]:
    """The rows that a slice of the form of `parse_split` takes; percentages are rounded to the nearest row.

    `total`, the number of rows, is called only where a percentage or a negative number needs it.
    """

    def place(text: str) -> int:
        number = int(text.removesuffix("%"))
        if text.endswith("%"):
            number = round(total() * number / 100)
        return number if number >= 0 else max(0, total() + number)

    return place(start) if start else 0, place(stop) if stop else None


def sliced(items: Callable[[], Iterator[Item]], split: str, path: str) -> Iterator[Item]:
    """The part of a file's items that `split`, a slice such as `[:500]` or `train[:1%]`, takes.

    `items` reads them; it is called once more where the slice needs their number. Raises `DataError` for a split
    without a slice: a file has none.
    """
    name, start, stop = parse_split(split)
    if not start and not stop:
        raise DataError(
            f"{path}: a file has no split {name!r}: leave split out, or take a part of it, such as {name}[:500]"
        )

    def total() -> int:
        with console.quiet(True):  # the second reading says it all again
            return sum(1 for _ in items())

    first, last = slice_bounds(start, stop, total)
    return islice(items(), first, last)


def pairs_only(items: Iterator[Item], limit: int) -> Iterator[Item]:
    """The items up to the pair number `limit`; unreadable lines do not count."""
    left = limit
    for item in items:
        yield item
        left -= not isinstance(item, DataError)
        if not left:
            return
