"""The run folder: what lies where in it. Knows paths and small files; knows nothing of training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from translora import terminal
from translora.config import Config
from translora.errors import ConfigError, DataError
from translora.files import (
    LOCK,
    is_empty,
    only_process,
    read_json,
    remove_folder,
    remove_leftovers,
    storage_errors,
    write_json,
)
from translora.recipe import changed_fields, load_config, save_config

_ADAPTER_FILE = "adapter_config.json"
_AGAIN = "start the same command again"
_IN_SUMMARY = {"base_model", "method", "scores_before", "scores_after", "p_values", "test_pairs", "steps", "table"}
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


@dataclass(frozen=True)
class Run:
    """A run folder: configuration, adapter or model, checkpoints, figures, translations."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """All fields, resolved."""
        return self.folder / "config.yaml"

    @property
    def inputs(self) -> Path:
        """Hashes of what the run began with: the base model, and the pairs of each split."""
        return self.folder / "inputs.json"

    @property
    def adapter(self) -> Path:
        """The adapter, in PEFT's format (`method: lora`)."""
        return self.folder / "adapter"

    @property
    def model(self) -> Path:
        """The whole model, in transformers' format (`method: full`)."""
        return self.folder / "model"

    @property
    def checkpoints(self) -> Path:
        """What a run goes on from."""
        return self.folder / "checkpoints"

    @property
    def initial_adapter(self) -> Path:
        """The adapter before training, where the trained one cannot be saved without it (`lora.init: pissa`)."""
        return self.checkpoints / "initial"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: each step's and each validation's figures."""
        return self.folder / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files, where the recipe asks for them."""
        return self.folder / "tensorboard"

    @property
    def translations(self) -> Path:
        """`source.txt`, `reference.txt`, `before.txt` and `after.txt` of the test pairs, aligned by line."""
        return self.folder / "translations"

    def translated(self, label: str) -> list[str]:
        """The lines of one of the files in `translations`, such as `after`."""
        file = self.translations / f"{label}.txt"
        with _damage(file, f"delete {self.summary_file}, and {_AGAIN}"):
            lines = file.read_text(encoding="utf-8").split("\n")[:-1]
            if self.finished and len(lines) != self.summary["test_pairs"]:
                raise ValueError(f"{len(lines)} lines for {self.summary['test_pairs']} test pairs")
            return lines

    @property
    def labels(self) -> list[str]:
        """Which translations of the test pairs a finished run has: `before`, `after`, or both."""
        before, after = self.config.init == "pretrained", self.config.method != "none"
        return [*(["before"] if before else []), *(["after"] if after or not before else [])]

    def final_translations(self) -> list[str]:
        """The test pairs as the run's model translates them in the end."""
        return self.translated(self.labels[-1])

    @property
    def summary_file(self) -> Path:
        """The figures of a finished run."""
        return self.folder / "summary.json"

    @property
    def report(self) -> Path:
        """The figures, plots and texts of a finished run on one page."""
        return self.folder / "report.html"

    @cached_property
    def config(self) -> Config:
        """The configuration of the run; raises `DataError` where there is no run, `ConfigError` where it is broken."""
        if not self.config_file.exists():
            raise DataError(f"{self.folder}: no run folder: give one that translora train wrote")
        with _damage(self.config_file, "put a copy back, or choose another --output"):
            if not yaml.safe_load(self.config_file.read_text(encoding="utf-8")).keys() >= {"model", "source", "target"}:
                raise ValueError("no model in it")
        return load_config(self.config_file)

    @property
    def trained(self) -> bool:
        """Whether the run has its adapter or model."""
        return self.adapter.exists() or self.model.exists()

    def figures(self) -> list[dict[str, Any]]:
        """Each step's and each validation's figures; raises `DataError` where the file is missing or damaged."""
        with _damage(self.metrics, "add --overwrite to train the run again"):
            lines = self.metrics.read_text(encoding="utf-8").splitlines()
            figures = [dict(json.loads(line)) for line in lines]
            if not any("validation_bleu" in figure for figure in figures):
                raise ValueError("no validation in it")
            return figures

    def validation_bleu(self) -> list[float]:
        """The BLEU of each validation so far."""
        figures = self.figures()
        return [figure["validation_bleu"] for figure in figures if "validation_bleu" in figure]

    @property
    def finished(self) -> bool:
        """Whether the run has its summary."""
        return self.summary_file.exists()

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of a finished run; raises `DataError` where it has not finished."""
        if not self.finished:
            _ = self.config  # says so where there is no run at all
            raise DataError(f"{self.folder}: the run has not finished: {_AGAIN}")
        with _damage(self.summary_file, f"delete it, and {_AGAIN}"):
            figures = read_json(self.summary_file)
            if missing := _IN_SUMMARY - figures.keys():
                raise ValueError(f"no {min(missing)} in it")
            return figures


@contextmanager
def _damage(file: Path, remedy: str) -> Iterator[None]:
    """Turn what is said of a file that is missing, unreadable or not what was written into a `DataError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{file} is missing: {remedy}") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): {remedy}") from error
    except (ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{file} is damaged ({error}): {remedy}") from error


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
            terminal.notice(f"{name}: {old!r} before, {new!r} from here on")
    save_config(config, run.config_file)  # first, for it is what makes the folder a run folder
    write_json(run.inputs, inputs)


def _check_inputs(run: Run, inputs: dict[str, str]) -> None:
    with _damage(run.inputs, "add --overwrite to start over"):
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


def adapter_folder(path: Path) -> Path | None:
    """The PEFT adapter that a path names: a run folder's, or the folder itself; None where there is none."""
    for folder in (path / "adapter", path):
        if (folder / _ADAPTER_FILE).exists():
            return folder
    return None
