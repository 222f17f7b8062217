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
    parser.add_argument(
        "--protect",
        choices=["auto", "off"],
        default="auto",
        help="auto (the default) keeps placeholders, tags, addresses and escapes as they are; off does not",
    )
    parser.add_argument(
        "--pattern",
        action="append",
        default=[],
        metavar="REGEX",
        help="also keep what this regular expression finds; may be given several times",
    )
    parser.add_argument("--resume", action="store_true", help="go on with what an interrupted start left of the output")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Translate a file or standard input."""
    from pathlib import Path

    from translora.data.readers.lines import open_binary
    from translora.data.readers.wmt import stream_segments, text_segments
    from translora.errors import ConfigError
    from translora.io.files import atomic_file

    piped = arguments.input == "-"
    if arguments.resume and (piped or not arguments.output):
        raise ConfigError("--resume: give an input file and --output, which are what it goes on with")
    if not piped:
        open_binary(Path(arguments.input)).close()  # says so where there is none, before the model is loaded

    from translora.translation.protect import Protector
    from translora.translation.stream import Options, translate_file, translate_stream
    from translora.translation.translator import Translator

    options = Options(arguments.beams, arguments.protect, tuple(arguments.pattern))
    if options.patterns and options.protect == "off":
        raise ConfigError("--pattern: what it finds is not kept with --protect off: leave one of the two out")
    Protector(patterns=options.patterns)  # says so where one is no regular expression, before the model is loaded
    translator = Translator.from_pretrained(
        arguments.model, source=arguments.source, target=arguments.target, max_tokens=arguments.max_tokens
    )
    if arguments.output and not piped:
        translate_file(translator, Path(arguments.input), Path(arguments.output), options, arguments.resume)
        return
    lines = (
        stream_segments(sys.stdin.buffer, "standard input", "src")
        if piped
        else text_segments(Path(arguments.input), "src")
    )
    if arguments.output:
        with atomic_file(Path(arguments.output)) as file, open(file, "w", encoding="utf-8", newline="\n") as stream:
            translate_stream(translator, lines, stream, options)
        return
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    translate_stream(translator, lines, sys.stdout, options)
