"""Two aligned text files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.lines import read_lines
from translora.data.readers.markup import root_of
from translora.data.readers.rows import make_pair
from translora.data.readers.wmt import read_sgm
from translora.errors import DataError


def read_text(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """Line i of one file with line i of the other; raises `DataError` where one ends first.

    Markup is never taken for text: files of WMT are read as such, others refused.
    """
    if not config.target_path:
        raise DataError(f"{config.path}: text format needs target_path, the file of target lines")
    if root_of(Path(config.path)) or root_of(Path(config.target_path)):
        yield from read_sgm(config, source, target)
        return
    lines = zip_longest(read_lines(Path(config.path)), read_lines(Path(config.target_path)))
    for number, (left, right) in enumerate(lines, start=1):
        if left is None or right is None:
            short, long = (config.path, config.target_path) if left is None else (config.target_path, config.path)
            raise DataError(
                f"{short} ends before line {number}, but {long} goes on: the two files must be aligned line by line"
            )
        fault = next((text for _, text in (left, right) if isinstance(text, DataError)), None)
        yield fault or make_pair(left[1], right[1], config.path, number)
