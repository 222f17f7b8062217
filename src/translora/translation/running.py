"""Searches that requests join while they run, one in each lane; a lane is a thread that calls the steps.

Tickets are added and withdrawn by any thread. Knows nothing of servers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from translora.errors import OutOfMemoryError
from translora.models.budget import Budget, free_unused, is_out_of_memory
from translora.models.t5.decode import Decoder
from translora.translation.decode import kept_of, places, rules_of
from translora.translation.search import Hypothesis, Line, Search, begin
from translora.translation.tickets import PartTicket
from translora.translation.waiting import Waiting


class SearchGroup:
    """The searches for all tickets of a key, side by side over the same weights: their lines take turns."""

    def __init__(self, decoder: Decoder, first: PartTicket, budget: Budget, lanes: int = 1) -> None:
        """The searches go by the part of the `first` ticket; `budget` remembers that memory ran out."""
        self._waiting = Waiting(lanes)
        self.runners = [RunningSearch(decoder, first, budget, self._waiting, lane) for lane in range(lanes)]
        """The search of each lane."""

    def add(self, ticket: PartTicket) -> None:
        """Let the lines of `ticket` wait for their turns."""
        self._waiting.add(ticket)

    def withdraw(self, ticket: PartTicket) -> None:
        """Forget `ticket`; its lines under way give up their places before the next step."""
        self._waiting.withdraw(ticket)


class RunningSearch:
    """The search of one lane of a group."""

    def __init__(self, decoder: Decoder, first: PartTicket, budget: Budget, waiting: Waiting, lane: int) -> None:
        """See `SearchGroup`; the lines are those that are `waiting`."""
        self._decoder, self._budget, self._waiting, self._lane = decoder, budget, waiting, lane
        self._translator, self._decoding, self._scores = first.part.translator, first.part.decoding, first.scores
        self.closed = False
        """Whether lines that wait stay so: what is under way ends, and nothing new begins."""
        self.returned = False
        """Whether the last step let lines wait again, which other lanes may take now."""
        self.worked: Counter[str] = Counter()
        """How many lines the last step was for, by the labels of their tickets."""
        self._search: Search | None = None

    @property
    def running(self) -> bool:
        """Whether a search is under way, and takes memory."""
        return self._search is not None

    @property
    def pending(self) -> int:
        """How many lines wait that this lane may take, even if the search is closed."""
        return self._waiting.pending(self._lane)

    def step(self) -> bool:
        """Take in lines and choose the next token of all; returns False where there is nothing to do."""
        self.worked, self.returned = Counter(), False
        self._leave()
        if self._search is None and not self.pending:
            return False
        try:
            if self._search is None:
                rules = rules_of(self._translator, self._decoding, self._scores)
                self._search = begin(self._decoder, self, rules, self._places, self._found)
            going = self._search.step()
            self.worked.update(self._waiting.labels(self._lane))  # lines that the step finished are counted already
        except Exception as error:
            failure = error
        else:
            if not going:
                self._search = None
                self._leave()
            return going
        self._search = None
        self._recover(failure)
        return True

    def waiting(self) -> int:
        """See `Source`."""
        return 0 if self.closed else self.pending

    def take(self, fits: Callable[[Line], bool]) -> list[Line]:
        """See `Source`."""
        return [] if self.closed else self._waiting.take(self._lane, fits)

    def withdrawn(self) -> Collection[int]:
        """See `Source`."""
        return self._waiting.withdrawn(self._lane)

    def _places(self, longest: int) -> int:
        lanes = self._waiting.lanes
        return max(1, places(self._translator, self._decoding, longest, self._budget.tokens, lanes) // lanes)

    def _found(self, number: int, hypotheses: list[Hypothesis]) -> None:
        found = self._waiting.finish(self._lane, number, lambda ticket: kept_of(hypotheses, ticket.part, self._scores))
        if found is None:
            return
        ticket, last = found
        self.worked[ticket.label] += 1
        if last:
            ticket.settle(ticket.result)

    def _leave(self) -> None:
        """Where another lane had no memory left, give the memory of this one up."""
        if self._waiting.leaves(self._lane):
            self._search = None
            self._waiting.give_back(self._lane)
            free_unused()
            self.returned = True

    def _recover(self, error: Exception) -> None:
        """After `error` the lines under way wait again: in smaller batches, or each ticket alone."""
        self.returned = True
        short = is_out_of_memory(error)
        first = short and self._waiting.ran_out(self._lane)
        begun = self._waiting.give_back(self._lane, apart=not short)
        if short:
            error.__traceback__ = None  # its frames keep tensors
            free_unused()
            if not first:
                return
            try:
                self._budget.halve(error)
                return
            except OutOfMemoryError as last:
                if self._waiting.alone(self._lane):
                    return
                error = last
        elif len(begun) > 1:
            return
        for ticket in begun or self._waiting.queued(self._lane):
            self._waiting.withdraw(ticket)
            ticket.settle(error)
