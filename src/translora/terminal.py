"""What a person reads: notices and progress on standard error, results on standard output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

notices = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress, notices and errors."""

results = Console(highlight=False)
"""Tables and scores."""


def notice(text: str) -> None:
    """One line on standard error, printed as it is."""
    notices.print(Text(text))


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output: the first column to the left, the others to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    results.print(table)


def show_findings(title: str, findings: Mapping[str, Sequence[str]]) -> None:
    """What was found, each with the lines that show where, unbroken so that they can be copied."""
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
