"""The folder of a comparison: marked as one, its runs each in its own place, and deleted without strangers' files.

untouched/                    the model as it came
VARIANT/rate-RATE/seed-SEED/  a training
VARIANT/equal-time/           the first seed again, for as long as the others took
compare.json, report.html     the result
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from translora import __version__
from translora.errors import ConfigError
from translora.io import console
from translora.io.files import LOCK, is_empty, only_process, storage_errors, write_json
from translora.runs.folder import Run
from translora.runs.lifecycle import delete_run, is_run

RESULT_FILE = "compare.json"
REPORT_FILE = "report.html"
_MARKER = "translora-comparison.json"
_RUNS = ("untouched", "*/rate-*/seed-*", "*/equal-time")


def check_folder(folder: Path) -> None:
    """Raise `ConfigError` where `folder` is there and is not a comparison's."""
    if is_run(folder):
        raise ConfigError(f"{folder} holds a run: choose another --output for the comparison")
    if folder.exists() and not (folder / _MARKER).is_file() and not (folder.is_dir() and is_empty(folder)):
        raise ConfigError(f"{folder} exists and is no comparison: choose another --output")


def mark(folder: Path) -> None:
    """Make `folder` a comparison's; raises `StorageError` where it cannot be written."""
    if not (folder / _MARKER).exists():
        write_json(folder / _MARKER, {"translora": __version__})


def delete_comparison(folder: Path) -> None:
    """Delete the runs and the result in `folder`, and nothing that translora did not write; name the rest.

    The marker stays. Raises `ConfigError` where there is none, and `StorageError` where a file cannot be deleted.
    """
    check_folder(folder)
    with storage_errors(folder):
        for name in (RESULT_FILE, REPORT_FILE):
            (folder / name).unlink(missing_ok=True)
    for run in _runs(folder):
        delete(run)
    for path in sorted(folder.iterdir()):
        if path.name not in (LOCK, _MARKER):
            console.notice(f"{path}: kept, for translora did not write all of it")


def delete(run: Run) -> None:
    """Delete a run of a comparison, and its folders where nothing else is in them.

    Raises `StorageError` where another process is at work in it, or a file cannot be deleted.
    """
    with only_process(run.folder):
        delete_run(run)
    with suppress(OSError):  # not empty
        (run.folder / LOCK).unlink(missing_ok=True)
        for path in (run.folder, *run.folder.parents[:2]):
            path.rmdir()


def _runs(folder: Path) -> Iterator[Run]:
    """The runs in their places; links are not followed."""
    for pattern in _RUNS:
        for path in sorted(folder.glob(pattern)):
            if is_run(path) and not any(part.is_symlink() for part in _up_to(folder, path)):
                yield Run(path)


def _up_to(folder: Path, path: Path) -> Iterator[Path]:
    """`path` and the folders that hold it, below `folder`."""
    while path != folder:
        yield path
        path = path.parent
