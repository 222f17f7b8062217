"""What is translated of a document while it is not written yet: lines and their translations, in `OUTPUT.partial`.

The file has a line of JSON for what was asked for, and one for each translated line. It grows by whole chunks, each of
which is on the disk before the next is begun, and is gone when the document is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import BinaryIO

from translora.errors import ConfigError, DataError
from translora.io import console
from translora.io.files import only_writer, storage_errors
from translora.translation.result import Translation
from translora.translation.stream import Asked, require_same


class Side:
    """The translations of one document's lines, those of an interrupted start included."""

    def __init__(self, path: Path | None) -> None:
        """Without a `path` nothing is written."""
        self.known: dict[str, Translation] = {}
        """The translation of each line."""
        self._path = path
        self._stream: BinaryIO | None = None

    def begin(self, asked: Asked, resume: bool) -> None:
        """Take up what an earlier start left.

        Raises `ConfigError` where it left something and `resume` is not asked for, or something else was asked for
        then, and `DataError` where what it left is damaged.
        """
        if self._path is None:
            return
        size = self._load(asked, resume) if self._path.exists() else 0
        with storage_errors(self._path):
            self._stream = open(self._path, "r+b" if size else "wb")  # noqa: SIM115  (closed by `close`)
            self._stream.truncate(size)
            self._stream.seek(size)
            if not size:
                self._write({"asked": asdict(asked)})

    def _load(self, asked: Asked, resume: bool) -> int:
        """Read the file; returns the size of its whole lines."""
        assert self._path is not None
        lines = self._path.read_bytes().split(b"\n")[:-1]  # a line that was cut is not whole
        try:
            before = Asked(**json.loads(lines[0])["asked"]) if lines else asked
            found = [json.loads(line) for line in lines[1:]]
            known = {one.pop("line"): Translation(**one) for one in found}
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(f"{self._path} is damaged ({error}): delete it to start over") from error
        if known and not resume:
            raise ConfigError(
                f"{self._path} has {len(known):,} translated lines of an earlier start: add --resume to go on, or "
                f"delete it"
            )
        if not known:
            return 0
        require_same(before, asked, self._path, self._path)
        self.known = known
        return sum(len(line) + 1 for line in lines)

    def add(self, lines: Sequence[str], found: Sequence[Translation]) -> None:
        """Keep the translations of more lines."""
        self.known.update(zip(lines, found, strict=True))
        if self._stream is not None and self._path is not None:
            with storage_errors(self._path):
                for line, one in zip(lines, found, strict=True):
                    self._write({"line": line, **_told(one)})

    def _write(self, row: dict[str, object]) -> None:
        assert self._stream is not None
        self._stream.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")

    def flush(self) -> None:
        """See that all that was added is on the disk."""
        if self._stream is not None and self._path is not None:
            with storage_errors(self._path):
                self._stream.flush()
                os.fsync(self._stream.fileno())

    def close(self, done: bool) -> None:
        """Close the file, and delete it where the document is `done` or nothing was translated."""
        if self._stream is None or self._path is None:
            return
        self._stream.close()
        if done or not self.known:
            self._path.unlink(missing_ok=True)


def _told(one: Translation) -> dict[str, object]:
    """The fields of a translation that are not the default ones; its terms are counted again."""
    default, told = asdict(Translation("")), asdict(replace(one, terms=()))
    return {name: value for name, value in told.items() if name == "text" or value != default[name]}


@contextmanager
def side_of(output: Path | None, asked: Asked, resume: bool) -> Iterator[Side]:
    """The side file of `output` while the block runs, which writes the document at its end; see `Side.begin`."""
    if output is None:
        yield Side(None)
        return
    path = output.with_name(f"{output.name}.partial")
    with storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(path):
        side, done = Side(path), False
        try:
            side.begin(asked, resume)
            yield side
            done = True
        except KeyboardInterrupt:
            if side.known:
                console.notice(f"{len(side.known):,} translated lines are in {path}: --resume goes on from there")
            raise
        finally:
            side.close(done)
