"""The folder of a comparison: marked as one, its runs each in its own place, and deleted without strangers' files.

untouched/                    the model as it came
VARIANT/rate-RATE/seed-SEED/  a training
VARIANT/equal-time/           the first seed again, for as long as the others took
compare.json, report.html     the result
advice/VARIANT/rate-RATE/     a short training of `--advise`
advice.json                   its result
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
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
ADVICE = "advice"
ADVICE_FILE = "advice.json"
_MARKER = "translora-comparison.json"
_RUNS = ("untouched", "*/rate-*/seed-*", "*/equal-time")
_SHORT_RUNS = (f"{ADVICE}/*/rate-*",)


def check_folder(folder: Path) -> None:
    """Raise `ConfigError` where `folder` is there and is not a comparison's."""
    if is_run(folder):
        raise ConfigError(f"{folder} holds a run: choose another --output for the comparison")
    if folder.exists() and not (folder / _MARKER).is_file() and not (folder.is_dir() and is_empty(folder)):
        raise ConfigError(f"{folder} exists and is no comparison: choose another --output")


def mark(folder: Path) -> None:
    """Make `folder` a comparison's; raises `StorageError` where it cannot be written.

    The marker differs each time, so that a machine that sees the same one sees the same folder and no copy of it.
    """
    write_json(folder / _MARKER, {"translora": __version__, "start": secrets.token_hex(8)})


def marker_of(folder: Path) -> str:
    """The content of the marker; empty where there is none."""
    with suppress(OSError):
        return (folder / _MARKER).read_text(encoding="utf-8")
    return ""


def delete_comparison(folder: Path) -> None:
    """Delete the runs and the result in `folder`, and nothing that translora did not write; name the rest.

    The marker and an advice stay. Raises `ConfigError` where there is no marker, and `StorageError` where a file cannot
    be deleted.
    """
    _delete(folder, (RESULT_FILE, REPORT_FILE), _RUNS)
    for path in sorted(folder.iterdir()):
        if path.name not in (LOCK, _MARKER, ADVICE, ADVICE_FILE):
            console.notice(f"{path}: kept, for translora did not write all of it")


def delete_advice(folder: Path) -> None:
    """Delete the short runs of an advice and its result; raises as `delete_comparison` does."""
    _delete(folder, (ADVICE_FILE,), _SHORT_RUNS)


def _delete(folder: Path, files: Sequence[str], runs: Sequence[str]) -> None:
    check_folder(folder)
    with storage_errors(folder):
        for name in files:
            (folder / name).unlink(missing_ok=True)
    for run in _runs(folder, runs):
        delete(run)


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


def _runs(folder: Path, patterns: Sequence[str]) -> Iterator[Run]:
    """The runs in their places; links are not followed."""
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if is_run(path) and not any(part.is_symlink() for part in _up_to(folder, path)):
                yield Run(path)


def _up_to(folder: Path, path: Path) -> Iterator[Path]:
    """`path` and the folders that hold it, below `folder`."""
    while path != folder:
        yield path
        path = path.parent
