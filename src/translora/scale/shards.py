"""Work in shards: fixed ranges of rows, each with a result of its own that is a file once it is whole.

Knows neither rows nor machines. Who does the work is an `Engine`'s; what becomes of the results is the caller's, who
folds them in order. A start that was killed, or a machine that was lost, costs the shards that were under way: the same
work takes up the files that are there, each of which says by its key what it is the result of.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from translora import __version__
from translora.io import console
from translora.io.console import meter
from translora.io.files import LOCK, atomic_file, only_process, remove_leftovers, sha256

_KEY = b"translora"
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")

Function = Callable[[Any], pa.Table]
"""Does the work of one shard, whose rows it is given; the rows of the table are the caller's matter."""


@dataclass(frozen=True)
class Work:
    """What is done with every shard."""

    label: str
    """The name of it, for progress."""
    unit: str
    """What the rows are, such as pairs."""
    make: Callable[[], Function]
    """Makes the function; each worker calls it once. It travels by pickle."""
    key: str
    """A hash of all that the results follow from, beside the rows."""


def key_of(*parts: str | bytes) -> str:
    """A key for `Work`: a hash of `parts` and of the version of translora."""
    return sha256(__version__, *parts)


class Shard(NamedTuple):
    """The rows of a shard on their way to a worker."""

    number: int
    key: str
    rows: bytes
    """Pickled."""


class Engine(Protocol):
    """Whoever does the work."""

    def each(self, work: Work, shards: Iterator[Shard]) -> Iterator[tuple[Shard, bytes]]:
        """Each of `shards` with what `result_of` gives for it, in any order.

        Raises the `TransloraError` that the work raises, and one where it cannot be done at all.
        """


def result_of(function: Function, shard: Shard) -> bytes:
    """The file of a shard's result."""
    table = function(pickle.loads(shard.rows))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: shard.key.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=_COMPRESSED) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@contextmanager
def shard_folder(folder: Path) -> Iterator[Path]:
    """Hold `folder` for results: they stay where the block fails, and are deleted where it ends well.

    Raises `StorageError` where it cannot be written, or another process is at work in it.
    """
    with only_process(folder):
        remove_leftovers(folder)
        yield folder
        for file in _files(folder):
            file.unlink()
    with suppress(OSError):
        (folder / LOCK).unlink()
        folder.rmdir()


def map_shards(work: Work, shards: Iterable[list[Any]], folder: Path, engine: Engine) -> list[Path]:
    """Have `engine` do `work` with each of `shards`; returns the files of the results, in order.

    Files that lie in `folder` already and have the right key are taken over.
    """
    taken = found = 0

    def missing() -> Iterator[Shard]:
        nonlocal taken, found
        for number, rows in enumerate(shards):
            data = pickle.dumps(rows, protocol=5)
            shard = Shard(number, sha256(work.key, data), data)
            found += 1
            if _is_whole(_file(folder, number), shard.key):
                taken += 1
                continue
            sizes[number] = len(rows)
            yield shard

    sizes: dict[int, int] = {}
    with meter(work.label, None, work.unit) as shown, closing(engine.each(work, missing())) as results:  # type: ignore[type-var]
        for shard, result in results:
            with atomic_file(_file(folder, shard.number)) as temporary:
                temporary.write_bytes(result)
            shown.advance(sizes.pop(shard.number))
    if taken:
        console.notice(f"{work.label}: {taken:,} of {found:,} shards were there from an earlier start")
    return [_file(folder, number) for number in range(found)]


def read_shard(path: Path) -> pa.Table:
    """The table of a result."""
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.arrow"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.arrow") if path.stem.isdecimal())


def _is_whole(path: Path, key: str) -> bool:
    """Whether a result is there, and that of the key."""
    if not path.exists():
        return False
    try:
        with pa.OSFile(str(path)) as file:
            return bool((pa.ipc.open_file(file).schema.metadata or {}).get(_KEY) == key.encode())
    except (pa.ArrowException, OSError) as error:
        console.notice(f"{path}: damaged ({error}): it is done again")
        return False
