"""Where a run's figures go: `metrics.jsonl`, any tracker of experiments, and TensorBoard's event files."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from translora.errors import ConfigError
from translora.io.files import storage_errors, write_text


class Tracker(Protocol):
    """Receives the figures of a run: any object with these two methods will do."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Take the figures of a step, or of a validation after it.

        A step has `loss`, `learning_rate` and `target_tokens`, a validation `validation_loss` and `validation_bleu`.
        """

    def close(self) -> None:
        """The training is over, or stopped."""


class TensorBoard:
    """TensorBoard's event files in `folder`.

    Raises `ConfigError` where tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "training.tensorboard: tensorboard is not installed: pip install 'translora[tensorboard]'"
            ) from error
        self._writer_of = SummaryWriter
        self._folder = folder
        self._writer: Any = None

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Write the figures; those of an earlier, interrupted run from this step on no longer count."""
        with storage_errors(self._folder):
            if self._writer is None:
                self._writer = self._writer_of(str(self._folder), purge_step=step)
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write the figures that are not written yet."""
        if self._writer is not None:
            with storage_errors(self._folder):
                self._writer.close()


class Journal:
    """The figures of a run, a JSON object a line in `file`, and told to `trackers`; used as a context manager."""

    def __init__(self, file: Path, trackers: Sequence[Tracker] = ()) -> None:
        self._file, self._trackers = file, trackers

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as at_end:
            for tracker in self._trackers:
                at_end.callback(tracker.close)

    def rewind(self, step: int) -> None:
        """Forget the figures after `step`: the run goes on from there and records them again."""
        if self._file.exists():
            lines = self._file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
            write_text(self._file, "".join(line + "\n" for line in lines if _step_of(line) <= step))

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of `step`; raises `StorageError` where they cannot be written."""
        line = json.dumps({"step": step, **figures, "time": round(time.time(), 3)}) + "\n"
        with storage_errors(self._file), open(self._file, "a", encoding="utf-8") as stream:
            stream.write(line)
        for tracker in self._trackers:
            tracker.log(figures, step)


def _step_of(line: str) -> float:
    """The step of a line; infinity where it is none that was written whole."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return math.inf
