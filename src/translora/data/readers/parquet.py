"""Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.lines import COMPRESSED, DAMAGED, open_binary
from translora.data.readers.rows import record_pair
from translora.errors import DataError


def read_parquet(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The rows of a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = Path(config.path)
    try:
        plain: Any = io.BytesIO(open_binary(path).read()) if path.suffix in COMPRESSED else path
        file = parquet.ParquetFile(plain)
        names = file.schema_arrow.names
        nested = "translation" in names and pa.types.is_struct(file.schema_arrow.field("translation").type)
        columns = ["translation"] if nested else list(config.columns or (source, target))
        if missing := [column for column in columns if column not in names]:
            raise DataError(
                f"{path}: no column {' and '.join(missing)}; it has {', '.join(names)}: name the two in columns"
            )
        line = 0
        for batch in file.iter_batches(columns=columns):
            for record in batch.to_pylist():
                line += 1
                yield record_pair(record, config, source, target, line)
    except (pa.ArrowException, ValueError, *DAMAGED) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
