"""From rows of cells and records of fields to pairs: which hold the source and the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Item, Pair
from translora.errors import DataError
from translora.languages import language_name


def make_pair(source: Any, target: Any, file: str, line: int) -> Item:
    """A pair of two texts, or a `DataError` for anything else."""
    for side, text in (("source", source), ("target", target)):
        if not isinstance(text, str):
            return DataError(f"{file}:{line}: the {side} is {type(text).__name__}, not text: give two text columns")
    return Pair(source.strip(), target.strip(), file, line)


Row = tuple[int, list[str] | DataError]


def table_pairs(rows: Iterator[Row], config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """Pairs out of rows of cells; the first row may be a header."""
    places: list[int] | None = None
    for line, cells in rows:
        if isinstance(cells, DataError):
            yield cells
        elif places is None:
            places, is_header = _places(line, cells, config, (source, target))
            if not is_header:
                yield _cells(line, cells, places, config.path)
        else:
            yield _cells(line, cells, places, config.path)


def _places(line: int, first: list[str], config: SourceConfig, languages: tuple[str, str]) -> tuple[list[int], bool]:
    """Where source and target are in a row, and whether the first one is a header."""
    wanted = config.columns or languages
    if len(set(wanted)) < len(wanted):
        raise DataError(f"{config.path}: columns names {wanted[0]} twice: name the source and the target column")
    headers = [{code.casefold(), language_name(code).casefold()} for code in languages]
    cells = [cell.strip().casefold() for cell in first]
    numbers = [int(column) - 1 for column in wanted if column.isdecimal() and int(column) > 0]
    if len(numbers) == len(wanted):
        named = max(numbers) < len(cells) and all(
            cells[place] in names for place, names in zip(numbers, headers, strict=True)
        )
        return numbers, named
    if set(wanted) <= set(first):
        return [first.index(column) for column in wanted], True
    found = [next((place for place, cell in enumerate(cells) if cell in names), None) for names in headers]
    if not config.columns and None not in found:
        return [place for place in found if place is not None], True
    if config.columns:
        raise DataError(
            f"{config.path}:{line}: no column {' and '.join(wanted)}: the first line has {', '.join(first)[:200]}"
        )
    return [0, 1], False


def _cells(line: int, cells: list[str], places: Sequence[int], file: str) -> Item:
    if max(places) >= len(cells):
        return DataError(
            f"{file}:{line}: {len(cells)} column(s) where {max(places) + 1} are needed: source and target belong "
            f"into two columns"
        )
    return make_pair(cells[places[0]], cells[places[1]], file, line)


def record_pair(record: Any, config: SourceConfig, source: str, target: str, line: int) -> Item:
    """A pair out of a record: flat, or the `{"translation": {"de": ..., "en": ...}}` form of translation sets."""
    columns = config.columns or (source, target)
    if isinstance(record, dict) and isinstance(record.get("translation"), dict):
        record = record["translation"]
    if not isinstance(record, dict):
        return DataError(f"{config.path}:{line}: {type(record).__name__} instead of an object of two texts")
    missing = [column for column in columns if column not in record]
    if missing:
        return DataError(
            f"{config.path}:{line}: no field {' and '.join(missing)}; it has {', '.join(map(str, record))[:200]}: "
            f"name the two fields in columns"
        )
    return make_pair(record[columns[0]], record[columns[1]], config.path, line)
