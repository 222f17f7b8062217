"""What is done again and again in processes of their own: the training alone, and the whole of `translora train`."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from process import WRITES, copy_before, signal_before
from translora.config import Config

if TYPE_CHECKING:
    from translora.data.batching import Ints
    from translora.data.tokens import Batch
    from translora.models.loss import BatchLoss

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


def whole(
    folder: Path, config: Config, kill: Kill = None, copied: bool = False, terminate: Kill = None, lacks: int = 0
) -> None:
    """The whole of `translora train`, in `folder`; where `copied`, each state of it is copied beside it.

    SIGTERM comes where `terminate` says; a step has memory for `lacks` padded tokens, where it is not 0.
    """
    from translora.pipeline import train

    if terminate:
        signal_before(*terminate, [signal.SIGTERM])
    if lacks:
        lack_memory_above(lacks)
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


def on_rank(rank: int, size: int, port: int, work: Callable[[], object], environment: Mapping[str, str]) -> None:
    """Do `work` as one of `size` ranks whose store is at `port`, as torchrun would start it."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        **environment,
    }
    work()


def lack_memory_above(tokens: int) -> None:
    """Have a training step run out of memory in a batch of more than `tokens` padded tokens."""
    from translora.training.step import Stepper

    real = Stepper.step

    def step(self: Stepper, number: int, pairs: Ints) -> tuple[float, int]:
        loss = self.translator.loss

        def limited(batch: Batch, label_smoothing: float = 0.0) -> BatchLoss:
            if batch.input_ids.numel() + batch.labels.numel() > tokens:
                raise MemoryError
            return loss(batch, label_smoothing)

        self.translator.loss = limited
        try:
            return real(self, number, pairs)
        finally:
            self.translator.loss = loss

    Stepper.step = step


def launched(size: int, restarts: int, *arguments: str) -> None:
    """A command of `translora` on `size` ranks, by torchrun's own agent, which starts them again after a failure."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    multiprocessing.current_process()._config["daemon"] = False  # a daemon may have no children
    agent = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=size,
        max_restarts=restarts,
        run_id=f"translora-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        monitor_interval=0.1,
        start_method="fork",
    )
    elastic_launch(agent, _rank_command)(*arguments)


def _rank_command(*arguments: str) -> None:
    """What `python -m translora` does; the agent wants a function that returns."""
    try:
        command(*arguments)
    except SystemExit as end:
        if end.code:
            os._exit(int(end.code))
