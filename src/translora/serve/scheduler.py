"""Fair turns: which of the groups of requests goes a step further, and which begin.

Groups that run share the time equally, so that neither other beams nor another model wait for the end of a search.
Called by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from translora.translation.running import Ticket

MOST_RUNNING = 4
"""The most groups that run at a time: each keeps the keys and values of its lines in memory."""
_LEAST_SECONDS = 0.5
"""A group that runs takes new lines for so long at least."""


class Group(Protocol):
    """Requests that are translated together, and that others join."""

    closed: bool
    """Whether what waits stays waiting."""

    @property
    def running(self) -> bool:
        """Whether it has begun, and takes memory."""

    @property
    def pending(self) -> int:
        """How many lines wait."""

    @property
    def worked(self) -> Mapping[str, int]:
        """How many lines the last step was for, by the labels of their tickets."""

    def add(self, ticket: Any) -> None:
        """Let a ticket join."""

    def withdraw(self, ticket: Any) -> None:
        """Forget a ticket."""

    def step(self) -> bool:
        """Go on a little; returns False where there is nothing left to do. Errors go to the tickets."""


@dataclass(eq=False)
class Turn:
    """A group and the time that it has had."""

    key: Hashable
    group: Group
    spent: float = 0.0
    """Seconds, counted from those of the group that had the least when this one began."""
    since: float = 0.0
    """`spent` when it began."""
    begun: bool = False


class Scheduler:
    """All groups that have something to do, the one that has waited longest first."""

    def __init__(self) -> None:
        self._turns: dict[Hashable, Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, key: Hashable, ticket: Ticket, make: Callable[[], Group]) -> None:
        """Let `ticket` join the group of its `key`, which `make` makes where there is none."""
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = Turn(key, make())
        turn.group.add(ticket)

    def withdraw(self, key: Hashable, ticket: Ticket) -> None:
        """Forget `ticket`, if it is not done."""
        if turn := self._turns.get(key):
            turn.group.withdraw(ticket)

    def next(self) -> Turn | None:
        """The group whose turn it is.

        Where as many run as may, and another one waits, the oldest of those that had their time begins nothing new.
        """
        running = [turn for turn in self._turns.values() if turn.begun]
        waiting = [turn for turn in self._turns.values() if not turn.begun]
        least = min((turn.spent for turn in running), default=0.0)
        for turn in waiting[: max(0, MOST_RUNNING - len(running))]:
            turn.begun, turn.spent, turn.since = True, least, least
            running.append(turn)
        if len(running) < len(self._turns) and not any(turn.group.closed for turn in running):
            for turn in [turn for turn in running if turn.spent - turn.since >= _LEAST_SECONDS][:1]:
                turn.group.closed = True
        return min(running, key=lambda turn: turn.spent, default=None)

    def stepped(self, turn: Turn, going: bool, seconds: float) -> None:
        """The group had its turn for `seconds`; it is done where it is not `going` on and nothing waits."""
        turn.spent += seconds
        if going:
            return
        turn.begun = turn.group.closed = False
        del self._turns[turn.key]
        if turn.group.pending:
            self._turns[turn.key] = turn  # behind the others
