"""Places for runs: each does one stage of a run at a time, in a process of its own, and tells how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, Protocol

import torch

from translora.comparison.variants import Variant
from translora.config import Config
from translora.config.load import save_config
from translora.errors import ConfigError
from translora.io.launcher import SIDE_BY_SIDE

Stage = Literal["train", "score"]
Result = dict[str, Any]
"""How a process ended: `exit_code`, `message`, and `again`, which says whether another attempt may succeed."""
_POLL_SECONDS = 0.2
_LAST_LINES_SECONDS = 5


class Started(Protocol):
    """A process that was started in a place."""

    def poll(self) -> tuple[list[str], Result | None]:
        """The lines that it wrote since the last call, and how it ended, once it has; waits a moment for that."""

    def end(self) -> None:
        """Ask it to end after its step, with a checkpoint."""

    def close(self) -> None:
        """Leave the place; a process that has not ended is killed."""


class Place(Protocol):
    """Where one run at a time has room."""

    def start(self, config: Config, stage: Stage) -> Started:
        """Begin `stage` of `config`."""


def to_try_again(message: str) -> Result:
    """The result of a process that ended without one."""
    return {"exit_code": 1, "message": message, "again": True}


class RunProcess:
    """A stage of a run in a process of its own on this machine."""

    def __init__(
        self, config: Config, stage: Stage, environment: Mapping[str, str], piped: bool = True, cwd: str | None = None
    ) -> None:
        """`environment` is added to that of this process. Lines go to standard error unless they are `piped`."""
        self._folder = tempfile.TemporaryDirectory()
        recipe, self._outcome = Path(self._folder.name) / "recipe.yaml", Path(self._folder.name) / "outcome.json"
        save_config(config, recipe)
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "translora.comparison.process", str(recipe), str(self._outcome), stage],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if piped else None,
            text=True,
            start_new_session=True,
            cwd=cwd,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self._process.stderr:
            with self._process.stderr as lines:
                for line in lines:
                    self._lines.put(line.rstrip())

    def poll(self) -> tuple[list[str], Result | None]:
        """See `Started`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_POLL_SECONDS)
        code = self._process.poll()
        if code is not None:
            self._reader.join(_LAST_LINES_SECONDS)
        lines = [self._lines.get() for _ in range(self._lines.qsize())]
        return lines, None if code is None else self._result(code)

    def _result(self, code: int) -> Result:
        if self._outcome.exists():
            result: Result = json.loads(self._outcome.read_text())
            return result
        reason = (
            f"was killed by signal {-code} (out of memory?)" if code < 0 else f"failed (exit code {code}, see above)"
        )
        return to_try_again(f"its process {reason}")

    def end(self) -> None:
        """See `Started`."""
        self._process.terminate()

    def close(self) -> None:
        """See `Started`."""
        self._process.kill()  # a process that has ended stays so
        self._process.wait()
        self._reader.join(_LAST_LINES_SECONDS)
        self._folder.cleanup()


@dataclass(frozen=True)
class Here:
    """A place on this machine."""

    environment: Mapping[str, str]
    """What a run has in its environment, beside what is there."""
    alone: bool = False
    """Whether it is the only place, so that a run writes to standard error itself."""

    def start(self, config: Config, stage: Stage) -> Started:
        """Begin `stage` of `config`."""
        return RunProcess(config, stage, self.environment, piped=not self.alone)


def places(parallel: int | None, config: Config, variants: Sequence[Variant] = ()) -> list[Here]:
    """Places on this machine for `parallel` runs at a time (default: 1): a GPU each, or a part of the CPU's threads.

    Raises `ConfigError` where the machine does not have so many GPUs or cores.
    """
    if parallel is None or parallel == 1:
        return [Here({}, alone=True)]
    if parallel < 1:
        raise ConfigError(f"--parallel {parallel}: must be at least 1")
    require_one_device(config, variants, "--parallel")
    if _device(config.device).type == "cpu":
        return _parts_of_the_cpu(parallel)
    gpus = _gpus()
    if str(_device(config.device)) != "cuda":  # Apple's, or one by its number
        raise ConfigError(f"--parallel {parallel}: runs cannot share {config.device}: use --device cuda, cpu or auto")
    if parallel > len(gpus):
        raise ConfigError(f"--parallel {parallel}: this machine has {len(gpus)} GPUs: name at most so many")
    return [Here({"CUDA_VISIBLE_DEVICES": gpu}) for gpu in gpus[:parallel]]


def require_one_device(config: Config, variants: Sequence[Variant], flag: str) -> None:
    """Raise `ConfigError` for a variant with another device than the recipe's, which `flag` does not allow."""
    for variant in variants:
        if variant.config.device != config.device:
            raise ConfigError(f"compare.variants.{variant.name}.device: with {flag} all have the recipe's device")


def _device(wanted: str) -> torch.device:
    """The device that the runs will choose. Nothing is put on it: that would take memory of a GPU."""
    if wanted == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        return torch.device(wanted)
    except RuntimeError as error:
        raise ConfigError(f"device {wanted!r} is not usable here: use cpu or auto") from error


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = [gpu.strip() for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu.strip()]
    count = torch.cuda.device_count()
    return named[:count] if named else [str(number) for number in range(count)]


def _parts_of_the_cpu(parallel: int) -> list[Here]:
    if parallel > (there := cores()):
        raise ConfigError(f"--parallel {parallel}: this machine has {there} cores: name at most so many")
    return [Here(cpu_share(max(1, torch.get_num_threads() // parallel), parallel))] * parallel


def cores() -> int:
    """How many cores of this machine this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_share(threads: int, runs: int) -> dict[str, str]:
    """The environment of each of `runs` that share a machine's CPU and memory, with so many `threads`."""
    return {"OMP_NUM_THREADS": str(threads), SIDE_BY_SIDE: str(runs)}
