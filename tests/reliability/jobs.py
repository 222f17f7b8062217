"""What is done again and again in processes of their own: the training alone, and the whole of `translora train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from process import WRITES, copy_before, kill_before

from translora.config import Config

Kill = tuple[list[str], int] | None
"""Where the process is to be killed: see `kill_before`."""


def training(folder: Path, config: Config, kill: Kill = None, copied: bool = False) -> None:
    """The training alone, in `folder`; where `copied`, each state that it has on disk is copied beside it."""
    import torch

    from translora.data.splits import read_splits
    from translora.models.load import load
    from translora.pipeline import make_stepper, make_trainable, tokenised, train_model
    from translora.runs.folder import Run

    torch.set_num_threads(1)
    splits, translator = read_splits(config), load(config)
    make_trainable(translator, config)
    examples = tokenised(translator, splits.train, config)
    folder.mkdir(exist_ok=True)
    if copied:
        copy_before(WRITES, folder)
    if kill:
        kill_before(*kill)
    train_model(make_stepper(translator, examples, config, 450), splits, config, Run(folder))


def whole(folder: Path, config: Config, kill: Kill = None, copied: bool = False) -> None:
    """The whole of `translora train`, in `folder`; where `copied`, each state of it is copied beside it."""
    from translora.pipeline import train

    if copied:
        copy_before(WRITES, folder)
    if kill:
        kill_before(*kill)
    train(dataclasses.replace(config, output=str(folder)))


def command(*arguments: str) -> None:
    """A command of `translora`, signals and exit codes included."""
    from translora.cli import main

    main(arguments)
