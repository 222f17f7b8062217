"""The queue of the lines that all clients ask for, which the lanes translate, as many together as there are.

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

from translora.serve.engines import Options, Work
from translora.serve.lanes import Lanes
from translora.serve.models import Pair, Served
from translora.serve.refusals import RefusalError
from translora.translation.result import Translation
from translora.translation.tickets import Ticket

_READERS = 16
"""Threads that read large requests, and wait where a placeholder was lost and must be translated again."""
_SMALL = 1000
"""Requests of so many characters are read in the event loop: that takes less than it takes to hand them over."""

log = logging.getLogger("translora.serve")

Result = TypeVar("Result")


class Watcher(Protocol):
    """Is told what is done; `step` is called by any lane."""

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
        """Its last line has left the queue; called by a lane."""
        with suppress(RuntimeError):  # the event loop has ended
            self.loop.call_soon_threadsafe(self.leave_queue)

    def leave_queue(self) -> None:
        """Give its places in the queue back, once; called in the event loop."""
        if self.waits:
            self.waits = False
            self.give()


class Batcher:
    """The queue and its lanes."""

    def __init__(self, queue_lines: int, patience: float, watcher: Watcher | None = None, lanes: int = 1) -> None:
        """`queue_lines` wait at most; a client waits `patience` seconds for a place among them."""
        self.room = Room(queue_lines)
        self.lanes = Lanes(lanes, watcher.step) if watcher else Lanes(lanes)
        self._patience, self._watcher = patience, watcher
        self._live: set[_Request] = set()
        self._retired: list[tuple[Served, Callable[[Served], None]]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._pool = concurrent.futures.ThreadPoolExecutor(_READERS, "translora-reader")

    def start(self) -> None:
        """Begin to work."""
        self.lanes.start()

    def stop(self) -> None:
        """Finish what is left to do, and end the threads."""
        with self._changed:
            self._stopping = True
            while self._live and self.alive:
                self._changed.wait(1)
        self.lanes.stop()
        self._pool.shutdown()

    @property
    def alive(self) -> bool:
        """Whether all lanes work."""
        return self.lanes.alive

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
        """Call `work` while no lane is in a step, and return its result; not from a step or an event loop."""
        return self.lanes.exclusive(work)

    def alone(self, work: Callable[[], Any]) -> Any:
        """Call `work` in the thread of models that are not `concurrent`, and return its result; not from a lane."""
        return self._result(self.lanes.between(work))

    def retire(self, served: Served, release: Callable[[Served], None]) -> None:
        """Call `release` between two steps once no request for the removed model `served` is left."""
        with self._changed:
            self._retired.append((served, release))
            self._release_unused()

    def _release_unused(self) -> None:
        """Let a lane release the removed models of which no request is left."""
        if not self._retired:
            return
        wanted = {id(request.served) for request in self._live}
        unused = [one for one in self._retired if id(one[0]) not in wanted]
        self._retired = [one for one in self._retired if id(one[0]) in wanted]
        for served, release in unused:
            self.lanes.between(partial(self._release, served, release))

    def _release(self, served: Served, release: Callable[[Served], None]) -> None:
        try:
            self.lanes.exclusive(partial(release, served))
        except Exception:
            log.error("the memory of %s is not given back:\n%s", served.name, traceback.format_exc())

    async def _called(self, aside: bool, work: Callable[[], Result]) -> Result:
        """The result of `work`, which is done in a thread of its own where it may take long."""
        if not aside:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _count(self, served: Served, tokens: Callable[[], tuple[int, int]], aside: bool) -> None:
        """Tell the watcher of a request that is done."""
        watcher = self._watcher
        if watcher is None:
            return

        def count() -> None:
            watcher.translated(served.name, *tokens())

        if served.engine.concurrent:
            await self._called(aside, count)
        else:
            self.lanes.between(count)

    def _enter(self, request: _Request) -> None:
        with self._changed:
            if self._stopping:
                raise RefusalError(503, "the server is going down")
            if request.served.retired:
                raise RefusalError(404, f"{request.served.name} is no longer served")
            self._live.add(request)

    def _put(self, request: _Request, ticket: Ticket) -> Ticket:
        """Let the lanes translate `ticket`; raises `CancelledError` where nobody waits for the request any more."""
        engine = request.served.engine
        ticket.begun, ticket.label = request.begun, request.served.name
        with self._changed:
            if request.over:
                raise concurrent.futures.CancelledError
            if not ticket.size:
                ticket.settle([])
                return ticket
            request.ticket, request.key = ticket, (engine, ticket.key)
            self.lanes.put(request.key, ticket, lambda: engine.group(ticket, self.lanes.count))
        return ticket

    def _ask(self, request: _Request, ticket: Ticket) -> Any:
        """See `Ask`."""
        return self._result(self._put(request, ticket).future)

    def _result(self, future: concurrent.futures.Future[Any]) -> Any:
        while not concurrent.futures.wait([future], 1).done:
            if not self.alive:
                raise RefusalError(503, "the server is going down")
        return future.result()

    def _leave(self, request: _Request) -> None:
        """The request is done, or nobody waits for it any more."""
        with self._changed:
            request.over = True
            if request.ticket is not None and not request.ticket.future.done():
                request.ticket.future.cancel()
            if request.ticket is not None:
                self.lanes.withdraw(request.key, request.ticket)
            self._live.discard(request)
            self._release_unused()
            self._changed.notify()
        request.leave_queue()
