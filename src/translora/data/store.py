"""A growing Arrow table, in memory while it is small, else in an unnamed file that is memory-mapped afterwards."""

from __future__ import annotations

import mmap
import tempfile
from typing import IO, Any

import pyarrow as pa

from translora.io.files import cache_folder, storage_errors

IN_MEMORY = 256 * 2**20
"""Bytes from which a table is written to the disk."""


class Store:
    """Collects record batches, inside a `with` block; the table that they become outlives it.

    The file has no name, so nothing is left of it when the process ends.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._writer: Any = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()  # what is mapped stays

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the rows of `batch`; raises `StorageError` where the disk is full."""
        self._bytes += batch.nbytes
        self._batches.append(batch)
        if self._bytes <= IN_MEMORY:
            return
        folder = cache_folder() / "pairs"
        with storage_errors(folder):
            if self._writer is None:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed in `__exit__`
                self._writer = pa.ipc.new_file(self._file, self._schema)
            for waiting in self._batches:
                self._writer.write_batch(waiting)
        self._batches = []

    def table(self) -> pa.Table:
        """All rows, in order; nothing can be added afterwards."""
        if self._file is None:
            return pa.Table.from_batches(self._batches, schema=self._schema)
        with storage_errors(cache_folder() / "pairs"):
            self._writer.close()
            self._file.flush()
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return pa.ipc.open_file(pa.py_buffer(mapped)).read_all()


def take_rows(table: pa.Table, indices: Any) -> pa.Table:
    """The rows at `indices`, in that order. Arrow's own `take` would first copy a table of several chunks whole.

    Raises `IndexError` for a row that is not there.
    """
    wanted = pa.array(indices, type=pa.int64())
    batches = table.to_batches()
    if len(batches) < 2:
        return table.take(wanted)
    rows = wanted.to_numpy()
    if len(rows) and not 0 <= rows.min() <= rows.max() < table.num_rows:
        raise IndexError(f"rows {rows.min()} to {rows.max()} of a table of {table.num_rows}")
    ends = pa.array([batch.num_rows for batch in batches]).to_numpy().cumsum()
    order = rows.argsort(kind="stable")
    places = rows[order].searchsorted(ends)  # where the rows of each batch end in the sorted indices
    taken, start = [], 0
    for batch, end, place in zip(batches, ends, places, strict=True):
        if place > start:
            taken.append(batch.take(pa.array(rows[order[start:place]] - (end - batch.num_rows))))
        start = place
    found = pa.Table.from_batches(taken, schema=table.schema).combine_chunks()
    return found if (rows[1:] >= rows[:-1]).all() else found.take(pa.array(order.argsort()))
