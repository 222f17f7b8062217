"""The life of a run folder: found or begun, held by one process, taken up again, deleted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from translora import __version__
from translora.config import Config
from translora.config.load import changed_fields, save_config
from translora.errors import ConfigError, InterruptedRunError, StorageError
from translora.io import console
from translora.io.files import (
    LOCK,
    is_empty,
    only_process,
    read_json,
    remove_leftovers,
    storage_errors,
    write_json,
)
from translora.runs.folder import Run, damage

_WRITTEN = (
    "summary.json",
    "report.html",
    "metrics.jsonl",
    "terms.tsv",
    "adapter/adapter_*",
    "adapter/README.md",
    "adapter/translora.json",
    "adapter/shortlist.json",
    "adapter/tokenizer*",
    "adapter/special_tokens_map.json",
    "adapter/added_tokens.json",
    "adapter/vocab.json",
    "adapter/*.model",
    "adapter/*.spm",
    "model/*.json",
    "model/*.safetensors",
    "model/*.model",
    "model/*.spm",
    "model/*.jinja",
    "model/README.md",
    "checkpoints/*",
    "tensorboard/events.*",
    "translations/source.txt",
    "translations/reference.txt",
    "translations/before.txt",
    "translations/after.txt",
    "translations/cut.json",
    "shortened.json",
    "inputs.json",
    "config.yaml",
    "translora-run.json",
)
"""The files of a run folder, in the order in which they are deleted: the summary first, so that a run that is deleted
in part is not taken for a finished one, and the marker last."""


_FOLDERS = ("adapter", "model", "checkpoints", "tensorboard", "translations")


SAFE_TO_CHANGE = (
    "output",
    "device",
    "training.save_every",
    "training.tensorboard",
    "training.gradient_checkpointing",
    "training.shard",
    "training.cache_encoder",
    "training.canary",
    "decoding.batch_tokens",
)
"""The fields that may change while a run is interrupted: they decide where, how fast and in how much memory it goes on,
not what is learnt."""


def is_run(folder: Path) -> bool:
    """Whether translora began a run in `folder`.

    A run is known by its marker `translora-run.json`; one of an older version by its `config.yaml` and the hashes in
    `inputs.json`.
    """
    run = Run(folder)
    if run.marker.is_file():
        return True
    with suppress(OSError, ValueError):
        return run.config_file.is_file() and "base model" in read_json(run.inputs)
    return False


def find_run(config: Config, overwrite: bool = False) -> Run:
    """The run folder for `config`, to begin, to go on with, or already finished; writes nothing yet.

    Raises `ConfigError` where the folder holds a run of another recipe (unless `overwrite`) or no run at all, and with
    `overwrite` where it holds something that `config` reads.
    """
    run = Run(Path(config.output))
    if not is_run(run.folder):
        if run.folder.exists() and (not run.folder.is_dir() or not is_empty(run.folder)):
            raise ConfigError(f"{run.folder} exists and is no run folder: choose another --output")
    elif overwrite:
        _refuse_own_inputs(run.folder, config)
    elif run.config_file.exists():
        for name, (old, new) in changed_fields(run.config, config).items():
            if name not in SAFE_TO_CHANGE:
                raise ConfigError(
                    f"{run.folder} holds a run of another recipe ({name}: {old!r} there, {new!r} here): "
                    f"choose another --output, or add --overwrite"
                )
    return run


def _refuse_own_inputs(folder: Path, config: Config) -> None:
    """Raise `ConfigError` where the model or a file that a run reads lies in the folder that it is to empty."""
    data = config.data
    splits = (data.train, data.validation, data.test)
    paths = [config.model, data.glossary, *(path for one in splits for path in (one.path, one.target_path))]
    for path in filter(None, paths):
        try:
            inside = Path(path).exists() and Path(path).resolve().is_relative_to(folder.resolve())
        except (OSError, ValueError):  # no path, but a name of the hub
            continue
        if inside:
            raise ConfigError(f"{path} is in {folder}, which --overwrite empties first: choose another --output")


@contextmanager
def at_work_in(run: Run) -> Iterator[None]:
    """Keep other processes out of the run folder meanwhile; unfinished files of killed ones are removed.

    Raises `StorageError` where another process is at work in it, and `ConfigError` where a link in it leads out of it.
    """
    with only_process(run.folder):
        _check_links(run.folder)
        remove_leftovers(run.folder)
        yield


@contextmanager
def told_of_overwrite(overwrite: bool) -> Iterator[None]:
    """Add to an error that says to start the same command again what that would do with --overwrite."""
    try:
        yield
    except (InterruptedRunError, StorageError) as error:
        if overwrite:
            error.args = (f"{error} (without --overwrite, which would begin anew)",)
        raise


def begin_run(run: Run, config: Config, inputs: dict[str, str], overwrite: bool = False) -> None:
    """Write the configuration of a run and the hashes of its inputs; with `overwrite`, delete an earlier run first.

    Raises `ConfigError` where the run began with other inputs, and `StorageError` where it cannot be written.
    """
    if overwrite and is_run(run.folder):
        for path in delete_run(run):
            console.notice(f"{path}: kept, for translora did not write it")
    if run.inputs.exists():
        _check_inputs(run, inputs)
    if run.config_file.exists():
        for name, (old, new) in changed_fields(run.config, config).items():
            console.notice(f"{name}: {old!r} before, {new!r} from here on")
    write_json(run.marker, {"translora": __version__})  # first, for it is what makes the folder a run folder
    save_config(config, run.config_file)
    write_json(run.inputs, inputs)


def _check_inputs(run: Run, inputs: dict[str, str]) -> None:
    with damage(run.inputs, "add --overwrite to start over"):
        before = read_json(run.inputs)
        if missing := inputs.keys() - before.keys():
            raise ValueError(f"no {min(missing)} in it")
    for name, new in inputs.items():
        if before[name] != new:
            raise ConfigError(
                f"{run.folder}: the {name} changed since the run began (SHA-256 {before[name]} there, {new} here): "
                f"choose another --output, or add --overwrite"
            )


def delete_run(run: Run) -> list[Path]:
    """Delete what translora wrote into a run folder, and only that; returns the files and folders that it left.

    The folder itself and the lock on it stay. Killed meanwhile, it is still a run folder, of an unfinished run.

    Raises `ConfigError` where the folder holds no run, and `StorageError` where a file cannot be deleted.
    """
    if not is_run(run.folder):
        raise ConfigError(f"{run.folder} is no run folder: nothing in it is deleted")
    with storage_errors(run.folder):
        for pattern in _WRITTEN:
            for path in _files(run.folder):
                if fnmatch(path.relative_to(run.folder).as_posix(), pattern):
                    path.unlink()
        for name in _FOLDERS:
            _remove_empty(run.folder / name)
    left = [path for path in run.folder.iterdir() if path.name not in (LOCK, *_FOLDERS)]
    return sorted([*left, *(path for name in _FOLDERS for path in _files(run.folder / name))])


def keep_others(run: Run, old: Path, new: Path) -> None:
    """Copy the files in `old`, a folder of the run, that translora did not write into `new`, which takes its place."""
    for path in _files(old):
        name = path.relative_to(run.folder).as_posix()
        if not any(fnmatch(name, pattern) for pattern in _WRITTEN):
            copy = new / path.relative_to(old)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy, follow_symlinks=False)


def _files(folder: Path) -> list[Path]:
    """The files and links below `folder`; links are not followed."""
    return [path for path in _below(folder) if path.is_symlink() or not path.is_dir()]


def _below(folder: Path) -> Iterator[Path]:
    """All that lies below `folder`; links are not followed."""
    for root, folders, files in os.walk(folder):
        yield from (Path(root) / name for name in [*folders, *files])


def _remove_empty(folder: Path) -> None:
    """Remove `folder` and the folders in it that hold no file."""
    if not folder.is_symlink():
        for root, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # not empty
                os.rmdir(root)


def _check_links(folder: Path) -> None:
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise ConfigError(f"{path}: a link to {path.resolve()}, which is outside the run folder: remove the link")
