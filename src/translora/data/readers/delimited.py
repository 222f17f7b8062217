"""TSV and CSV: rows of cells, quoted or not."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from translora.config import SourceConfig
from translora.data.form import find_separator, given_separator, separator_name
from translora.data.pairs import Item
from translora.data.readers.lines import LONGEST, read_lines
from translora.data.readers.rows import PEEKED, Row, table_pairs
from translora.errors import DataError

_Line = tuple[int, str | DataError]
_SEP_LINE = re.compile(r'"?sep=(.)"?')
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
"""A whole quoted cell (RFC 4180, 2.7)."""
_OPENED = re.compile(r'"(?:[^"]|"")*')
"""A quoted cell that goes on in the next line."""
_MOST_LINES = 100
"""A cell of more lines than this is none: a text has a quote that nothing closes."""


def read_tsv(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The rows of a TSV file; its cells are quoted where its beginning shows that a program quoted them."""
    lines = read_lines(Path(config.path))
    peeked = list(islice(lines, PEEKED))
    mark = given_separator(config) or "\t"
    rest = chain(peeked, lines)
    kind = "TSV" if mark == "\t" else separator_name(mark)
    if cells_are_quoted([text for _, text in peeked if isinstance(text, str)], mark):
        return table_pairs(_csv_rows(rest, mark, config.path), config, (source, target), f"{kind}, quoted")
    rows: Iterator[Row] = ((n, text if isinstance(text, DataError) else text.split(mark)) for n, text in rest)
    return table_pairs(rows, config, (source, target), kind)


def read_csv(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The rows of a CSV file (RFC 4180), whatever separates its cells; Excel's `sep=;` line is obeyed.

    Raises `DataError` where its quoting breaks.
    """
    lines = read_lines(Path(config.path))
    peeked = list(islice(lines, PEEKED))
    says = _SEP_LINE.fullmatch(peeked[0][1]) if peeked and isinstance(peeked[0][1], str) else None
    if says:
        peeked = peeked[1:]
    texts = [text for _, text in peeked if isinstance(text, str) and text]
    mark = says[1] if says and not config.separator else find_separator(texts, config, (source, target))
    rows = _csv_rows(chain(peeked, lines), mark, config.path)
    return table_pairs(rows, config, (source, target), f"CSV, {separator_name(mark)}")


def cells_are_quoted(lines: Sequence[str], mark: str = "\t") -> bool:
    """Whether quotes around the cells of `lines` are a program's (pandas, Excel) and not the texts' own.

    A program doubles the quotes inside and quotes whatever holds one; a text that has quotes elsewhere was not written
    by one. A quoted cell may go on over line ends, but not over tabs: then two lines of a text begin and end with one.
    """
    proof = False
    rows, open_cell, opened = 0, False, 0
    all_quoted = True
    for place, line in enumerate(lines):
        cells = line.split(mark)
        if open_cell:
            ends = next((i for i, cell in enumerate(cells) if re.fullmatch(r'(?:[^"]|"")*"', cell)), None)
            if mark == "\t" and len(cells) > 1 and ends != 0:
                return False
            if ends is None:
                continue
            cells, open_cell, proof = cells[ends + 1 :], False, True
        for number, cell in enumerate(cells):
            if '"' not in cell:
                all_quoted = all_quoted and not cell.strip()
            elif _QUOTED.fullmatch(cell):
                proof = proof or '""' in cell[1:-1]
            elif number == len(cells) - 1 and _OPENED.fullmatch(cell):
                open_cell, opened = True, place
            else:
                return False
        rows += 1
    if open_cell and (len(lines) < PEEKED or place - opened > _MOST_LINES):
        return False  # nothing closes it; in a longer file one of the next lines may
    return proof or (all_quoted and rows > 1)


def _csv_rows(lines: Iterator[_Line], mark: str, path: str) -> Iterator[Row]:
    """The rows of quoted cells, each with the number of its first line."""
    faults: list[Row] = []
    place = 0

    def texts() -> Iterator[str]:
        nonlocal place
        for number, text in lines:
            if isinstance(text, DataError):
                faults.append((number, text))
                continue
            place = number
            yield text + "\n"

    csv.field_size_limit(LONGEST)
    reader = csv.reader(texts(), delimiter=mark, strict=True)
    while True:
        taken = reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}:{place}: not CSV ({error}): close or double its quotes, or set format to tsv"
            ) from error
        yield from faults
        faults.clear()
        if cells is None:
            return
        if cells:  # csv gives an empty line no cells
            yield place - (reader.line_num - taken) + 1, cells
