"""`translora translate`: one line in, one line out, in order; or a document in, the same document translated out."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from translora.cli.arguments import Commands, Parser, add_command, add_engine, add_model, check_engine, ray_engine

if TYPE_CHECKING:
    from translora.translation.review import Review
    from translora.translation.stream import TextOptions
    from translora.translation.translator import Translator


def add(commands: Commands[Parser]) -> None:
    """`translate`."""
    parser = add_command(commands, "translate", run, "one line in, one line out, in order; or whole documents")
    add_model(parser)
    parser.add_argument(
        "input",
        nargs="*",
        default=[],
        help="a text file, documents (PO, XLIFF, DOCX, ...) or a folder; - or nothing reads standard input",
    )
    parser.add_argument(
        "-o", "--output", default="", help="write here instead of standard output; a folder for several"
    )
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
    parser.add_argument(
        "--memory",
        action="append",
        default=[],
        metavar="FILE",
        help="take exact matches from this translation memory (TMX, PO, XLIFF, TSV, ...); may be given several times",
    )
    parser.add_argument(
        "--fuzzy",
        choices=["auto", "off"],
        default="auto",
        help="auto (the default) gives a run trained with data.fuzzy the fuzzy matches of --memory; off does not",
    )
    parser.add_argument(
        "--glossary",
        default="",
        metavar="FILE",
        help="terms and their translations (TSV, CSV, TBX), to be used wherever the model can be brought to it",
    )
    parser.add_argument("--resume", action="store_true", help="go on with what an interrupted start left of the output")
    _add_review(parser)
    add_engine(parser)
    _add_documents(parser)
    parser.set_defaults(takes_flags=True)  # argparse gives files that follow an option after the model as flags


def _add_documents(parser: Parser) -> None:
    """How documents are read and written."""
    parser.add_argument(
        "--format", default="auto", help="of the input, where its ending is not to say it; text: one line in, one out"
    )
    parser.add_argument("--all", action="store_true", help="translate segments that have a translation already too")
    parser.add_argument(
        "--state",
        choices=["needs-review", "translated"],
        default="needs-review",
        help="how PO and XLIFF mark new translations (default: needs-review)",
    )
    parser.add_argument("--in-place", action="store_true", help="replace the documents; needs --backup")
    parser.add_argument("--backup", action="store_true", help="with --in-place: keep each original as FILE.orig")


def _add_review(parser: Parser) -> None:
    """What shows a reviewer where to begin."""
    parser.add_argument(
        "--json", action="store_true", help="a line of JSON for each segment on standard output, with its confidence"
    )
    parser.add_argument("--report", default="", metavar="PAGE.html", help="write a page of the worst segments")
    parser.add_argument(
        "--comments", action="store_true", help="PO and XLIFF: confidence and flags as comments of each segment"
    )


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Translate documents, a text file or standard input."""
    from translora.documents.formats import format_of
    from translora.errors import ConfigError

    unknown = next((flag for flag in flags if flag.startswith("-") and flag != "-"), None)
    if unknown:
        raise ConfigError(f"unknown argument {unknown}: see {arguments.prog} --help")
    inputs = [*arguments.input, *flags] or ["-"]
    _check(arguments, inputs)
    first = Path(inputs[0])
    lone = len(inputs) == 1 and not arguments.in_place and (inputs == ["-"] or not first.is_dir())
    if lone and (inputs == ["-"] or format_of(first, arguments.format) == "text") and not _is_folder(arguments.output):
        _lines(arguments, inputs[0])
        return
    if arguments.engine == "ray":
        raise ConfigError("--engine ray: it translates lines of text: give one text file and --output")
    if arguments.json and not (arguments.output or arguments.in_place):
        raise ConfigError("--json: standard output is for its lines: give --output for the document")
    if arguments.resume and not (arguments.output or arguments.in_place):
        raise ConfigError("--resume: give --output, which is what it goes on with")
    _documents(arguments, [Path(name) for name in inputs])


def _is_folder(output: str) -> bool:
    return bool(output) and Path(output).is_dir()


def _check(arguments: argparse.Namespace, inputs: list[str]) -> None:
    from translora.documents.formats import FORMATS
    from translora.errors import ConfigError

    check_engine(arguments)
    if arguments.format not in FORMATS:
        raise ConfigError(f"--format {arguments.format}: no such format: use one of {', '.join(FORMATS)}")
    if "-" in inputs and (len(inputs) > 1 or arguments.format not in ("auto", "text")):
        raise ConfigError("-: standard input is lines of text: give documents as files")
    if arguments.in_place and (not arguments.backup or arguments.output or inputs == ["-"]):
        raise ConfigError(
            "--in-place: give files and --backup, which keeps each original as FILE.orig, and no --output"
        )
    if arguments.backup and not arguments.in_place:
        raise ConfigError("--backup: it belongs to --in-place")


def _options(arguments: argparse.Namespace) -> TextOptions:
    """How texts are translated; what is wrong with it is refused before the model is loaded.

    The translation memory is read later, as its languages may be the run's.
    """
    from translora.data.readers.lines import open_binary
    from translora.errors import ConfigError
    from translora.translation.protect import Protector
    from translora.translation.stream import TextOptions

    options = TextOptions(arguments.beams, arguments.protect, tuple(arguments.pattern), fuzzy=arguments.fuzzy)
    for file in arguments.memory:
        open_binary(Path(file)).close()
    if options.patterns and options.protect == "off":
        raise ConfigError("--pattern: what it finds is not kept with --protect off: leave one of the two out")
    Protector(patterns=options.patterns)
    return options


def _loaded(arguments: argparse.Namespace, options: TextOptions) -> tuple[Translator, TextOptions, Review | None]:
    """The translator, the options with the translation memory, and the review where one is asked for."""
    from translora.translation.configuration import translating_config
    from translora.translation.glossary import read_glossary
    from translora.translation.memory import Memory
    from translora.translation.quality import Rater
    from translora.translation.review import Review
    from translora.translation.translator import Translator

    if arguments.glossary:  # before the model is loaded
        config = translating_config(arguments.model, arguments.source, arguments.target)
        glossary = read_glossary(Path(arguments.glossary), config.source, config.target)
        options = replace(options, glossary=glossary)
    translator = Translator.from_pretrained(
        arguments.model,
        source=arguments.source,
        target=arguments.target,
        max_tokens=arguments.max_tokens,
        shortlist=arguments.shortlist,
    )
    languages = translator.config.source, translator.config.target
    if arguments.memory:
        options = replace(options, memory=Memory.read([Path(file) for file in arguments.memory], *languages))
    if not (arguments.json or arguments.report or arguments.comments):
        return translator, options, None
    stream = None
    if arguments.json:
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        stream = sys.stdout
    return translator, options, Review(Rater(*languages, options.patterns), stream)


def _tell(arguments: argparse.Namespace, translator: Translator, options: TextOptions, review: Review | None) -> None:
    """The end of a review: a line, and the page where one is asked for."""
    from translora.io import console

    if review is None:
        return
    console.notice(review.totals.words())
    if arguments.report:
        from translora.report.review import write_review

        facts = {"translation memory": options.memory.name} if options.memory else {}
        facts |= {"glossary": f"{arguments.glossary}: {review.terms.words()}"} if options.glossary else {}
        write_review(Path(arguments.report), review, (translator.config.source, translator.config.target), facts)
        console.notice(f"report: {arguments.report}")


def _documents(arguments: argparse.Namespace, inputs: list[Path]) -> None:
    from translora.data.readers.lines import open_binary
    from translora.documents.job import Request, jobs_of, translate_jobs

    output = Path(arguments.output) if arguments.output else None
    for path in inputs:
        if not path.is_dir():
            open_binary(path).close()  # says so where there is none, before the model is loaded
    jobs = jobs_of(inputs, output, arguments.in_place, arguments.format)
    translator, options, review = _loaded(arguments, _options(arguments))
    request = Request(
        options,
        again=arguments.all,
        reviewed=arguments.state == "translated",
        backup=arguments.backup,
        resume=arguments.resume,
        comments=arguments.comments,
        review=review,
    )
    try:
        translate_jobs(translator, jobs, request)
    finally:
        _tell(arguments, translator, options, review)


def _lines(arguments: argparse.Namespace, name: str) -> None:
    """Translate a text file or standard input, line by line."""
    from translora.data.readers.lines import open_binary
    from translora.data.readers.wmt import stream_segments, text_segments
    from translora.errors import ConfigError
    from translora.io.files import atomic_file

    piped = name == "-"
    if arguments.comments:
        raise ConfigError("--comments: lines of text have no place for them: give PO or XLIFF")
    if arguments.resume and (piped or not arguments.output):
        raise ConfigError("--resume: give an input file and --output, which are what it goes on with")
    if arguments.engine == "ray" and (piped or not arguments.output):
        raise ConfigError("--engine ray: give an input file and --output")
    if not piped:
        open_binary(Path(name)).close()  # says so where there is none, before the model is loaded

    from translora.translation.stream import translate_file, translate_stream

    translator, options, review = _loaded(arguments, _options(arguments))
    if arguments.engine == "ray":
        _lines_in_shards(arguments, Path(name), (translator, options, review))
    elif arguments.output and not piped:
        translate_file(translator, Path(name), Path(arguments.output), options, arguments.resume, review)
    else:
        lines = (
            stream_segments(sys.stdin.buffer, "standard input", "src") if piped else text_segments(Path(name), "src")
        )
        if arguments.output:
            with atomic_file(Path(arguments.output)) as file, open(file, "w", encoding="utf-8", newline="\n") as stream:
                translate_stream(translator, lines, stream, options, review, name)
        else:
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
            translate_stream(translator, lines, None if arguments.json else sys.stdout, options, review, name)
    _tell(arguments, translator, options, review)


def _lines_in_shards(
    arguments: argparse.Namespace, path: Path, loaded: tuple[Translator, TextOptions, Review | None]
) -> None:
    """Translate a text file on Ray; what an interrupted start left is always taken up."""
    translator, options, review = loaded
    from translora.scale.lines import LineJob, ModelName, translate_file_in_shards

    model = ModelName(arguments.model, arguments.source, arguments.target, arguments.max_tokens, arguments.shortlist)
    job = LineJob(model, translator, options, scores=review is not None)
    with ray_engine(arguments, gpu=True) as engine:
        assert engine
        translate_file_in_shards(job, path, Path(arguments.output), engine, review)
