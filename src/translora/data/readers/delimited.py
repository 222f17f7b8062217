"""TSV and CSV: rows of cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.lines import LONGEST, read_lines
from translora.data.readers.rows import Row, table_pairs
from translora.errors import DataError


def read_tsv(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The rows of a TSV file: cells between tabs, never quoted."""
    lines = read_lines(Path(config.path))
    rows = ((number, text if isinstance(text, DataError) else text.split("\t")) for number, text in lines)
    return table_pairs(rows, config, source, target)


def read_csv(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The rows of a CSV file (RFC 4180); raises `DataError` where its quoting breaks."""
    faults: list[Row] = []

    def texts() -> Iterator[str]:
        for number, text in read_lines(Path(config.path)):
            if isinstance(text, DataError):
                faults.append((number, text))
            else:
                yield text + "\n"

    def rows() -> Iterator[Row]:
        csv.field_size_limit(LONGEST)
        reader = csv.reader(texts(), strict=True)
        try:
            for cells in reader:
                yield from _taken(faults)
                if cells:  # csv gives an empty line no cells
                    yield reader.line_num, cells
        except csv.Error as error:
            line = reader.line_num
            raise DataError(f"{config.path}:{line}: not CSV ({error}): quote it, or use TSV") from error
        yield from _taken(faults)

    return table_pairs(rows(), config, source, target)


def _taken(rows: list[Row]) -> list[Row]:
    """What is in `rows`, which is empty afterwards."""
    taken = rows[:]
    rows.clear()
    return taken
