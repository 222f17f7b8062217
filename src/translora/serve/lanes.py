"""The lanes: threads that translate side by side over the same weights, each a step of one group at a time.

Knows nothing of requests.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import torch

from translora.serve.scheduler import Group, Scheduler, Turn
from translora.translation.tickets import Ticket
from translora.translation.workers import start_threads

Stepped = Callable[[Mapping[str, int], float], None]
"""Is told how many lines of each label a step was for, and how many seconds it took."""


class Lanes:
    """Threads that step groups, and what is done between two steps."""

    def __init__(self, count: int, stepped: Stepped = lambda lines, seconds: None) -> None:
        self.count = count
        self._stepped = stepped
        self._scheduler = Scheduler(count)
        self._changed = threading.Condition()
        self._chores: deque[tuple[Callable[[], Any], concurrent.futures.Future[Any]]] = deque()
        self._stepping = 0
        """How many lanes are in a step."""
        self._halted = False
        """Whether no lane may begin a step."""
        self._stopping = False
        self._over = True
        """Whether the first lane takes no chores."""
        self._threads: list[threading.Thread] = []

    def __len__(self) -> int:
        """The number of groups that have something to do."""
        return len(self._scheduler)

    @property
    def alive(self) -> bool:
        """Whether all lanes work."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin to work."""
        self._over = False
        operations = operation_threads(torch.get_num_threads(), self.count)
        works = [(threads, partial(self._run, lane)) for lane, threads in enumerate(operations)]
        self._threads = start_threads(works, "translora-lane")

    def stop(self) -> None:
        """Finish what is left to do, and end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def put(self, key: Hashable, ticket: Ticket, make: Callable[[], Group]) -> None:
        """Translate `ticket` in the group of its `key`, which `make` makes where there is none."""
        with self._changed:
            self._scheduler.add(key, ticket, make)
            self._changed.notify_all()

    def withdraw(self, key: Hashable, ticket: Ticket) -> None:
        """Forget `ticket`, if it is not done."""
        with self._changed:
            self._scheduler.withdraw(key, ticket)

    def exclusive(self, work: Callable[[], Any]) -> Any:
        """Call `work` while no lane is in a step, and return its result; not to be called within a step."""
        with self._changed:
            while self._halted:
                self._changed.wait()
            self._halted = True
            while self._stepping:
                self._changed.wait()
        try:
            return work()
        finally:
            with self._changed:
                self._halted = False
                self._changed.notify_all()

    def between(self, work: Callable[[], Any]) -> concurrent.futures.Future[Any]:
        """Let the first lane call `work` between two of its steps, in the order of the calls."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._changed:
            over = self._over
            if not over:
                self._chores.append((work, future))
                self._changed.notify_all()
        if over:
            _settle(future, work)
        return future

    def _run(self, lane: int) -> None:
        while True:
            turn = self._next(lane)
            if turn:
                self._step(lane, turn)
            elif not self._do_chores(lane):
                return

    def _next(self, lane: int) -> Turn | None:
        """Wait for something to do; returns the runner whose turn it is, or None where there is no step to do."""
        with self._changed:
            while True:
                if not self._halted:
                    if lane == 0 and self._chores:
                        return None
                    if turn := self._scheduler.next(lane):
                        self._stepping += 1
                        return turn
                    if self._stopping:
                        return None
                self._changed.wait()

    def _step(self, lane: int, turn: Turn) -> None:
        begun, going = time.perf_counter(), False
        try:
            going = turn.runner.step()
        finally:
            seconds = time.perf_counter() - begun
            with self._changed:
                self._stepping -= 1
                if self._scheduler.stepped(turn, going, seconds, lane) or self._halted:
                    self._changed.notify_all()
        if turn.runner.worked:
            self._stepped(turn.runner.worked, seconds)

    def _do_chores(self, lane: int) -> bool:
        """Do what is to be done between two steps; returns False where there is nothing, and the lane ends."""
        with self._changed:
            chores = list(self._chores) if lane == 0 else []
            if chores:
                self._chores.clear()
            elif lane == 0:
                self._over = True
        for work, future in chores:
            _settle(future, work)
        return bool(chores)


def operation_threads(total: int, lanes: int) -> list[int]:
    """How many of `total` threads the operations of each lane share.

    Where operations are shared, one core is left to connections and clients: an operation whose threads wait for a
    core that serves these takes twice as long.
    """
    spare = max(0, total - 1)
    return [max(1, spare // lanes + (lane < spare % lanes)) for lane in range(lanes)]


def _settle(future: concurrent.futures.Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
