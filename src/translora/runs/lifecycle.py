"""The life of a run folder: found or begun, held by one process, taken up again, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
import yaml
from translora.io import console
from translora.config import Config
from translora.errors import ConfigError, DataError
from translora.io.files import (
    LOCK,
    is_empty,
    only_process,
    read_json,
    remove_folder,
    remove_leftovers,
    storage_errors,
    write_json,
)
from translora.config.load import changed_fields, load_config, save_config
from translora.runs.folder import AGAIN, Run, damage


SAFE_TO_CHANGE = (
    "output",
    "device",
    "training.save_every",
    "training.tensorboard",
    "training.gradient_checkpointing",
    "decoding.batch_tokens",
)
"""The fields that may change while a run is interrupted: they decide where, how fast and in how much memory it goes on,
not what is learnt."""


def find_run(config: Config, overwrite: bool = False) -> Run:
    """The run folder for `config`, to begin, to go on with, or already finished; writes nothing yet.

    Raises `ConfigError` where the folder holds a run of another recipe (unless `overwrite`) or no run at all.
    """
    run = Run(Path(config.output))
    if not run.config_file.exists():
        if run.folder.exists() and (not run.folder.is_dir() or not is_empty(run.folder)):
            raise ConfigError(f"{run.folder} exists and is no run folder: choose another --output")
    elif not overwrite:
        for name, (old, new) in changed_fields(run.config, config).items():
            if name not in SAFE_TO_CHANGE:
                raise ConfigError(
                    f"{run.folder} holds a run of another recipe ({name}: {old!r} there, {new!r} here): "
                    f"choose another --output, or add --overwrite"
                )
    return run


@contextmanager
def at_work_in(run: Run) -> Iterator[None]:
    """Keep other processes out of the run folder meanwhile; what killed ones have left unfinished is removed.

    Raises `StorageError` where another process is at work in it, and `ConfigError` where a link in it leads out of it.
    """
    with only_process(run.folder):
        _check_links(run.folder)
        remove_leftovers(run.folder)
        yield


def begin_run(run: Run, config: Config, inputs: dict[str, str], overwrite: bool = False) -> None:
    """Write the configuration of a run and the hashes of its inputs; with `overwrite`, delete an earlier run first.

    Raises `ConfigError` where the run began with other inputs, and `StorageError` where it cannot be written.
    """
    if overwrite and run.config_file.exists():
        _delete_contents(run.folder)
    if run.inputs.exists():
        _check_inputs(run, inputs)
    if run.config_file.exists():
        for name, (old, new) in changed_fields(run.config, config).items():
            console.notice(f"{name}: {old!r} before, {new!r} from here on")
    save_config(config, run.config_file)  # first, for it is what makes the folder a run folder
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


def _delete_contents(folder: Path) -> None:
    """Delete a run but not the lock on its folder; killed meanwhile, it is still a run folder, of an unfinished run."""
    order = {"summary.json": 0, "config.yaml": 2}
    with storage_errors(folder):
        for path in sorted(folder.iterdir(), key=lambda path: order.get(path.name, 1)):
            if path.is_dir() and not path.is_symlink():
                remove_folder(path)
            elif path.name != LOCK:
                path.unlink()


def _check_links(folder: Path) -> None:
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise ConfigError(f"{path}: a link to {path.resolve()}, which is outside the run folder: remove the link")
