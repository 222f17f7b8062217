"""`translora report`: the page of a run, or of several side by side."""

from __future__ import annotations

import argparse

from translora.cli.arguments import Commands, Parser, add_command


def add(commands: Commands[Parser]) -> None:
    """`report`."""
    parser = add_command(commands, "report", run, "write the report of a run again, or of several side by side")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument("-o", "--output", default="report.html", help="the page of several runs (default: report.html)")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Write the page and print its path."""
    from pathlib import Path

    from translora.runs.folder import Run

    runs = [Run(Path(folder)) for folder in arguments.runs]
    if len(runs) == 1:
        from translora.report.run import write_report

        print(write_report(runs[0]))
        return
    from translora.comparison.runner import side_by_side

    print(side_by_side(runs, Path(arguments.output)))
