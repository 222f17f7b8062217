"""Ctrl-C and SIGTERM end a run between two steps, not inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Set once a signal has asked the run to stop."""

    signal_number = 0

    def __bool__(self) -> bool:
        return self.signal_number != 0


@contextmanager
def stop_between_steps() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one raises `KeyboardInterrupt` at once.

    Outside the main thread, where Python allows no handlers, the request is never set.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request:
            raise KeyboardInterrupt
        request.signal_number = number

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
