"""Fair turns: which of the groups of requests goes a step further in each lane, and which begin.

A lane is a thread that steps groups. Groups that run share its time equally, so that neither other beams nor another
model wait for the end of a search. Called by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from translora.translation.tickets import Ticket

MOST_RUNNING = 4
"""The most groups that run at a time in a lane: each keeps the keys and values of its lines in memory."""
_LEAST_SECONDS = 0.5
"""A group that runs takes new lines for so long at least."""


class Runner(Protocol):
    """What one lane does of a group."""

    closed: bool
    """Whether what waits stays waiting."""

    @property
    def returned(self) -> bool:
        """Whether the last step let lines wait again, which other lanes may take now."""

    @property
    def running(self) -> bool:
        """Whether it has begun, and takes memory."""

    @property
    def pending(self) -> int:
        """How many lines wait that it may take."""

    @property
    def worked(self) -> Mapping[str, int]:
        """How many lines the last step was for, by the labels of their tickets."""

    def step(self) -> bool:
        """Go on a little; returns False where there is nothing left to do. Errors go to the tickets."""


class Group(Protocol):
    """Requests that are translated together, and that others join."""

    @property
    def runners(self) -> Sequence[Runner]:
        """One for each lane that may work on it, the first lanes first."""

    def add(self, ticket: Any) -> None:
        """Let a ticket join."""

    def withdraw(self, ticket: Any) -> None:
        """Forget a ticket."""


@dataclass(eq=False)
class Turn:
    """A runner and the time that it has had."""

    key: Hashable
    runner: Runner
    spent: float = 0.0
    """Seconds, counted from those of the runner that had the least when this one began."""
    since: float = 0.0
    """`spent` when it began."""
    begun: bool = False


class Scheduler:
    """All groups that have something to do, and their turns in each lane."""

    def __init__(self, lanes: int = 1) -> None:
        self._groups: dict[Hashable, Group] = {}
        self._lanes = [_Turns() for _ in range(lanes)]

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, key: Hashable, ticket: Ticket, make: Callable[[], Group]) -> None:
        """Let `ticket` join the group of its `key`, which `make` makes where there is none."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = make()
        group.add(ticket)
        self._announce(key, group)

    def withdraw(self, key: Hashable, ticket: Ticket) -> None:
        """Forget `ticket`, if it is not done."""
        if group := self._groups.get(key):
            group.withdraw(ticket)

    def next(self, lane: int = 0) -> Turn | None:
        """The runner whose turn it is in the lane, the one that has waited longest."""
        return self._lanes[lane].next()

    def stepped(self, turn: Turn, going: bool, seconds: float, lane: int = 0) -> bool:
        """The runner had its turn for `seconds`; it is done where it is not `going` on and nothing waits for it.

        Returns whether other lanes may have got something to do.
        """
        self._lanes[lane].stepped(turn, going, seconds)
        if turn.runner.returned:
            self._announce(turn.key, self._groups[turn.key])
            return True
        if not any(turn.key in turns for turns in self._lanes):
            del self._groups[turn.key]
        return False

    def _announce(self, key: Hashable, group: Group) -> None:
        for turns, runner in zip(self._lanes, group.runners, strict=False):  # some groups are for one lane
            turns.add(key, runner)


class _Turns:
    """The runners of a lane that have something to do, the one that has waited longest first."""

    def __init__(self) -> None:
        self._turns: dict[Hashable, Turn] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._turns

    def add(self, key: Hashable, runner: Runner) -> None:
        """Let a runner have its turns, if it has none."""
        if key not in self._turns:
            self._turns[key] = Turn(key, runner)

    def next(self) -> Turn | None:
        """The runner whose turn it is.

        Where as many run as may, and another one waits, the oldest of those that had their time begins nothing new.
        """
        running = [turn for turn in self._turns.values() if turn.begun]
        waiting = [turn for turn in self._turns.values() if not turn.begun]
        least = min((turn.spent for turn in running), default=0.0)
        for turn in waiting[: max(0, MOST_RUNNING - len(running))]:
            turn.begun, turn.spent, turn.since = True, least, least
            running.append(turn)
        if len(running) < len(self._turns) and not any(turn.runner.closed for turn in running):
            for turn in [turn for turn in running if turn.spent - turn.since >= _LEAST_SECONDS][:1]:
                turn.runner.closed = True
        return min(running, key=lambda turn: turn.spent, default=None)

    def stepped(self, turn: Turn, going: bool, seconds: float) -> None:
        """See `Scheduler`."""
        turn.spent += seconds
        if going:
            return
        turn.begun = turn.runner.closed = False
        del self._turns[turn.key]
        if turn.runner.pending:
            self._turns[turn.key] = turn  # behind the others
