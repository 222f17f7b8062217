"""The lines of text files: UTF-8, plain, .gz or .zst, each with its number. Knows nothing of pairs."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from translora.errors import DataError

COMPRESSED = (".gz", ".zst")
"""The endings of compressed files."""
LONGEST = 16 << 20
"""Bytes; a longer line is not held in memory."""
DAMAGED = (OSError, EOFError, zlib.error)
"""The exceptions of reading a damaged file."""


def open_binary(path: Path) -> BinaryIO:
    """Open a plain, .gz or .zst file for reading."""
    if path.is_dir():
        raise DataError(f"{path}: a folder, where a file is needed")
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rb")  # type: ignore[return-value]
        if path.suffix == ".zst":
            return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}: give the path of a file that exists") from error


def read_lines(path: Path) -> Iterator[tuple[int, str | DataError]]:
    """Line number and text of each line of a UTF-8 file, plain or compressed; see `scan_lines`."""
    with open_binary(path) as stream:
        yield from scan_lines(stream, str(path))


def decode_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """The text of each line; raises `DataError` for one that cannot be read; see `scan_lines`."""
    for _, text in scan_lines(stream, name):
        if isinstance(text, DataError):
            raise text
        yield text


def text_lines(path: Path) -> list[str]:
    """All lines of a file; raises `DataError` for one that cannot be read; see `scan_lines`."""
    with open_binary(path) as stream:
        return list(decode_lines(stream, str(path)))


def scan_lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, str | DataError]]:
    r"""Line number and text of each line of a binary stream of UTF-8; `name` stands for it in messages.

    Only `\n` and `\r\n` end a line: the characters that `str.splitlines` also breaks at (U+2028, form feed) occur
    inside real sentences, and breaking there shifts every pair that follows. A line that is not UTF-8 or endless comes
    as a `DataError` in place of its text.

    Raises `DataError` where the stream is damaged.
    """
    number = 0
    try:
        while line := stream.readline(LONGEST):
            number += 1
            if len(line) == LONGEST and not line.endswith(b"\n"):
                while len(line) == LONGEST and not line.endswith(b"\n"):
                    line = stream.readline(LONGEST)
                yield number, DataError(f"{name}:{number}: a line of more than {LONGEST >> 20} MiB: no sentence")
                continue
            bare = line.removeprefix(b"\xef\xbb\xbf")  # not only in the first line: files are joined by cat
            try:
                yield number, bare.decode("utf-8").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                yield number, _not_utf8(name, number, bare, error.start)
    except DAMAGED as error:
        raise DataError(f"{name}: damaged or cut short after line {number} ({error}): copy it again") from error


def _not_utf8(name: str, number: int, line: bytes, start: int) -> DataError:
    encoding = "utf-16" if line.startswith((b"\xff\xfe", b"\xfe\xff")) else "cp1252"
    return DataError(
        f"{name}:{number}: not UTF-8 (byte {start + 1} is 0x{line[start]:02x}): "
        f"convert the file, for example with iconv -f {encoding} -t utf-8"
    )
