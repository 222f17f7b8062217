"""Output for people: notices and progress on standard error, results on standard output.

Notices go through `logging`, to the logger `translora`, whose handler shows them; `quiet` keeps notices and progress
off the terminal. Other handlers get the notices all the same.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

notices = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress, notices and errors."""

results = Console(highlight=False)
"""Tables and scores."""


logger = logging.getLogger("translora")
"""Where notices go."""

_quiet = 0
"""How many blocks of `quiet` are running."""


class _Handler(logging.Handler):
    """Shows notices on standard error, unless they are to be quiet or the program's own logging shows them there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message as it is."""
        own = any(getattr(handler, "stream", None) is sys.stderr for handler in logging.getLogger().handlers)
        if not _quiet and not own:
            notices.print(Text(record.getMessage()))


logger.addHandler(_Handler())
logger.setLevel(logging.INFO)


def notice(text: str) -> None:
    """One line on standard error."""
    logger.info("%s", text)


@contextmanager
def quiet(asked: bool = True) -> Iterator[None]:
    """Show no notices and no progress while the block runs, where it is `asked` for."""
    global _quiet
    _quiet += asked
    try:
        yield
    finally:
        _quiet -= asked


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output: the first column to the left, the others to the right; what is too wide is folded."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    results.print(table)


def show_findings(title: str, findings: Mapping[str, Sequence[str]]) -> None:
    """Findings, each with the lines that show where, unbroken so that they can be copied."""
    results.print(Text(title, style="bold"))
    for finding, places in findings.items():
        results.print(Text(finding))
        for place in places:
            results.print(Text(f"  {place}", style="dim"), soft_wrap=True)


def show_texts(title: str, groups: Sequence[Sequence[tuple[str, str]]]) -> None:
    """Labelled texts in groups, each text beside its label and wrapped below itself."""
    results.print(Text(title, style="bold"))
    for group in groups:
        grid = Table.grid(padding=(0, 2))
        for label, text in group:
            grid.add_row(Text(label, style="dim"), Text(text))
        results.print(grid)
        results.print()


_LINE_SECONDS = 15.0


class Meter:
    """Counts the parts of one long job and shows its rate, the time left and a note such as the loss."""

    def __init__(self, label: str, total: int | None, unit: str, bar: Progress | None, done: int = 0) -> None:
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
        elif not _quiet and now - self._shown >= _LINE_SECONDS:
            self._shown = now
            if self.total is None:
                notices.print(f"{self.label}: {self.done}, {text}")
                return
            left = (now - self._start) / max(1, self.done - self._first) * (self.total - self.done)
            notices.print(f"{self.label}: {self.done}/{self.total}, {text}, {left:.0f} s left")


@contextmanager
def meter(label: str, total: int | None, unit: str, done: int = 0) -> Iterator[Meter]:
    """Show progress while the block runs; the bar is gone afterwards, and lines in a log stay.

    `total` is None where nobody knows how much there will be.
    """
    if not notices.is_terminal or _quiet:
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
