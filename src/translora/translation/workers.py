"""One search by several threads, each with its own share of the lines and its own cache, over the same weights.

Two threads that each translate half of the lines are faster than two that share each operation: many operations of a
step are too small to be shared. Knows nothing of how a search chooses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch

from translora.models.t5.decode import Decoder
from translora.translation.choices import Rules
from translora.translation.search import Found, Hypothesis, Line, search

_MOST_WORKERS = 4
"""The threads take turns in Python, so that more gain nothing."""
_LEAST_ROWS = 32
"""A thread with fewer lines times beams under way is slower than one that shares its operations with others."""


class _StoppedError(Exception):
    """Another thread failed, so that this one gives up."""


def most_workers(device: torch.device) -> int:
    """How many threads search at a time on `device`, where there are enough lines."""
    return min(_MOST_WORKERS, torch.get_num_threads()) if device.type == "cpu" else 1


def search_in_threads(
    decoder: Decoder, lines: Sequence[Line], rules: Rules, places: Callable[[int], int], found: Found
) -> None:
    """Translate `lines` as `search` does; `places` counts the lines under way in all threads together.

    `found` is called by one thread at a time, not by the caller's. An error in a thread, or in `found`, ends the others
    at their next finished line, and is raised here.
    """
    count = min(most_workers(decoder.shape.device), max(1, len(lines) * rules.beams // _LEAST_ROWS))
    if count == 1:
        return search(decoder, lines, rules, places, found)
    return _Workers(decoder, rules, places, found, count).run(lines)


class _Workers:
    """Threads that search, and what they share."""

    def __init__(self, decoder: Decoder, rules: Rules, places: Callable[[int], int], found: Found, count: int) -> None:
        self._decoder, self._rules, self._places, self._found, self._count = decoder, rules, places, found, count
        self._lock = threading.Lock()
        self._ready = threading.Barrier(count + 1)
        self._stop = False
        self._errors: list[BaseException] = []

    def run(self, lines: Sequence[Line]) -> None:
        """Translate `lines`; each thread gets as many long and short ones as the others."""
        by_length = sorted(lines, key=lambda line: len(line.ids))
        shares = [by_length[i :: self._count] for i in range(self._count)]
        total, threads = torch.get_num_threads(), []
        try:
            for share in shares:
                thread = threading.Thread(target=self._work, args=(share, total // self._count), daemon=True)
                thread.start()
                threads.append(thread)
            self._ready.wait()
            torch.set_num_threads(total)  # that of later threads, which the workers changed
            for thread in threads:
                thread.join()
        finally:  # also where Ctrl-C ends the waiting
            self._stop = True
            self._ready.abort()
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]

    def _work(self, lines: Sequence[Line], threads: int) -> None:
        with suppress(_StoppedError):
            try:
                torch.set_num_threads(threads)  # of this thread's operations
                self._ready.wait()
                search(self._decoder, lines, self._rules, self._own_places, self._one)
            except _StoppedError:
                raise
            except BaseException as error:  # raised again by the caller's thread
                self._errors.append(error)
                self._stop = True

    def _own_places(self, longest: int) -> int:
        return max(1, self._places(longest) // self._count)

    def _one(self, number: int, hypotheses: list[Hypothesis]) -> None:
        with self._lock:
            if self._stop:
                raise _StoppedError
            self._found(number, hypotheses)
