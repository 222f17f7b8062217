"""From rows of cells and records of fields to pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from translora.config import SourceConfig
from translora.data.form import find_fields, find_form
from translora.data.pairs import Item, Pair
from translora.errors import DataError
from translora.io import console

PEEKED = 2000
"""Rows by which the form of a file is found."""
_OUTER = " \t\r\n"
"""The white space that may surround a text; all other spaces belong to it."""

Row = tuple[int, list[str] | DataError]
"""The number of a row's first line, and its cells."""


def make_pair(source: Any, target: Any, file: str, line: int) -> Item:
    """A pair of two texts, or a `DataError` for anything else."""
    for side, text in (("source", source), ("target", target)):
        if not isinstance(text, str):
            return DataError(f"{file}:{line}: the {side} is {type(text).__name__}, not text: give two text columns")
    return Pair(_trimmed(source), _trimmed(target), file, line)


def _trimmed(text: str) -> str:
    """`text` without white space around it, nor the byte order mark of a file whose lines were pasted into a column."""
    plain = text.strip(_OUTER)
    return plain.lstrip("\ufeff" + _OUTER) if plain.startswith("\ufeff") else plain


def table_pairs(rows: Iterator[Row], config: SourceConfig, languages: tuple[str, str], kind: str) -> Iterator[Item]:
    """Pairs out of rows of cells, whose form the first of them decide; `kind` says how they were separated.

    Raises `DataError` where the columns of source and target cannot be told.
    """
    peeked = list(islice(rows, PEEKED))
    tables = [
        (line, cells) for line, cells in peeked if not isinstance(cells, DataError) and any(map(str.strip, cells))
    ]
    if not tables:
        yield from (cells for _, cells in peeked if isinstance(cells, DataError))
        return
    begin = tables[0][0]
    form = find_form([cells for _, cells in tables], config, languages, begin)
    console.notice(form.words(config.path, kind))
    for line, cells in chain(peeked, rows):
        if isinstance(cells, DataError):
            yield cells
        elif not (form.header and line == begin):
            yield _row_pair(line, cells, form.places, config.path)


def _row_pair(line: int, cells: list[str], places: Sequence[int], file: str) -> Item:
    if max(places) >= len(cells):
        return DataError(
            f"{file}:{line}: {len(cells)} column(s) where {max(places) + 1} are needed: source and target belong in "
            f"two columns"
        )
    return make_pair(cells[places[0]], cells[places[1]], file, line)


class Records:
    """Makes pairs of the records of one source: flat, or `{"translation": {"de": ..., "en": ...}}`."""

    def __init__(self, config: SourceConfig, languages: tuple[str, str], kind: str) -> None:
        self._config, self._languages, self._kind = config, languages, kind
        self._fields: tuple[str, str] | None = None

    def pair(self, record: Any, line: int) -> Item:
        """The pair of a record.

        Raises `DataError` where the fields of the first record do not say which are meant.
        """
        path = self._config.path
        if isinstance(record, dict) and isinstance(record.get("translation"), dict):
            record = record["translation"]
        if not isinstance(record, dict):
            return DataError(f"{path}:{line}: {type(record).__name__} instead of an object of two texts")
        if self._fields is None:
            self._fields = find_fields(record, self._config, self._languages, f"{path}:{line}")
            source, target = self._fields
            console.notice(f"{path}: {self._kind}, source = field {source!r}, target = field {target!r}")
        if missing := [field for field in self._fields if field not in record]:
            return DataError(f"{path}:{line}: no field {' and '.join(missing)}; it has {', '.join(record)[:200]}")
        return make_pair(record[self._fields[0]], record[self._fields[1]], path, line)
