"""`translora translate`: one line in, one line out, in order."""

from __future__ import annotations

import argparse
import sys

from translora.cli.arguments import Commands, Parser, add_command, add_model


def add(commands: Commands[Parser]) -> None:
    """`translate`."""
    parser = add_command(commands, "translate", run, "one line in, one line out, in order")
    add_model(parser)
    parser.add_argument("input", nargs="?", default="-", help="a text file; - or nothing reads standard input")
    parser.add_argument("-o", "--output", default="", help="write here instead of standard output")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Translate a file or standard input."""
    from pathlib import Path

    from translora.data.readers.wmt import stream_segments, text_segments
    from translora.io.files import write_lines

    if arguments.input == "-":
        lines = stream_segments(sys.stdin.buffer, "standard input", "src")
    else:
        lines = text_segments(Path(arguments.input), "src")

    from translora.translation.translator import Translator

    translator = Translator.from_pretrained(
        arguments.model, source=arguments.source, target=arguments.target, max_tokens=arguments.max_tokens
    )
    found = translator.decode(lines, beams=arguments.beams, progress="translate", flag="--max-tokens")
    results = [one.text for one in found]
    if arguments.output:
        write_lines(Path(arguments.output), results)
        return
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.writelines(line + "\n" for line in results)
