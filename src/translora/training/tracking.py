"""Where a run's figures go besides `metrics.jsonl`: any tracker of experiments, and TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from translora.errors import ConfigError


class Tracker(Protocol):
    """What `train` tells of a run: give it any object that has these two methods."""

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
        if self._writer is None:
            self._writer = self._writer_of(str(self._folder), purge_step=step)
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
