"""What is asked of a search by others: the lines of a ticket, and the future of their result.

Knows nothing of servers.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from translora.translation.decode import Part, Task, encoded
from translora.translation.generate import Generated
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
    suspect: bool = field(default=False, init=False)
    """Whether it was in a search that failed, and is to be alone in the next one."""
    since: float = field(default=0.0, init=False)
    """When it began to wait, by `time.monotonic`."""

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

    @property
    def done(self) -> bool:
        """Whether each of its lines has its hypotheses."""
        return len(self.found) == len(self.tasks)

    @property
    def result(self) -> list[list[Generated]]:
        """The hypotheses of each of its tasks."""
        return [self.found[i] for i in range(len(self.tasks))]

    def tokens(self, found: Sequence[Sequence[Generated]]) -> tuple[int, int]:
        """How many tokens the sources and the best of the hypotheses `found` have, their ends included."""
        written = sum(len(best.ids) + (not best.cut) for best, *_ in found)
        return sum(len(task.row) for task in self.tasks), written
