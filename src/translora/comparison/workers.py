"""Runs in processes of their own, as many at a time as there are places: a GPU each, or a part of the CPU's threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar

import torch

from translora.comparison.variants import Variant
from translora.config import Config
from translora.config.load import save_config
from translora.errors import ConfigError, InterruptedRunError, TrainingError
from translora.io import console
from translora.io.interrupt import StopRequest
from translora.io.launcher import SIDE_BY_SIDE

Environment = Mapping[str, str]
_Result = TypeVar("_Result")
_POLL_SECONDS = 0.2
_LAST_LINES_SECONDS = 5


def places(parallel: int, config: Config, variants: Sequence[Variant] = ()) -> list[Environment]:
    """What each of `parallel` runs at a time has in its environment, beside what is there.

    Raises `ConfigError` where the machine does not have so many GPUs or cores.
    """
    if parallel < 1:
        raise ConfigError(f"--parallel {parallel}: must be at least 1")
    if parallel == 1:
        return [{}]
    for variant in variants:
        if variant.config.device != config.device:
            raise ConfigError(f"compare.variants.{variant.name}.device: with --parallel all have the recipe's device")
    if _device(config.device).type == "cpu":
        return _parts_of_the_cpu(parallel)
    gpus = _gpus()
    if str(_device(config.device)) != "cuda":  # Apple's, or one by its number
        raise ConfigError(f"--parallel {parallel}: runs cannot share {config.device}: use --device cuda, cpu or auto")
    if parallel > len(gpus):
        raise ConfigError(f"--parallel {parallel}: this machine has {len(gpus)} GPUs: name at most so many")
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:parallel]]


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


def _parts_of_the_cpu(parallel: int) -> list[Environment]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if parallel > cores:
        raise ConfigError(f"--parallel {parallel}: this machine has {cores} cores: name at most so many")
    threads = max(1, torch.get_num_threads() // parallel)
    return [{"OMP_NUM_THREADS": str(threads), SIDE_BY_SIDE: str(parallel)}] * parallel


class Workers:
    """Starts the processes of runs and waits for them, from any number of threads."""

    def __init__(self, places: Sequence[Environment], stop: StopRequest) -> None:
        """`stop` ends all runs, each after its step."""
        self._single = len(places) == 1
        self._free: SimpleQueue[Environment] = SimpleQueue()
        for place in places:
            self._free.put(place)
        self._stop = stop
        self._ending, self._killing = threading.Event(), threading.Event()

    def each(self, tasks: Sequence[Callable[[], _Result]]) -> list[_Result | TrainingError]:
        """The result of each of `tasks`, in their order, or the `TrainingError` that it raised.

        With several places the tasks go on side by side. At any other error the runs of the other tasks end, with a
        checkpoint, and the error is raised.
        """
        if self._single or len(tasks) < 2:
            return [_tried(task) for task in tasks]
        with ThreadPoolExecutor(len(tasks)) as pool:
            futures = [pool.submit(copy_context().run, self._ending_all, task) for task in tasks]
            try:
                wait(futures)
            except BaseException:  # a second Ctrl-C
                self._killing.set()
                raise
        return _results(futures)

    def _ending_all(self, task: Callable[[], _Result]) -> _Result | TrainingError:
        try:
            return _tried(task)
        except BaseException:
            self._ending.set()
            raise

    def run(self, label: str, config: Config, stage: Literal["train", "score"]) -> None:
        """Do `stage` of `config` in a process of its own; its progress goes to standard error.

        A failure that may not repeat itself, such as a killed process, is tried once more.

        Raises `TrainingError` with the reason where it fails, and `InterruptedRunError` where all runs are to end.
        """
        result = self._attempt(label, config, stage)
        if result["exit_code"] and result["again"]:
            console.notice(f"{label}: {result['message']}; it is tried once more")
            result = self._attempt(label, config, stage)
        if result["exit_code"]:
            raise TrainingError(result["message"])

    def _attempt(self, label: str, config: Config, stage: str) -> dict[str, Any]:
        """The outcome that the process wrote, or one that says how it ended."""
        place = self._place(label)
        console.notice(label)
        try:
            with tempfile.TemporaryDirectory() as name:
                recipe, outcome = Path(name) / "recipe.yaml", Path(name) / "outcome.json"
                save_config(config, recipe)
                command = [sys.executable, "-m", "translora.comparison.process", str(recipe), str(outcome), stage]
                code = self._wait_for(command, {**os.environ, **place}, label)
                if self._stopping:
                    raise self._interrupted(label)
                result: dict[str, Any] = json.loads(outcome.read_text()) if outcome.exists() else _without_outcome(code)
                return result
        finally:
            self._free.put(place)

    def _place(self, label: str) -> Environment:
        """A free place, once there is one."""
        while not self._stopping:
            with suppress(Empty):
                return self._free.get(timeout=_POLL_SECONDS)
        raise self._interrupted(label)

    def _wait_for(self, command: list[str], environment: Environment, label: str) -> int:
        """The exit code of a process; it is asked to end where all runs are to, and killed at a second Ctrl-C."""
        errors = None if self._single else subprocess.PIPE
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=errors, text=True, start_new_session=True
        ) as process:
            reader = threading.Thread(target=_tell, args=(process.stderr, label), daemon=True)
            if errors:
                reader.start()
            try:
                while process.poll() is None and not self._stopping:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_POLL_SECONDS)
                process.terminate()
                while process.poll() is None and not self._killing.is_set():
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_POLL_SECONDS)
            finally:
                process.kill()  # a process that has ended stays so
            code = process.wait()
            if errors:
                reader.join(_LAST_LINES_SECONDS)
        return code

    @property
    def _stopping(self) -> bool:
        return bool(self._stop) or self._ending.is_set()

    def _interrupted(self, label: str) -> InterruptedRunError:
        number = {"signal_number": self._stop.signal_number} if self._stop else {}
        return InterruptedRunError(f"stopped in {label}: the same command goes on from there", **number)


def _tried(task: Callable[[], _Result]) -> _Result | TrainingError:
    try:
        return task()
    except TrainingError as error:
        return error


def _results(futures: Sequence[Future[_Result]]) -> list[_Result]:
    """The results; raises the error that ended the others, or the interruption."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, InterruptedRunError)), errors[0])
    return [future.result() for future in futures]


def _tell(lines: Any, label: str) -> None:
    """Show the lines of a process as they come, each with the name of its run."""
    for line in lines:
        console.notice(f"[{label}] {line.rstrip()}")


def _without_outcome(code: int) -> dict[str, Any]:
    """The result of a process that ended without writing one."""
    reason = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"failed (exit code {code}, see above)"
    return {"exit_code": 1, "message": f"its process {reason}", "again": True}
