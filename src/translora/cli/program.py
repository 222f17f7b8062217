"""The commands: each reads its arguments and makes one call into the package. Loads no torch before it must."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from translora import __version__
from translora.errors import ConfigError, Terminated, TransloraError

if TYPE_CHECKING:
    from translora.config import SourceConfig

_Command = Callable[[argparse.Namespace, list[str]], None]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 or 2 the user's mistake in one line, 130 or 143 interrupted."""
    _prepare_environment()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        parsed, flags = _parser().parse_known_args(arguments)
        if flags and not parsed.takes_flags:
            raise ConfigError(f"unknown argument {flags[0]}: see {parsed.prog} --help")
        parsed.run(parsed, flags)
    except TransloraError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt as interruption:
        _complain("interrupted")
        sys.exit(128 + (signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(0)


def _prepare_environment() -> None:
    """Quiet libraries that would speak between our lines, and have idle threads sleep soon.

    GNU OpenMP's threads spin while they wait for each other: where another program takes a core, the one that spins
    keeps the one that works from its own.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def _complain(message: str) -> None:
    print(f"translora: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line, as all else is said."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}: see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="translora",
        description="Teach a T5-family model to translate your own texts, with LoRA, and know whether it worked.",
    )
    parser.add_argument("--version", action="version", version=f"translora {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    demo = _add(
        commands, "demo", _train, "train the embedded model on the embedded corpus, offline, and score it", flags=True
    )
    train = _add(commands, "train", _train, "train, translate and score as a recipe says", flags=True, add_help=False)
    train.add_argument("recipe", nargs="?", default="", help="a YAML file, or the name of a packaged recipe")
    train.add_argument("--overwrite", action="store_true", help="delete what the run folder holds first")
    train.add_argument("-h", "--help", action=_TrainHelp, help="show this message with every field, and exit")
    demo.set_defaults(recipe="demo", train_only=False)
    demo.add_argument("--overwrite", action="store_true", help="delete an earlier demo run first")
    train.add_argument("--train-only", action="store_true", help="end when the model is trained, without scores")
    compare = _add(commands, "compare", _compare, "train several ways on equal terms and compare them", flags=True)
    compare.add_argument("recipe", help="a YAML file, or the name of a packaged recipe; any field is a flag too")
    compare.add_argument("--seeds", type=int, default=0, help="train the chosen rates with so many seeds")
    compare.add_argument("--overwrite", action="store_true", help="delete an earlier comparison in the folder first")
    evaluate = _add(commands, "evaluate", _evaluate, "score a model or a file of translations on a test set")
    _add_model(evaluate, required=False)
    evaluate.add_argument("--data", default="", help="the pairs: a file, a folder, a hub data set, or mini")
    evaluate.add_argument("--split", default="test", help="the split of a data set, such as test[:500]")
    evaluate.add_argument("--data-name", default="", help="the configuration of a hub data set, such as de-en")
    evaluate.add_argument("--hypotheses", default="", help="score the lines of this file instead of translating")
    evaluate.add_argument("--references", nargs="+", default=[], help="files of further references, one a line")
    evaluate.add_argument("--baseline", default="", help="a file of other translations: is there a difference?")
    evaluate.add_argument(
        "--test", choices=["bootstrap", "randomisation"], default="bootstrap", help="how to test the difference"
    )
    evaluate.add_argument("-o", "--output", default="", help="also write the translations to this file")
    evaluate.add_argument("--comet", action="store_true", help="also score by COMET, a program apart")
    evaluate.add_argument("--explain", action="store_true", help="show what other ways of counting BLEU would say")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    report = _add(commands, "report", _report, "write the report of a run again, or of several side by side")
    report.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    report.add_argument("-o", "--output", default="report.html", help="the page of several runs (default: report.html)")
    translate = _add(commands, "translate", _translate, "one line in, one line out, in order")
    _add_model(translate)
    translate.add_argument("input", nargs="?", default="-", help="a text file; - or nothing reads standard input")
    translate.add_argument("-o", "--output", default="", help="write here instead of standard output")
    _add_data(commands)
    return parser


def _add_data(commands: argparse._SubParsersAction[_Parser]) -> None:
    """`data check` and `data clean`."""
    data = commands.add_parser("data", help="look into a corpus, or clean it", description="Look into a corpus.")
    parts = data.add_subparsers(dest="part", required=True, metavar="PART")
    check = _add(parts, "check", _check_data, "say what is wrong with a corpus, and where")
    clean = _add(parts, "clean", _clean_data, "write a corpus without what harms training", flags=True, add_help=False)
    for parser in (check, clean):
        parser.add_argument("corpus", help="a file, a folder, a hub data set, or mini")
        parser.add_argument("--target-file", default="", help="the target lines, where they lie in a second file")
        parser.add_argument("--source", default="de", help="source language code (default: de)")
        parser.add_argument("--target", default="en", help="target language code (default: en)")
        parser.add_argument(
            "--columns", nargs=2, default=(), help="the source and the target column, by name or number"
        )
        parser.add_argument("--split", default="", help="the split of a data set")
        parser.add_argument("--against", nargs="+", default=[], help="files whose pairs must not occur in it")
    check.add_argument("--languages", action="store_true", help="also identify the language of each side")
    check.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    clean.add_argument("-o", "--output", required=True, help="the kept pairs: .tsv or .jsonl, also .gz")
    clean.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    clean.add_argument("-h", "--help", action=_CleanHelp, help="show this message with every rule, and exit")


def _add(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    run: _Command,
    summary: str,
    flags: bool = False,
    add_help: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", add_help=add_help, allow_abbrev=False
    )
    parser.set_defaults(run=run, takes_flags=flags, prog=parser.prog)
    return parser


def _add_model(parser: argparse.ArgumentParser, required: bool = True) -> None:
    what = "a run folder, a PEFT adapter folder, a model folder, a hub name, or mini"
    parser.add_argument("model", nargs=None if required else "?", default="", help=what)
    parser.add_argument("--source", default="", help="source language code (default: the run's, else de)")
    parser.add_argument("--target", default="", help="target language code (default: the run's, else en)")
    parser.add_argument("--beams", type=int, default=0, help="beam size (default: the run's, else 1, greedy)")


class _FieldsHelp(argparse.Action):
    """Help that lists a command's own arguments, then fields of a recipe as flags."""

    words = ""
    fields = "Config"

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from translora import config
        from translora.config.load import build_parser

        print(parser.format_help())
        print(self.words)
        print(build_parser(getattr(config, self.fields)).format_help().split("options:", 1)[-1].lstrip("\n"))
        parser.exit()


class _TrainHelp(_FieldsHelp):
    words = "Every field of a recipe is a flag too, and a flag wins over the recipe:\n"


class _CleanHelp(_FieldsHelp):
    words = "Every rule is a flag; here --bad_lines=skip, --duplicates=normalised and --identical=drop unless given:\n"
    fields = "CleaningConfig"


def _train(arguments: argparse.Namespace, flags: list[str]) -> None:
    from translora.config.load import load_config

    if not arguments.recipe:
        raise ConfigError("train: no recipe: give a YAML file, or the name of a packaged one such as demo")
    config = load_config(arguments.recipe, flags)

    from translora.pipeline import train

    train(config, overwrite=arguments.overwrite, score=not arguments.train_only)


def _compare(arguments: argparse.Namespace, flags: list[str]) -> None:
    import dataclasses
    import shlex

    from translora.config.load import load_comparison

    config, comparison = load_comparison(arguments.recipe, flags)
    if arguments.seeds:
        comparison = dataclasses.replace(comparison, seeds=arguments.seeds)

    from translora.comparison.runner import compare

    seeds = [f"--seeds={arguments.seeds}"] if arguments.seeds else []
    command = shlex.join(["translora", "compare", arguments.recipe, *seeds, *flags])
    compare(config, comparison, command, overwrite=arguments.overwrite)


def _evaluate(arguments: argparse.Namespace, flags: list[str]) -> None:
    import dataclasses

    from translora.translation.evaluation import Request, explained, printed, run_evaluation

    given = vars(arguments)
    fields = {field.name: given[field.name] for field in dataclasses.fields(Request)}
    evaluation = run_evaluation(Request(**{**fields, "references": tuple(arguments.references)}))
    if arguments.json:
        print(json.dumps(evaluation.as_dict()))
        return
    print(*printed(evaluation), *(explained(evaluation) if arguments.explain else []), sep="\n")


def _report(arguments: argparse.Namespace, flags: list[str]) -> None:
    from pathlib import Path

    from translora.runs.folder import Run

    runs = [Run(Path(folder)) for folder in arguments.runs]
    if len(runs) == 1:
        from translora.report.run import write_report

        print(write_report(runs[0]))
        return
    from translora.comparison.runner import side_by_side

    print(side_by_side(runs, Path(arguments.output)))


def _translate(arguments: argparse.Namespace, flags: list[str]) -> None:
    from pathlib import Path

    from translora.data.readers.lines import decode_lines, text_lines
    from translora.io.files import write_lines

    if arguments.input == "-":
        lines = list(decode_lines(sys.stdin.buffer, "standard input"))
    else:
        lines = text_lines(Path(arguments.input))

    from translora.pipeline import translate_lines

    results = translate_lines(arguments.model, lines, arguments.source, arguments.target, arguments.beams)
    if arguments.output:
        write_lines(Path(arguments.output), results)
        return
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.writelines(line + "\n" for line in results)


def _check_data(arguments: argparse.Namespace, flags: list[str]) -> None:
    from translora.config import CleaningConfig
    from translora.data.check import FATAL, as_dict, check_corpus
    from translora.data.readers.sources import read_each
    from translora.errors import DataError
    from translora.io import console

    found = check_corpus(
        _source_config(arguments),
        arguments.source,
        arguments.target,
        CleaningConfig(),
        read_each(_held_out(arguments), arguments.source, arguments.target),
        arguments.languages,
    )
    if arguments.json:
        print(json.dumps(as_dict([found])))
    else:
        console.show_findings(
            f"{found.path}: {found.pairs:,} pairs",
            {f"{name}: {one.count:,}, {one.consequence}": one.places for name, one in found.problems.items()},
        )
    if FATAL in found.problems:
        raise DataError(found.problems[FATAL].places[0])
    if not found.pairs:
        raise DataError(f"{found.path}: no sentence pairs in it")
    if found.stops:
        raise DataError(f"{found.path}: {found.stops:,} line(s) stop training: mend them, or set bad_lines to skip")


def _clean_data(arguments: argparse.Namespace, flags: list[str]) -> None:
    from pathlib import Path

    from translora.config import CleaningConfig
    from translora.config.load import load_cleaning
    from translora.data.cleaning.corpus import clean_corpus, dropped_file
    from translora.io import console

    thorough = CleaningConfig(bad_lines="skip", duplicates="normalised", identical="drop")
    output = Path(arguments.output)
    cleaner = clean_corpus(
        _source_config(arguments),
        arguments.source,
        arguments.target,
        load_cleaning(thorough, flags),
        output,
        _held_out(arguments),
        arguments.overwrite,
    )
    console.show_findings(
        f"{cleaner.kept:,} pairs kept",
        {f"left out, {reason}: {dropped.count:,}": dropped.examples for reason, dropped in cleaner.dropped.items()},
    )
    console.results.print(f"kept: {output}, left out: {dropped_file(output)}", soft_wrap=True)


def _source_config(arguments: argparse.Namespace) -> SourceConfig:
    from translora.config import SourceConfig

    return SourceConfig(
        path=arguments.corpus,
        target_path=arguments.target_file,
        split=arguments.split,
        columns=tuple(arguments.columns),
    )


def _held_out(arguments: argparse.Namespace) -> list[SourceConfig]:
    from translora.config import SourceConfig

    return [SourceConfig(path=path) for path in arguments.against]
