"""The worker: one thread that translates what all clients ask for, as many lines together as there are.

Requests wait in a queue of bounded size, measured in lines. A request whose client is gone leaves it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from translora.errors import OutOfMemoryError
from translora.serve.engines import Options, Work
from translora.serve.models import Pair, Served
from translora.serve.refusals import RefusalError
from translora.translation.decode import Translation

BATCH_LINES = 256
"""The most lines that are translated together; a request is never divided."""

log = logging.getLogger("translora.serve")

Future = concurrent.futures.Future[list[Translation]]


class Watcher(Protocol):
    """Is told what the worker does; called in its thread."""

    def batch(self, lines: Mapping[str, int], seconds: float) -> None:
        """A batch of so many lines of each model took so long."""

    def waited(self, seconds: float) -> None:
        """A request left the queue after so long."""

    def translated(self, model: str, work: Work, found: Sequence[Translation]) -> None:
        """A model gave `found` for the lines of `work`."""


class Room:
    """Places in a queue; those who find none wait their turn. Belongs to one event loop."""

    def __init__(self, size: int) -> None:
        self.size, self.used = size, 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, places: int, patience: float) -> None:
        """Take `places`; raises `TimeoutError` where there were none for `patience` seconds."""
        places = min(places, self.size)
        if not self._waiters and self.used + places <= self.size:
            self.used += places
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (places, turn)
        self._waiters.append(entry)
        try:
            await asyncio.wait_for(turn, patience)
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give(places)
            elif entry in self._waiters:
                self._waiters.remove(entry)
            self._wake()
            raise

    def give(self, places: int) -> None:
        """Give `places` back."""
        self.used -= min(places, self.size)
        self._wake()

    def _wake(self) -> None:
        while self._waiters and self.used + self._waiters[0][0] <= self.size:
            places, turn = self._waiters.popleft()
            if not turn.done():
                self.used += places
                turn.set_result(None)


@dataclass(eq=False)
class _Request:
    served: Served
    work: Work
    key: object
    future: Future = field(default_factory=concurrent.futures.Future)
    left: Callable[[], None] = lambda: None
    """Called, in the worker, when the request leaves the queue."""


class Batcher:
    """The queue and its worker."""

    def __init__(self, queue_lines: int, patience: float, watcher: Watcher | None = None) -> None:
        """`queue_lines` wait at most; a client waits `patience` seconds for a place among them."""
        self.room = Room(queue_lines)
        self._patience, self._watcher = patience, watcher
        self._queue: deque[_Request] = deque()
        self._chores: deque[tuple[Callable[[], Any], concurrent.futures.Future[Any]]] = deque()
        self._retired: list[tuple[Served, Callable[[Served], None]]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="translora-worker", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued, and end the worker."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the worker works."""
        return self._thread.is_alive()

    async def translate(self, served: Served, pair: Pair, lines: Sequence[str], options: Options) -> list[Translation]:
        """Translate `lines`; cancelled, they leave the queue.

        Raises `RefusalError` where there is no place in the queue for too long, or the model was removed.
        """
        places, begun = len(lines), time.perf_counter()
        try:
            await self.room.take(places, self._patience)
        except TimeoutError as error:
            raise RefusalError(429, "the server is busy: try again later", max(1, round(self._patience))) from error
        loop = asyncio.get_running_loop()
        work = Work(served.translators[pair], lines, options, served.adapter)
        request = _Request(served, work, (id(served.engine), served.engine.key(work)))

        def left() -> None:
            if self._watcher:
                self._watcher.waited(time.perf_counter() - begun)
            _call_soon(loop, lambda: self.room.give(places))

        request.left = left
        if not self._put(request):
            self.room.give(places)
            if not served.retired:
                raise RefusalError(503, "the server is going down")
            raise RefusalError(404, f"{served.name} is no longer served")
        try:
            return await asyncio.wrap_future(request.future)
        except asyncio.CancelledError:
            self._withdraw(request)
            raise

    def exclusive(self, work: Callable[[], Any]) -> Any:
        """Call `work` between two batches, and return its result; not from the worker or an event loop."""
        if not self._thread.is_alive():
            return work()
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._changed:
            self._chores.append((work, future))
            self._changed.notify()
        while not concurrent.futures.wait([future], 1).done:
            if not self._thread.is_alive():
                raise RefusalError(503, "the server is going down")
        return future.result()

    def retire(self, served: Served, release: Callable[[Served], None]) -> None:
        """Call `release` between two batches once no request for the removed model `served` is left."""
        with self._changed:
            self._retired.append((served, release))
            self._changed.notify()

    def _put(self, request: _Request) -> bool:
        with self._changed:
            if request.served.retired or self._stopping:
                return False
            self._queue.append(request)
            self._changed.notify()
            return True

    def _withdraw(self, request: _Request) -> None:
        """Take a cancelled request out of the queue, where it is still in it."""
        with self._changed:
            if request in self._queue:
                self._queue.remove(request)
                request.left()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._chores or self._retired or self._stopping):
                    self._changed.wait()
                chores, released, batch = self._next()
                if self._stopping and not (chores or released or batch or self._queue):
                    return
            for work, future in chores:
                _settle(future, work)
            for served, release in released:
                try:
                    release(served)
                except Exception:
                    log.error("the memory of %s is not given back:\n%s", served.name, traceback.format_exc())
            if batch:
                self._translate(batch)

    def _next(
        self,
    ) -> tuple[
        list[tuple[Callable[[], Any], concurrent.futures.Future[Any]]],
        list[tuple[Served, Callable[[Served], None]]],
        list[_Request],
    ]:
        """What to do next: chores, models to release, and requests that can be translated together."""
        chores = list(self._chores)
        self._chores.clear()
        wanted = {id(request.served) for request in self._queue}
        released = [one for one in self._retired if id(one[0]) not in wanted]
        self._retired = [one for one in self._retired if id(one[0]) in wanted]
        batch: list[_Request] = []
        lines = 0
        if self._queue:
            key = self._queue[0].key
            for request in [one for one in self._queue if one.key == key]:
                if batch and lines + len(request.work.lines) > BATCH_LINES:
                    break
                self._queue.remove(request)
                request.left()
                if request.future.set_running_or_notify_cancel():
                    batch.append(request)
                    lines += len(request.work.lines)
        return chores, released, batch

    def _translate(self, batch: list[_Request]) -> None:
        begun = time.perf_counter()
        try:
            found = batch[0].served.engine.run([request.work for request in batch])
        except Exception as error:
            if len(batch) > 1:  # the others must not suffer from one
                for request in batch:
                    self._translate([request])
                return
            if not isinstance(error, OutOfMemoryError):
                log.error("a request to %s failed:\n%s", batch[0].served.name, traceback.format_exc())
            batch[0].future.set_exception(error)
            return
        if self._watcher:
            lines = Counter[str]()
            for request, one in zip(batch, found, strict=True):
                lines[request.served.name] += len(one)
                self._watcher.translated(request.served.name, request.work, one)
            self._watcher.batch(lines, time.perf_counter() - begun)
        for request, one in zip(batch, found, strict=True):
            request.future.set_result(one)


def _settle(future: concurrent.futures.Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call in the event loop; nowhere where it has ended."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return
