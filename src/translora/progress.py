"""Live progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from translora.terminal import notices

_LINE_SECONDS = 15.0


class Meter:
    """Counts the parts of one long job and shows its rate, the time left and a note such as the loss."""

    def __init__(self, label: str, total: int, unit: str, bar: Progress | None, done: int = 0) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self._bar = bar
        self._task: TaskID | None = bar.add_task(label, total=total, completed=done, note="") if bar else None
        self._first, self._start = done, time.monotonic()
        self._counted = 0
        self._shown = self._start

    def advance(self, parts: int = 1, counted: int | None = None, note: str = "") -> None:
        """`parts` of the total are done; `counted` units (default: the same number) went through meanwhile."""
        self.done += parts
        self._counted += parts if counted is None else counted
        now = time.monotonic()
        text = f"{self._counted / max(now - self._start, 1e-9):.1f} {self.unit}/s {note}".strip()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, note=text)
        elif now - self._shown >= _LINE_SECONDS:
            self._shown = now
            left = (now - self._start) / max(1, self.done - self._first) * (self.total - self.done)
            notices.print(f"{self.label}: {self.done}/{self.total}, {text}, {left:.0f} s left")


@contextmanager
def meter(label: str, total: int, unit: str, done: int = 0) -> Iterator[Meter]:
    """Show progress while the block runs; the bar is gone afterwards, and lines in a log stay."""
    if not notices.is_terminal:
        yield Meter(label, total, unit, None, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=notices, transient=True) as bar:
        yield Meter(label, total, unit, bar, done)
