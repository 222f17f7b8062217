"""What is done again and again in processes of their own: the training alone, and the whole of `translora train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from process import kill_before

from translora.config import Config

Kill = tuple[list[str], int] | None
"""Where the process is to be killed: see `kill_before`."""


def training(folder: Path, config: Config, kill: Kill = None, trackers: tuple[Any, ...] = ()) -> None:
    """The training alone, in `folder`."""
    import torch

    from translora.data.splits import read_splits
    from translora.model.load import load
    from translora.pipeline import _make_trainable, _tokenised
    from translora.training.checkpoint import Checkpoints
    from translora.training.loop import fit
    from translora.training.tracking import Journal
    from translora.training.validation import validate

    torch.set_num_threads(1)
    splits, translator = read_splits(config), load(config)
    _make_trainable(translator, config)
    examples, held_out = (_tokenised(translator, corpus, config) for corpus in (splits.train, splits.validation))
    folder.mkdir(exist_ok=True)
    if kill:
        kill_before(*kill)
    with Journal(folder / "metrics.jsonl", trackers) as journal:
        fit(
            translator,
            examples,
            config,
            Checkpoints(folder / "checkpoints", config.training.save_every),
            lambda: validate(translator, splits.validation, held_out, config, 450),
            journal,
            450,
        )


def whole(folder: Path, config: Config, kill: Kill = None) -> None:
    """The whole of `translora train`, in `folder`."""
    from translora.pipeline import train

    if kill:
        kill_before(*kill)
    train(dataclasses.replace(config, output=str(folder)))


def command(*arguments: str) -> None:
    """A command of `translora`, signals and exit codes included."""
    from translora.cli import main

    main(arguments)
