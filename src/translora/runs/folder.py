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

_ADAPTER_FILE = "adapter_config.json"


AGAIN = "start the same command again"


_IN_SUMMARY = {"base_model", "method", "scores_before", "scores_after", "p_values", "test_pairs", "steps", "table"}


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
        with damage(file, f"delete {self.summary_file}, and {AGAIN}"):
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
        with damage(self.config_file, "put a copy back, or choose another --output"):
            if not yaml.safe_load(self.config_file.read_text(encoding="utf-8")).keys() >= {"model", "source", "target"}:
                raise ValueError("no model in it")
        return load_config(self.config_file)

    @property
    def trained(self) -> bool:
        """Whether the run has its adapter or model."""
        return self.adapter.exists() or self.model.exists()

    def figures(self) -> list[dict[str, Any]]:
        """Each step's and each validation's figures; raises `DataError` where the file is missing or damaged."""
        with damage(self.metrics, "add --overwrite to train the run again"):
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
            raise DataError(f"{self.folder}: the run has not finished: {AGAIN}")
        with damage(self.summary_file, f"delete it, and {AGAIN}"):
            figures = read_json(self.summary_file)
            if missing := _IN_SUMMARY - figures.keys():
                raise ValueError(f"no {min(missing)} in it")
            return figures


@contextmanager
def damage(file: Path, remedy: str) -> Iterator[None]:
    """Turn what is said of a file that is missing, unreadable or not what was written into a `DataError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{file} is missing: {remedy}") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): {remedy}") from error
    except (ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{file} is damaged ({error}): {remedy}") from error


def adapter_folder(path: Path) -> Path | None:
    """The PEFT adapter that a path names: a run folder's, or the folder itself; None where there is none."""
    for folder in (path / "adapter", path):
        if (folder / _ADAPTER_FILE).exists():
            return folder
    return None
