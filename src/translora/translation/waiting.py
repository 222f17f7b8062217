"""The lines that wait for searches which run side by side, each in a lane, which is a thread of its own.

Each adapter has a lane of its own, and each lane a queue, so that a search computes few adapters. A lane that has
little to do takes lines from the queues of others. Knows nothing of how a search chooses.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import count

from translora.translation.generate import Generated
from translora.translation.search import Line
from translora.translation.tickets import PartTicket

_MOST = 1.25
"""A lane takes lines of its queue while it has less than so many times its share of all lines."""
_LEAST = 0.75
"""A lane takes lines of other queues while it has less than so many times its share of all lines."""
_PATIENCE = 0.5
"""The lines of a ticket that has waited for so many seconds are taken by any lane whose own queue is empty."""


@dataclass(eq=False)
class _Lane:
    """What waits for a lane, and what it has under way."""

    queue: deque[PartTicket] = field(default_factory=deque)
    """The tickets with lines that wait, in the order of their turns."""
    pending: int = 0
    """The lines that wait in `queue`."""
    suspects: list[PartTicket] = field(default_factory=list)
    """Tickets of a search of this lane that failed: each is alone in the next one."""
    under_way: dict[int, tuple[PartTicket, int]] = field(default_factory=dict)
    """The ticket and the task of each line that was begun and not finished, by number."""
    withdrawn: set[int] = field(default_factory=set)

    def suspect(self) -> PartTicket | None:
        """The suspect that has lines under way here, or else the first one with lines that wait."""
        if not self.suspects:
            return None
        begun = (ticket for ticket, _ in self.under_way.values() if ticket in self.suspects)
        return next(begun, None) or next((ticket for ticket in self.suspects if ticket.rest), None)

    def has_only(self, ticket: PartTicket) -> bool:
        """Whether no lines of others are under way here."""
        return all(own is ticket for own, _ in self.under_way.values())


class Waiting:
    """The tickets of all lanes: their lines take turns, whatever the size of each ticket. Any thread may call it."""

    def __init__(self, lanes: int = 1) -> None:
        self._lanes = [_Lane() for _ in range(lanes)]
        self._lock = threading.Lock()
        self._numbers = count()
        self._leaving: set[int] = set()
        """The lanes that are to give their memory up before any goes on."""
        self._only: int | None = None
        """The lane that alone goes on since memory did not do for a line in each."""

    @property
    def lanes(self) -> int:
        """How many lanes search at a time."""
        return 1 if self._only is not None else len(self._lanes)

    def add(self, ticket: PartTicket) -> None:
        """Let the lines of `ticket` wait for their turns."""
        with self._lock:
            ticket.since = time.monotonic()
            self._queue(ticket)

    def withdraw(self, ticket: PartTicket) -> None:
        """Forget `ticket`; its lines under way give up their places before the next step."""
        with self._lock:
            self._unqueue(ticket)
            ticket.rest.clear()
            for lane in self._lanes:
                if ticket in lane.suspects:
                    lane.suspects.remove(ticket)
                mine = {number for number, (own, _) in lane.under_way.items() if own is ticket}
                lane.withdrawn |= mine
                for number in mine:
                    del lane.under_way[number]

    def pending(self, lane: int) -> int:
        """How many of the lines that wait the lane may take now."""
        with self._lock:
            if self._stopped(lane):
                return 0
            own = self._lanes[lane]
            if suspect := own.suspect():
                return len(suspect.rest) if own.has_only(suspect) else 0
            used, share = len(own.under_way), self._share()
            others = sum(other.pending for other in self._lanes) - own.pending
            mine = min(own.pending, max(0, _room(share) - used))
            if others and not self._overdue(lane):
                others = min(others, max(0, math.ceil(_LEAST * share) - used - mine))
            return mine + others

    def take(self, lane: int, fits: Callable[[Line], bool]) -> list[Line]:
        """The next lines for the lane, as long as `fits` says yes to one after the other; they are then under way."""
        taken, begun, own = list[Line](), list[PartTicket](), self._lanes[lane]
        with self._lock:
            share = self._share()
            while ticket := self._next(lane, share):
                number, index = next(self._numbers), ticket.rest[-1]
                line = ticket.tasks[index].line(number)
                if not fits(line):
                    break
                taken.append(line)
                self._unqueue(ticket)
                own.under_way[number] = ticket, ticket.rest.pop()
                if not ticket.rest:
                    begun.append(ticket)
                self._queue(ticket)
        for ticket in begun:
            ticket.begun()
        return taken

    def withdrawn(self, lane: int) -> Collection[int]:
        """The lines under way in the lane that were given up since the last call."""
        with self._lock:
            found, self._lanes[lane].withdrawn = self._lanes[lane].withdrawn, set()
        return found

    def labels(self, lane: int) -> Counter[str]:
        """How many lines are under way in the lane, by the labels of their tickets."""
        with self._lock:
            return Counter(ticket.label for ticket, _ in self._lanes[lane].under_way.values())

    def finish(
        self, lane: int, number: int, kept: Callable[[PartTicket], list[Generated]]
    ) -> tuple[PartTicket, bool] | None:
        """A line of the lane is translated; returns its ticket, and whether it was the last one of the ticket.

        Returns None where the line was withdrawn in this step.
        """
        with self._lock:
            ticket, index = self._lanes[lane].under_way.pop(number, (None, 0))
            if ticket is None:
                return None
            ticket.found[index] = kept(ticket)
            if ticket.done and ticket.suspect:
                for one in self._lanes:
                    one.suspects = [other for other in one.suspects if other is not ticket]
            return ticket, ticket.done

    def give_back(self, lane: int, apart: bool = False) -> list[PartTicket]:
        """Let the lines under way in the lane wait again; returns their tickets.

        With `apart` each of several tickets, one of which made a search fail, is then alone in a search of the lane.
        """
        own = self._lanes[lane]
        with self._lock:
            begun = list(dict.fromkeys(ticket for ticket, _ in own.under_way.values()))
            for ticket in begun:
                self._unqueue(ticket)
            for ticket, index in own.under_way.values():
                ticket.rest.append(index)
            own.under_way, own.withdrawn = {}, set()
            self._leaving.discard(lane)
            new = [ticket for ticket in begun if not ticket.suspect]
            if apart and len(begun) > 1:
                own.suspects[:0] = new
                for ticket in new:
                    ticket.suspect = True
            for ticket in new:
                self._queue(ticket, first=True)
        return begun

    def queued(self, lane: int) -> list[PartTicket]:
        """The tickets with lines that wait, those that other lanes have for themselves left out."""
        with self._lock:
            return [*self._lanes[lane].suspects, *(ticket for one in self._lanes for ticket in one.queue)]

    def ran_out(self, lane: int) -> bool:
        """The lane had no memory left: others give theirs up. Returns False where it was to give its own up itself."""
        with self._lock:
            if lane in self._leaving:
                return False
            self._leaving = {number for number, one in enumerate(self._lanes) if one.under_way and number != lane}
            return True

    def leaves(self, lane: int) -> bool:
        """Whether the lane is to give its lines back, since another had no memory left."""
        with self._lock:
            return lane in self._leaving

    def alone(self, lane: int) -> bool:
        """Let the lane alone go on; returns False where no other did before."""
        with self._lock:
            if self.lanes == 1:
                return False
            self._only = lane
            for one in self._lanes:
                if one is not self._lanes[lane]:
                    self._lanes[lane].suspects += one.suspects
                    one.suspects = []
            return True

    def _home(self, ticket: PartTicket) -> _Lane:
        return self._lanes[ticket.part.adapter % len(self._lanes)]

    def _queue(self, ticket: PartTicket, first: bool = False) -> None:
        """Put a ticket with lines that wait at the end of its queue, or to the front, unless it is a suspect."""
        if ticket.rest and not ticket.suspect:
            home = self._home(ticket)
            home.queue.insert(0 if first else len(home.queue), ticket)
            home.pending += len(ticket.rest)

    def _unqueue(self, ticket: PartTicket) -> None:
        """Undo `_queue`; called before the lines that wait change."""
        if ticket.rest and not ticket.suspect:
            self._home(ticket).queue.remove(ticket)
            self._home(ticket).pending -= len(ticket.rest)

    def _stopped(self, lane: int) -> bool:
        return bool(self._leaving) or self._only not in (None, lane)

    def _share(self) -> float:
        """The lines of each lane, under way and waiting, if all had the same."""
        return sum(len(one.under_way) + one.pending for one in self._lanes) / self.lanes

    def _overdue(self, lane: int) -> bool:
        """Whether a ticket in the queue of another lane has waited for long."""
        heads = (one.queue[0] for number, one in enumerate(self._lanes) if one.queue and number != lane)
        return any(time.monotonic() - head.since > _PATIENCE for head in heads)

    def _next(self, lane: int, share: float) -> PartTicket | None:
        """The ticket whose line the lane takes next."""
        own = self._lanes[lane]
        if self._stopped(lane):
            return None
        if suspect := own.suspect():
            return suspect if suspect.rest and own.has_only(suspect) else None
        if own.queue and len(own.under_way) < _room(share):
            return own.queue[0]
        fullest = max((one for one in self._lanes if one is not own), key=lambda one: one.pending, default=own)
        if not fullest.queue or fullest is own:
            return None
        head = fullest.queue[0]
        late = not own.queue and time.monotonic() - head.since > _PATIENCE
        return head if late or len(own.under_way) < _LEAST * share else None


def _room(share: float) -> int:
    """How many lines a lane has under way at most."""
    return math.ceil(_MOST * share) + 1
