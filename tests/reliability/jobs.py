"""What is done again and again in processes of their own: the training alone, and the whole of `translora train`."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

from process import WRITES, copy_before, signal_before

from translora.config import Config

Kill = tuple[list[str], int] | None
"""Where the process is to be killed: see `signal_before`."""


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
        signal_before(*kill, [signal.SIGKILL])
    train_model(make_stepper(translator, examples, config, 450), splits, config, Run(folder))


def whole(folder: Path, config: Config, kill: Kill = None, copied: bool = False) -> None:
    """The whole of `translora train`, in `folder`; where `copied`, each state of it is copied beside it."""
    from translora.pipeline import train

    if copied:
        copy_before(WRITES, folder)
    if kill:
        signal_before(*kill, [signal.SIGKILL])
    train(dataclasses.replace(config, output=str(folder)))


def command(*arguments: str, call: str = "", number: int = 1, signals: tuple[int, ...] = ()) -> None:
    """A command of `translora`, signals and exit codes included; `signals` come before the `number`-th `call`."""
    from translora.cli import main

    if call:
        signal_before([call], number, list(signals))
    main(arguments)
