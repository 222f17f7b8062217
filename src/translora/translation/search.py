"""Greedy and beam search with translora's own decoder: exactly the choices that transformers' `generate` makes.

Lines that are finished leave the batch and waiting lines take their places, so that a line that runs on holds up no
other. New lines may come while a search runs, and lines that nobody wants any more may be withdrawn from it: a search
asks its `Source` before each step. Each line is searched as if it were alone.

Beams are those of transformers' `_beam_search` with `early_stopping=True`: a line ends once it has as many finished
hypotheses as beams, and at its limit at the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from translora.data.batching import Ints
from translora.models.t5.cache import Cache
from translora.models.t5.decode import Decoder
from translora.translation.choices import Best, Rules, best_tokens

_REFILL = 8
"""Waiting lines are taken in once one in this many places is free: encoding them one by one is slow."""
_PATIENCE = 8
"""Lines that have waited for this many steps are taken in, however few there are."""
_SHRINK = 0.75
"""Free places, or the room for source tokens, are given up once less than this share is in use."""
_GROW = 1.25
"""Places are added once this many times as many are allowed and wanted."""
_UNLIKELY = -1e9
"""The score that transformers gives beams that must not be chosen."""
_FAR = int(np.iinfo(np.int64).max)

Found = Callable[[int, list["Hypothesis"]], None]


class Hypothesis(NamedTuple):
    """A finished translation."""

    ids: list[int]
    """Without start and end token."""
    score: float
    """With beams: the score by transformers' definition; greedy: the sum of log-probabilities, if asked for."""
    log_probability: float
    """The sum of the model's log-probabilities of the tokens that it chose."""
    chosen: int
    """How many tokens the model chose: `ids`, and the end token unless the limit set it."""
    cut: bool
    """Whether the limit ended it where the model would have gone on."""


@dataclass(frozen=True)
class Line:
    """A line to translate."""

    number: int
    ids: Sequence[int]
    """Source token ids, the end token included."""
    limit: int
    """The largest number of tokens of the translation, its end token not counted."""
    adapter: int = -1
    """The number of its adapter among the decoder's; -1 is none."""


class Source(Protocol):
    """Where the lines of a search come from. It is asked before each step, in the thread of the search."""

    def waiting(self) -> int:
        """How many lines wait now."""

    def take(self, fits: Callable[[Line], bool]) -> Sequence[Line]:
        """The next of the waiting lines, as long as `fits` says yes to one after the other; they no longer wait."""

    def withdrawn(self) -> Collection[int]:
        """The numbers of lines under way that were given up since the last call."""


class _Listed:
    """All lines from the start, the longest first."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = sorted(lines, key=lambda line: len(line.ids))  # the next one is taken from the end

    def waiting(self) -> int:
        return len(self._lines)

    def take(self, fits: Callable[[Line], bool]) -> list[Line]:
        taken = []
        while self._lines and fits(self._lines[-1]):
            taken.append(self._lines.pop())
        return taken

    def withdrawn(self) -> Collection[int]:
        return ()


def search(
    decoder: Decoder, lines: Sequence[Line] | Source, rules: Rules, places: Callable[[int], int], found: Found
) -> None:
    """Translate `lines`, the longest first, or all lines of a source, until none waits.

    `places(longest)` says how many lines may be under way at a time where the longest has so many source tokens.
    `found` is called with the number of each finished line and its hypotheses, the best first: one for greedy search,
    else as many as beams.
    """
    running = begin(decoder, lines, rules, places, found)
    while running.step():
        pass


@torch.inference_mode()
def begin(
    decoder: Decoder, lines: Sequence[Line] | Source, rules: Rules, places: Callable[[int], int], found: Found
) -> Search:
    """A search for those who call its steps themselves; see `search`."""
    kind = _Beams if rules.beams > 1 else _Greedy
    return kind(decoder, _Listed(lines) if isinstance(lines, Sequence) else lines, rules, places, found)


class Search:
    """Which lines are under way; how tokens are chosen is up to the kinds of search.

    Between two steps other searches may use the decoder, and adapters of no line under way may be changed.
    """

    def __init__(
        self, decoder: Decoder, source: Source, rules: Rules, places: Callable[[int], int], found: Found
    ) -> None:
        self.decoder, self.rules = decoder, rules
        self._source, self._places, self._found = source, places, found
        self.lines: list[Line | None] = []
        """The line in each place; None where the place is free."""
        self._limits: Ints = np.zeros(0, dtype=np.int64)
        self._waited = 0
        """The steps since lines have been waiting."""
        self.worked = 0
        """How many lines the last step was for."""
        self.cache = Cache(decoder.shape, 1, rules.beams, 1)

    @torch.inference_mode()
    def step(self) -> bool:
        """Take in lines and choose the next token of all; returns False where no line is under way or waits."""
        self._give_up()
        self._refill()
        self.worked = sum(line is not None for line in self.lines)
        if not self.worked:
            return False
        states = self.decoder.step(self.cache)
        best = best_tokens(self.decoder, states, self.cache, self.rules, self.sums())
        over = np.flatnonzero(self.lengths() >= self._limits)
        self.cache.advance(*self.choose(best, over))
        return True

    def choose(self, best: Best, over: Ints) -> tuple[torch.Tensor, torch.Tensor | None]:
        """End lines, and choose the next tokens and parents of the others; the places `over` are at their limits."""
        raise NotImplementedError

    def sums(self) -> torch.Tensor | None:
        """The scores of beams so far, shape (lines, beams)."""
        return None

    def keep(self, kept: Ints, size: int) -> None:
        """Move the state of the places `kept` to the front of `size`."""
        raise NotImplementedError

    def begin(self, places: Ints) -> None:
        """Set the state of new lines."""
        raise NotImplementedError

    def lengths(self) -> Ints:
        """The tokens chosen so far in each place."""
        return self.cache.column - self.cache.starts

    def finish(self, place: int, hypotheses: list[Hypothesis]) -> None:
        """The line in `place` is translated."""
        line = self.lines[place]
        assert line is not None
        self._free(place)
        self._found(line.number, hypotheses)

    def told(self, place: int, beam: int) -> list[int]:
        """The tokens of a beam so far."""
        first = int(self.cache.starts[place]) + 1
        ids: list[int] = self.cache.tokens[place, beam, first : self.cache.column + 1].tolist()
        return ids

    def _free(self, place: int) -> None:
        self.lines[place], self._limits[place] = None, _FAR
        self.cache.free(place)

    def _give_up(self) -> None:
        """Free the places of lines that were withdrawn."""
        if numbers := self._source.withdrawn():
            for place, line in enumerate(self.lines):
                if line is not None and line.number in numbers:
                    self._free(place)

    def _refill(self) -> None:
        """Put waiting lines into free places, and change the number of places where that is worth it."""
        size, kept = len(self.lines), self._in_use()
        used, waiting = len(kept), self._source.waiting()
        if not waiting:
            self._waited = 0
            if 0 < used < _SHRINK * size:
                self._resize(kept, used, self._longest())
            return
        self._waited += 1
        longest = self._longest()
        allowed = min(self._places(max(longest, 1)), used + waiting)
        grows = not used or allowed >= _GROW * size or self._waited > _PATIENCE
        if not grows and (size - used) * _REFILL < size:
            return
        new = self._source.take(self._fits(used, longest, _FAR if grows else size))
        if not new:
            return
        self._waited = 0
        longest = max(longest, *(len(line.ids) for line in new))
        if not _SHRINK * self.cache.longest <= longest <= self.cache.longest or used + len(new) > size:
            self._resize(kept, max(used + len(new), size if used else 0), longest)
        self._take(new)

    def _fits(self, used: int, longest: int, size: int) -> Callable[[Line], bool]:
        """Whether one more line may be under way, asked for one line after the other."""

        def fits(line: Line) -> bool:
            nonlocal used, longest
            most = max(longest, len(line.ids))
            if used >= size or (used and used >= self._places(most)):
                return False
            used, longest = used + 1, most
            return True

        return fits

    def _in_use(self) -> Ints:
        return np.array([place for place, line in enumerate(self.lines) if line is not None], dtype=np.int64)

    def _longest(self) -> int:
        """The most source tokens of a line under way."""
        return max((len(line.ids) for line in self.lines if line is not None), default=0)

    def _resize(self, kept: Ints, size: int, longest: int) -> None:
        lines = [line for line in self.lines if line is not None]
        self.cache.keep(kept, size, longest)
        self.lines = [*lines, *([None] * (size - len(lines)))]
        self._limits = np.concatenate([self._limits[kept], np.full(size - len(kept), _FAR)])
        self.keep(kept, size)

    def _take(self, lines: Sequence[Line]) -> None:
        """Begin `lines` in free places."""
        free = [place for place, line in enumerate(self.lines) if line is None][: len(lines)]
        new = sorted(lines, key=lambda line: line.adapter)  # side by side in products
        which = torch.tensor([line.adapter for line in new], device=self.decoder.shape.device)
        encoded = self.decoder.encode([line.ids for line in new], which if self.decoder.adapters else None)
        places = np.array(free, dtype=np.int64)
        self.cache.put(places, encoded.sources, encoded.lengths, self.rules.start, which)
        for place, line in zip(free, new, strict=True):
            self.lines[place], self._limits[place] = line, line.limit
        self.begin(places)


class _Greedy(Search):
    """The best token each time."""

    def __init__(self, *job: Any) -> None:
        super().__init__(*job)
        self._logs = np.zeros(0)
        """The log-probabilities of each line so far, summed."""

    def keep(self, kept: Ints, size: int) -> None:
        self._logs = np.concatenate([self._logs[kept], np.zeros(size - len(kept))])

    def begin(self, places: Ints) -> None:
        self._logs[places] = 0.0

    def choose(self, best: Best, over: Ints) -> tuple[torch.Tensor, torch.Tensor | None]:
        ids, logs = best.ids[:, 0].cpu().numpy(), best.logs[:, 0].double().cpu().numpy()
        ends, at_limit = ids == self.rules.end, np.zeros(len(ids), dtype=bool)
        at_limit[over] = True
        self._logs += np.where(at_limit & ~ends, 0.0, logs)
        for place in np.flatnonzero(ends | at_limit).tolist():
            if self.lines[place] is not None:
                told, total = self.told(place, 0), float(self._logs[place])
                self.finish(place, [Hypothesis(told, total, total, len(told) + int(ends[place]), not ends[place])])
        return best.ids, None


class _Beams(Search):
    """As many hypotheses as beams, the best by their sums of log-probabilities."""

    def __init__(self, *job: Any) -> None:
        super().__init__(*job)
        self._sums = torch.zeros(2, 0, self.rules.beams, device=self.decoder.shape.device)
        """What beams are compared by, and the sums of the model's log-probabilities; shape (2, lines, beams)."""
        self._ended: list[list[Hypothesis]] = []
        """The hypotheses of each line that have ended, the best first."""

    def keep(self, kept: Ints, size: int) -> None:
        before, index = self._sums, torch.from_numpy(kept).to(self._sums.device)
        self._sums = before.new_zeros(2, size, self.rules.beams)
        self._sums[:, : len(kept)] = before[:, index]
        self._ended = [self._ended[place] for place in kept] + [[] for _ in range(size - len(kept))]

    def begin(self, places: Ints) -> None:
        index = torch.from_numpy(places).to(self._sums.device)
        self._sums[:, index] = 0.0
        self._sums[0, index, 1:] = _UNLIKELY  # all beams are the same at first: one alone may go on
        for place in places:
            self._ended[place] = []

    def sums(self) -> torch.Tensor:
        return self._sums[0]

    def choose(self, best: Best, over: Ints) -> tuple[torch.Tensor, torch.Tensor | None]:
        beams, tokens, parents, sums, logs = self.rules.beams, *best[:4]
        would_end: dict[int, list[tuple[bool, float]]] = {}
        if len(over):  # these lines end now: each beam has the end token as its only continuation
            index = torch.from_numpy(over).to(tokens.device)
            first = zip(best.would_end[index].tolist(), best.end_logs[index].tolist(), strict=True)
            would_end = {place: list(zip(*pair, strict=True)) for place, pair in zip(over.tolist(), first, strict=True)}
            ranked, order = (best.ends + self._sums[0])[index].sort(descending=True)
            sums[index], tokens[index], logs[index], parents[index] = -torch.inf, self.rules.end, 0.0, 0
            sums[index, :beams], parents[index, :beams] = ranked, order
        logs = logs + self._sums[1].gather(1, parents)
        ends = tokens == self.rules.end
        if bool(ends[:, :beams].any()):
            self._end(ends[:, :beams], sums, logs, parents, would_end)
        sums, order = (sums + ends * _UNLIKELY).topk(beams)
        self._sums = torch.stack([sums, logs.gather(1, order)])
        for place in over.tolist():
            if self.lines[place] is not None:  # every token was banned
                self.finish(
                    place, self._ended[place] or [Hypothesis(self.told(place, 0), _UNLIKELY, _UNLIKELY, 1, True)]
                )
        return tokens.gather(1, order), parents.gather(1, order)

    def _end(
        self,
        ends: torch.Tensor,
        sums: torch.Tensor,
        logs: torch.Tensor,
        parents: torch.Tensor,
        would_end: dict[int, list[tuple[bool, float]]],
    ) -> None:
        """Keep the hypotheses that end with this token, and finish the lines that have as many as beams."""
        lengths = torch.from_numpy((self.lengths() + 1).astype(np.float64))
        scores = sums / lengths.pow(self.rules.length_penalty).to(sums)[:, None]
        changed = set()
        for place, rank in ends.nonzero().tolist():
            if self.lines[place] is None:
                continue
            beam = int(parents[place, rank])
            told, total, own = self.told(place, beam), float(logs[place, rank]), True
            if place in would_end:
                own, log = would_end[place][beam]
                total += log if own else 0.0
            self._ended[place].append(
                Hypothesis(told, float(scores[place, rank]), total, len(told) + int(own), not own)
            )
            changed.add(place)
        for place in changed:
            ended = sorted(self._ended[place], key=lambda one: -one.score)[: self.rules.beams]
            self._ended[place] = ended
            if len(ended) == self.rules.beams:
                self.finish(place, ended)
