"""Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.form import find_fields
from translora.data.pairs import Item
from translora.data.readers.lines import COMPRESSED, DAMAGED, open_binary
from translora.data.readers.rows import Records
from translora.errors import DataError


def read_parquet(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The rows of a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = Path(config.path)
    records = Records(config, (source, target), "Parquet")
    try:
        plain: Any = io.BytesIO(open_binary(path).read()) if path.suffix in COMPRESSED else path
        file = parquet.ParquetFile(plain)
        names = file.schema_arrow.names
        nested = "translation" in names and pa.types.is_struct(file.schema_arrow.field("translation").type)
        columns = ["translation"] if nested else find_fields(names, config, (source, target), str(path))
        line = 0
        for batch in file.iter_batches(columns=list(columns)):
            for record in batch.to_pylist():
                line += 1
                yield records.pair(record, line)
    except (pa.ArrowException, ValueError, *DAMAGED) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
