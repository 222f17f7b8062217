"""The worker: one thread that translates what all clients ask for, as many lines together as there are.

Requests wait in a queue of bounded size, measured in lines, and join what is under way as soon as there are places. A
request whose client is gone gives its places up, in the queue and in a search.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from translora.serve.engines import Options, Work
from translora.serve.models import Pair, Served
from translora.serve.refusals import RefusalError
from translora.serve.scheduler import Scheduler, Turn
from translora.translation.result import Translation
from translora.translation.running import Ticket

_READERS = 16
"""Threads that read large requests, and wait where a placeholder was lost and must be translated again."""
_SMALL = 1000
"""Requests of so many characters are read in the event loop: that takes less than it takes to hand them over."""

log = logging.getLogger("translora.serve")

Result = TypeVar("Result")


class Watcher(Protocol):
    """Is told what is done; `step` is called by the worker."""

    def step(self, lines: Mapping[str, int], seconds: float) -> None:
        """A step of a search, or a batch, of so many lines of each model took so long."""

    def waited(self, seconds: float) -> None:
        """A request left the queue after so long."""

    def translated(self, model: str, source_tokens: int, target_tokens: int) -> None:
        """A model read and wrote so many tokens for a request."""


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
    give: Callable[[], None]
    """Gives the places in the queue back."""
    loop: asyncio.AbstractEventLoop
    ticket: Ticket | None = None
    """What is being translated for it."""
    key: Hashable = None
    over: bool = False
    waits: bool = True
    """Whether it has places in the queue."""

    def begun(self) -> None:
        """Its last line has left the queue; called by the worker."""
        with suppress(RuntimeError):  # the event loop has ended
            self.loop.call_soon_threadsafe(self.leave_queue)

    def leave_queue(self) -> None:
        """Give its places in the queue back, once; called in the event loop."""
        if self.waits:
            self.waits = False
            self.give()


class Batcher:
    """The queue and its worker."""

    def __init__(self, queue_lines: int, patience: float, watcher: Watcher | None = None) -> None:
        """`queue_lines` wait at most; a client waits `patience` seconds for a place among them."""
        self.room = Room(queue_lines)
        self._patience, self._watcher = patience, watcher
        self._scheduler = Scheduler()
        self._live: set[_Request] = set()
        self._chores: deque[tuple[Callable[[], Any], concurrent.futures.Future[Any]]] = deque()
        self._retired: list[tuple[Served, Callable[[Served], None]]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="translora-worker", daemon=True)
        self._pool = concurrent.futures.ThreadPoolExecutor(_READERS, "translora-reader")

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is left to do, and end the worker."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown()

    @property
    def alive(self) -> bool:
        """Whether the worker works."""
        return self._thread.is_alive()

    async def translate(self, served: Served, pair: Pair, lines: Sequence[str], options: Options) -> list[Translation]:
        """Translate `lines`; cancelled, they give up their places.

        Raises `RefusalError` where there is no place in the queue for too long, or the model was removed.
        """
        places, begun = len(lines), time.perf_counter()
        try:
            await self.room.take(places, self._patience)
        except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
            raise RefusalError(429, "the server is busy: try again later", max(1, round(self._patience))) from error

        def give() -> None:
            self.room.give(places)
            if self._watcher:
                self._watcher.waited(time.perf_counter() - begun)

        request = _Request(served, give, asyncio.get_running_loop())
        work = Work(served.translators[pair], lines, options, served.adapter)
        try:
            self._enter(request)
            aside = work.characters > _SMALL
            reading = await self._called(aside, lambda: served.engine.read(work, partial(self._ask, request)))
            found = await asyncio.wrap_future(self._put(request, reading.ticket).future)
            done = await self._called(aside or not reading.plain, lambda: reading.finish(found))
            await self._count(served, lambda: reading.tokens(found), aside)
            return done
        finally:
            self._leave(request)

    def exclusive(self, work: Callable[[], Any]) -> Any:
        """Call `work` between two steps, and return its result; not from the worker or an event loop."""
        if not self._thread.is_alive():
            return work()
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._changed:
            self._chores.append((work, future))
            self._changed.notify()
        return self._result(future)

    def retire(self, served: Served, release: Callable[[Served], None]) -> None:
        """Call `release` between two steps once no request for the removed model `served` is left."""
        with self._changed:
            self._retired.append((served, release))
            self._changed.notify()

    async def _called(self, aside: bool, work: Callable[[], Result]) -> Result:
        """The result of `work`, which is done in a thread of its own where it may take long."""
        if not aside:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _count(self, served: Served, tokens: Callable[[], tuple[int, int]], aside: bool) -> None:
        """Tell the watcher of a request that is done; tokenizers of models of their own bear the worker alone."""
        watcher = self._watcher
        if watcher is None:
            return

        def count() -> None:
            watcher.translated(served.name, *tokens())

        if served.shared:
            await self._called(aside, count)
        elif self._thread.is_alive():
            with self._changed:
                self._chores.append((count, concurrent.futures.Future()))
                self._changed.notify()

    def _enter(self, request: _Request) -> None:
        with self._changed:
            if self._stopping:
                raise RefusalError(503, "the server is going down")
            if request.served.retired:
                raise RefusalError(404, f"{request.served.name} is no longer served")
            self._live.add(request)

    def _put(self, request: _Request, ticket: Ticket) -> Ticket:
        """Let the worker translate `ticket`; raises `CancelledError` where nobody waits for the request any more."""
        engine = request.served.engine
        ticket.begun, ticket.label = request.begun, request.served.name
        with self._changed:
            if request.over:
                raise concurrent.futures.CancelledError
            if not ticket.size:
                ticket.settle([])
                return ticket
            request.ticket, request.key = ticket, (engine, ticket.key)
            self._scheduler.add(request.key, ticket, lambda: engine.group(ticket))
            self._changed.notify()
        return ticket

    def _ask(self, request: _Request, ticket: Ticket) -> Any:
        """See `Ask`."""
        return self._result(self._put(request, ticket).future)

    def _result(self, future: concurrent.futures.Future[Any]) -> Any:
        while not concurrent.futures.wait([future], 1).done:
            if not self._thread.is_alive():
                raise RefusalError(503, "the server is going down")
        return future.result()

    def _leave(self, request: _Request) -> None:
        """The request is done, or nobody waits for it any more."""
        with self._changed:
            request.over = True
            if request.ticket is not None and not request.ticket.future.done():
                request.ticket.future.cancel()
            if request.ticket is not None:
                self._scheduler.withdraw(request.key, request.ticket)
            self._live.discard(request)
            self._changed.notify()
        request.leave_queue()

    def _run(self) -> None:
        # One core is left to connections and clients: a step whose threads wait for one of them takes twice as long.
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        while True:
            with self._changed:
                chores, released, turn = self._next()
                while not (chores or released or turn):
                    if self._stopping and not self._live:
                        return
                    self._changed.wait()
                    chores, released, turn = self._next()
            for work, future in chores:
                _settle(future, work)
            for served, release in released:
                try:
                    release(served)
                except Exception:
                    log.error("the memory of %s is not given back:\n%s", served.name, traceback.format_exc())
            if turn:
                self._step(turn)

    def _next(
        self,
    ) -> tuple[
        list[tuple[Callable[[], Any], concurrent.futures.Future[Any]]],
        list[tuple[Served, Callable[[Served], None]]],
        Turn | None,
    ]:
        """What to do next: chores, models to release, and the group whose turn it is."""
        chores = list(self._chores)
        self._chores.clear()
        released: list[tuple[Served, Callable[[Served], None]]] = []
        if self._retired:
            wanted = {id(request.served) for request in self._live}
            released = [one for one in self._retired if id(one[0]) not in wanted]
            self._retired = [one for one in self._retired if id(one[0]) in wanted]
        return chores, released, self._scheduler.next()

    def _step(self, turn: Turn) -> None:
        begun = time.perf_counter()
        going = turn.group.step()
        seconds = time.perf_counter() - begun
        with self._changed:
            self._scheduler.stepped(turn, going, seconds)
        if self._watcher and turn.group.worked:
            self._watcher.step(turn.group.worked, seconds)


def _settle(future: concurrent.futures.Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
