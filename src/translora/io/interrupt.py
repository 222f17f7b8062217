"""Ctrl-C and SIGTERM end a run between two steps, not inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from translora.errors import Terminated

_Result = TypeVar("_Result")


class _LeaveWork(BaseException):
    """Ends the work of `StopRequest.unless_stopped`; no library's `except Exception` catches it."""


class StopRequest:
    """Set once a signal has asked the run to stop."""

    signal_number = 0
    _inside = False

    def __bool__(self) -> bool:
        return self.signal_number != 0

    def unless_stopped(self, work: Callable[[], _Result]) -> _Result | None:
        """`work()`, or None where a signal came before or while it was done: it is left at once."""
        try:
            self._inside = True
            return None if self else work()
        except _LeaveWork:
            return None
        finally:
            self._inside = False

    def leave(self) -> None:
        """Raise what the signal raises where nobody turns it into a request."""
        raise KeyboardInterrupt if self.signal_number == signal.SIGINT else Terminated

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self:
            self.signal_number = number
            self.leave()
        self.signal_number = number
        if self._inside:
            raise _LeaveWork


@contextmanager
def stop_between_steps() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one raises `KeyboardInterrupt` (`Terminated`) at once.

    A request that comes after the work last looked for one is raised at the end. Outside the main thread, where Python
    allows no handlers, the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if request:
        request.leave()
