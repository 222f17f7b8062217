"""A search that requests join while it runs.

Tickets are added and withdrawn by any thread; one thread calls the steps. Knows nothing of servers.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from translora.errors import OutOfMemoryError
from translora.models.budget import Budget, free_unused, is_out_of_memory
from translora.models.t5.decode import Decoder
from translora.translation.decode import Part, Task, encoded, kept_of, places, rules_of
from translora.translation.generate import Generated
from translora.translation.search import Hypothesis, Line, Search, begin
from translora.translation.shortlist import require_shortlist


@dataclass(eq=False)
class Ticket:
    """Something to translate, and the future of its result."""

    key: Hashable
    """Equal for what can be translated together."""
    size: int
    """The number of its lines."""
    label: str = ""
    """Whose lines they are, in figures."""
    begun: Callable[[], None] = lambda: None
    """Called, in the thread of the steps, when its last line leaves the queue."""
    future: concurrent.futures.Future[Any] = field(default_factory=concurrent.futures.Future)

    def settle(self, result: Any) -> None:
        """Give the result, an exception too, to whoever still waits for it."""
        if not self.future.set_running_or_notify_cancel():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@dataclass(eq=False)
class PartTicket(Ticket):
    """The lines of a part; the result is the hypotheses of each of its tasks (`list[list[Generated]]`)."""

    part: Part = field(kw_only=True)
    tasks: list[Task] = field(kw_only=True)
    scores: bool = field(kw_only=True)
    rest: list[int] = field(init=False)
    """The tasks that wait, the next one last."""
    found: dict[int, list[Generated]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.rest = sorted(range(len(self.tasks)), key=lambda i: len(self.tasks[i].row))

    @classmethod
    def of(cls, part: Part, scores: bool) -> PartTicket:
        """The ticket of `part`; limits may differ within a search, all else that steers it may not.

        Raises `ConfigError` where `part` asks for a shortlist that its model lacks.
        """
        tasks, listed = encoded(part), require_shortlist(part.translator, part.decoding)
        key = replace(part.decoding, max_tokens=1, max_ratio=1.0), scores, listed
        return cls(key, len(tasks), part=part, tasks=tasks, scores=scores)

    def tokens(self, found: Sequence[Sequence[Generated]]) -> tuple[int, int]:
        """How many tokens the sources and the best of the hypotheses `found` have, their ends included."""
        written = sum(len(best.ids) + (not best.cut) for best, *_ in found)
        return sum(len(task.row) for task in self.tasks), written


class RunningSearch:
    """The search for all tickets of a key: their lines take turns, whatever the size of each ticket."""

    def __init__(self, decoder: Decoder, first: PartTicket, budget: Budget) -> None:
        """The search goes by the part of the `first` ticket; `budget` remembers that memory ran out."""
        self._decoder, self._budget = decoder, budget
        self._translator, self._decoding, self._scores = first.part.translator, first.part.decoding, first.scores
        self.closed = False
        """Whether lines that wait stay so: what is under way ends, and nothing new begins."""
        self.worked: Counter[str] = Counter()
        """How many lines the last step was for, by the labels of their tickets."""
        self._lock = threading.Lock()
        self._queue: deque[PartTicket] = deque()
        """The tickets with lines that wait, in the order of their turns."""
        self._suspects: list[PartTicket] = []
        """Tickets of a search that failed: each is alone in the next one."""
        self._pending = 0
        self._numbers = count()
        self._under_way: dict[int, tuple[PartTicket, int]] = {}
        """The ticket and the task of each line that was begun and not finished, by number."""
        self._withdrawn: set[int] = set()
        self._search: Search | None = None

    @property
    def running(self) -> bool:
        """Whether a search is under way, and takes memory."""
        return self._search is not None

    @property
    def pending(self) -> int:
        """How many lines wait, even if the search is closed."""
        return self._pending

    def add(self, ticket: PartTicket) -> None:
        """Let the lines of `ticket` wait for their turns."""
        with self._lock:
            self._pending += len(ticket.rest)
            self._queue.append(ticket)

    def withdraw(self, ticket: PartTicket) -> None:
        """Forget `ticket`; its lines under way give up their places before the next step."""
        with self._lock:
            if ticket.rest:
                self._queue.remove(ticket)
                self._pending -= len(ticket.rest)
                ticket.rest.clear()
            if ticket in self._suspects:
                self._suspects.remove(ticket)
            mine = {number for number, (own, _) in self._under_way.items() if own is ticket}
            self._withdrawn |= mine
            for number in mine:
                del self._under_way[number]

    def step(self) -> bool:
        """Take in lines and choose the next token of all; returns False where there is nothing to do."""
        self.worked = Counter()
        if self._search is None and not self._pending:
            return False
        try:
            if self._search is None:
                rules = rules_of(self._translator, self._decoding, self._scores)
                self._search = begin(self._decoder, self, rules, self._places, self._found)
            going = self._search.step()
            with self._lock:  # lines that the step finished are counted already
                self.worked.update(ticket.label for ticket, _ in self._under_way.values())
        except Exception as error:
            failure = error
        else:
            if not going:
                self._search = None
            return going
        self._search = None
        self._recover(failure)
        return True

    def waiting(self) -> int:
        """See `Source`."""
        with self._lock:
            if self.closed:
                return 0
            return len(self._suspects[0].rest) if self._suspects else self._pending

    def take(self, fits: Callable[[Line], bool]) -> list[Line]:
        """See `Source`."""
        taken, begun = list[Line](), list[PartTicket]()
        with self._lock:
            while self._queue and not self.closed:
                ticket = self._suspects[0] if self._suspects else self._queue[0]
                if not ticket.rest:
                    break
                number, index = next(self._numbers), ticket.rest[-1]
                line = ticket.tasks[index].line(number)
                if not fits(line):
                    break
                taken.append(line)
                self._under_way[number] = ticket, ticket.rest.pop()
                self._pending -= 1
                self._queue.remove(ticket)
                if ticket.rest:
                    self._queue.append(ticket)
                else:
                    begun.append(ticket)
        for ticket in begun:
            ticket.begun()
        return taken

    def withdrawn(self) -> Collection[int]:
        """See `Source`."""
        with self._lock:
            found, self._withdrawn = self._withdrawn, set()
        return found

    def _places(self, longest: int) -> int:
        return places(self._translator, self._decoding, longest, self._budget.tokens)

    def _found(self, number: int, hypotheses: list[Hypothesis]) -> None:
        with self._lock:
            ticket, index = self._under_way.pop(number, (None, 0))
            if ticket is None:  # withdrawn in this step
                return
            self.worked[ticket.label] += 1
            ticket.found[index] = kept_of(hypotheses, ticket.part, self._scores)
            done = len(ticket.found) == len(ticket.tasks)
            if done and ticket in self._suspects:
                self._suspects.remove(ticket)
        if done:
            ticket.settle([ticket.found[i] for i in range(len(ticket.tasks))])

    def _recover(self, error: Exception) -> None:
        """After `error` the lines under way wait again: in smaller batches, or each ticket alone."""
        short = is_out_of_memory(error)
        with self._lock:
            begun = list(dict.fromkeys(ticket for ticket, _ in self._under_way.values()))
            for ticket, index in self._under_way.values():
                ticket.rest.append(index)
                self._pending += 1
            for ticket in begun:
                if ticket not in self._queue:
                    self._queue.appendleft(ticket)
            self._under_way, self._withdrawn = {}, set()
            if not short and len(begun) > 1:
                self._suspects = [*begun, *(one for one in self._suspects if one not in begun)]
                return
        if short:
            error.__traceback__ = None  # its frames keep tensors
            free_unused()
            try:
                self._budget.halve(error)
                return
            except OutOfMemoryError as last:
                error = last
        for ticket in begun or list(self._queue):
            self.withdraw(ticket)
            ticket.settle(error)
