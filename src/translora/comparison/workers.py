"""The runs of a comparison, as many at a time as there are places, from any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TypeVar

from translora.comparison.places import Place, Result, Stage
from translora.config import Config
from translora.errors import InterruptedRunError, TrainingError
from translora.io import console
from translora.io.interrupt import StopRequest

_Found = TypeVar("_Found")
_POLL_SECONDS = 0.2


class Workers:
    """Starts the processes of runs and waits for them, from any number of threads."""

    def __init__(self, places: Sequence[Place], stop: StopRequest) -> None:
        """`stop` ends all runs, each after its step."""
        self._single = len(places) == 1
        self._free: SimpleQueue[Place] = SimpleQueue()
        for place in places:
            self._free.put(place)
        self._stop = stop
        self._ending, self._killing = threading.Event(), threading.Event()

    def each(self, tasks: Sequence[Callable[[], _Found]]) -> list[_Found | TrainingError]:
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

    def _ending_all(self, task: Callable[[], _Found]) -> _Found | TrainingError:
        try:
            return _tried(task)
        except BaseException:
            self._ending.set()
            raise

    def run(self, label: str, config: Config, stage: Stage) -> None:
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

    def _attempt(self, label: str, config: Config, stage: Stage) -> Result:
        """How the process ended."""
        place = self._place(label)
        console.notice(label)
        try:
            result = self._waited_for(place, label, config, stage)
        finally:
            self._free.put(place)
        if self._stopping:
            raise self._interrupted(label)
        return result

    def _place(self, label: str) -> Place:
        """A free place, once there is one."""
        while not self._stopping:
            with suppress(Empty):
                return self._free.get(timeout=_POLL_SECONDS)
        raise _NotBegunError(f"stopped before {label}: the same command goes on from there", **self._signal)

    def _waited_for(self, place: Place, label: str, config: Config, stage: Stage) -> Result:
        """How a process ended; it is asked to end where all runs are to, and killed at a second Ctrl-C."""
        with closing(place.start(config, stage)) as process:
            asked = False
            while True:
                lines, result = process.poll()
                for line in lines:
                    console.notice(f"[{label}] {line}")
                if result is not None:
                    return result
                if self._killing.is_set():
                    raise self._interrupted(label)
                if self._stopping and not asked:
                    asked = True
                    process.end()

    @property
    def _stopping(self) -> bool:
        return bool(self._stop) or self._ending.is_set()

    def _interrupted(self, label: str) -> InterruptedRunError:
        return InterruptedRunError(f"stopped in {label}: the same command goes on from there", **self._signal)

    @property
    def _signal(self) -> dict[str, int]:
        """The number of the signal that asked to stop, for the errors that say so."""
        return {"signal_number": self._stop.signal_number} if self._stop else {}


class _NotBegunError(InterruptedRunError):
    """The user interrupted a run that had not begun."""


def _tried(task: Callable[[], _Found]) -> _Found | TrainingError:
    try:
        return task()
    except TrainingError as error:
        return error


def _results(futures: Sequence[Future[_Found]]) -> list[_Found]:
    """The results; raises the error that ended the others, or the interruption, of a run that had begun if of any."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, InterruptedRunError) + isinstance(error, _NotBegunError))
    return [future.result() for future in futures]
