"""JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Item, Pair
from translora.data.readers.lines import read_lines
from translora.data.readers.rows import record_pair
from translora.errors import DataError


def read_jsonl(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """One JSON object per line."""
    for number, line in read_lines(Path(config.path)):
        if isinstance(line, DataError):
            yield line
        elif line.strip():
            yield _json_pair(line, config, source, target, number)


def _json_pair(line: str, config: SourceConfig, source: str, target: str, number: int) -> Item:
    try:
        item = record_pair(json.loads(line), config, source, target, number)
        if isinstance(item, Pair):
            (item.source + item.target).encode()
    except UnicodeEncodeError:
        return DataError(f"{config.path}:{number}: half a surrogate pair, which is no character: write the whole one")
    except (ValueError, RecursionError) as error:
        return DataError(f"{config.path}:{number}: not JSON ({error}): one object a line")
    return item
