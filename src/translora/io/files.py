"""Atomic writes, a lock on a folder, and content hashes. Knows the file system; knows nothing of models or data.

A file or folder has a name that ends in `.tmp` until it is whole and on the disk. A process that is killed leaves
such a name behind; the next one at work in the folder removes it with `remove_leftovers`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from translora.errors import StorageError

_UNFINISHED = ".tmp"
LOCK = ".lock"
"""The name of the file by which a folder is held."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 1 << 20
_UMASK = threading.Lock()
"""It can only be read by changing it: one thread at a time."""
_BREAKS = re.compile("[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")


def _sync_file(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable; a no-op where folders cannot be opened (Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's error of a failed write into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise _storage_error(path, error.errno, error.strerror or str(error)) from error
    except Exception as error:  # safetensors and tokenizers have an error of their own, whose text alone tells
        found = re.search(r"(.*) \(os error (\d+)\)", str(error))
        if not found:
            raise
        raise _storage_error(path, int(found[2]), found[1].rsplit(": ", 1)[-1]) from error


def _storage_error(path: Path, number: int | None, words: str) -> StorageError:
    cure = "free some space, then start the same command again" if number in _FULL else "check the path and its rights"
    return StorageError(f"{path}: cannot be written ({words}): {cure}; what was there before is kept")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, on failure removed.

    A reader therefore sees the old file or the whole new one, never a half. Parent folders are made.

    Raises `StorageError` where it cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=_UNFINISHED, dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            _sync_file(temporary)
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, on failure it is removed.

    Raises `StorageError` where it cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent))
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            for entry in temporary.rglob("*"):
                if entry.is_dir():
                    _sync_folder(entry)
                else:
                    os.chmod(entry, 0o666 & ~_umask())
                    _sync_file(entry)
            _sync_folder(temporary)
            old = _moved_aside(path)
            os.rename(temporary, path)
            _sync_folder(path.parent)
            if old:
                shutil.rmtree(old)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder, if it is there, so that it is never seen in part."""
    if old := _moved_aside(path):
        shutil.rmtree(old)


def _moved_aside(path: Path) -> Path | None:
    """The unfinished name that `path` lies under now, or None where there was nothing."""
    if not path.exists():
        return None
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent))
    os.rename(path, old / path.name)
    return old


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files of killed processes in `folder`, at any depth; no other process may work in it."""
    for path in folder.rglob(f".*{_UNFINISHED}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Whether `folder` holds nothing but a lock and leftovers."""
    return all(path.name == LOCK or path.name.endswith(_UNFINISHED) for path in folder.iterdir())


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep other processes out of `folder`, which is made where it is missing; the system frees a dead one's hold.

    Leaves no folder behind in which nothing was written.

    Raises `StorageError` where another process is at work in it, or it cannot be written.
    """
    import filelock

    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = filelock.FileLock(folder / LOCK, timeout=0)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout as error:  # an OSError too
            raise StorageError(
                f"{folder}: another process is at work in it: wait for it, or choose another --output"
            ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            if missing and is_empty(folder):
                (folder / LOCK).unlink()
        lock.release()
        for path in missing:
            with suppress(OSError):
                path.rmdir()


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep other processes from writing `path` meanwhile; raises `StorageError` where one does already."""
    import filelock

    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=0)
    with storage_errors(path):
        try:
            lock.acquire()
        except filelock.Timeout as error:  # an OSError too
            raise StorageError(f"{path}: another process writes it: wait for it, or choose another --output") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _umask() -> int:
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    r"""Write `text` as UTF-8 with `\n` line ends, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_lines(path: Path, lines: list[str]) -> None:
    """Write one line each, atomically."""
    write_text(path, "".join(line + "\n" for line in lines))


def one_line(text: str) -> str:
    """`text` with one space for each run of spaces, tabs and line ends; no-break and other spaces stay."""
    return _BREAKS.sub(" ", text).strip(" ")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises `ValueError` for anything else, and `OSError` where it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} instead of an object")
    return value


def sha256(*parts: str | bytes) -> str:
    """The hexadecimal SHA-256 of `parts`, each preceded by its length so that their borders count."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where prepared data is kept: `$TRANSLORA_CACHE`, else `$XDG_CACHE_HOME/translora`, else `~/.cache/translora`."""
    if folder := os.environ.get("TRANSLORA_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "translora"
