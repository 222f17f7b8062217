"""JSON: one object per line, or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Item, Pair
from translora.data.readers.lines import DAMAGED, open_binary, read_lines
from translora.data.readers.rows import Records
from translora.errors import DataError


def read_jsonl(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """One JSON object per line."""
    records = Records(config, (source, target), "JSON lines")
    for number, line in read_lines(Path(config.path)):
        if isinstance(line, DataError):
            yield line
        elif line.strip():
            yield _json_pair(line, records, config.path, number)


def read_json(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """One array of objects, which is read whole, or one object per line; records are numbered from 1."""
    path = Path(config.path)
    with open_binary(path) as stream:
        try:
            start = stream.read(1 << 16)
            if not start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
                yield from read_jsonl(config, source, target)
                return
            whole = json.loads(start + stream.read())
        except DAMAGED as error:
            raise DataError(f"{path}: damaged or cut short ({error}): copy it again") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: not JSON ({error}): one array of objects, or one object a line") from error
    records = Records(config, (source, target), "JSON array")
    for number, record in enumerate(whole, start=1):
        yield _whole_pair(record, records, config.path, number)


def _json_pair(line: str, records: Records, path: str, number: int) -> Item:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return DataError(f"{path}:{number}: not JSON ({error}): one object a line")
    return _whole_pair(record, records, path, number)


def _whole_pair(record: Any, records: Records, path: str, number: int) -> Item:
    item = records.pair(record, number)
    try:
        if isinstance(item, Pair):
            (item.source + item.target).encode()
    except UnicodeEncodeError:
        return DataError(f"{path}:{number}: half a surrogate pair, which is no character: write the whole one")
    return item
