"""Shared by the commands: how one is added, and the arguments that several take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NoReturn

from translora.errors import ConfigError

if TYPE_CHECKING:
    from translora.config import SourceConfig
    from translora.scale.cluster import RayEngine

Command = Callable[[argparse.Namespace, list[str]], None]
"""Runs a command: its own arguments, and the fields of a recipe that were given as flags."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line, and knows which of its words are fields of a recipe."""

    fields = ""
    """The section of `translora.config` whose fields are flags of the command; empty for a command without."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """The command's own arguments, and the fields of a recipe, each as `--name=value`.

        Fields are taken out first: argparse does not know which of them take a value, and would read the value as a
        positional argument.
        """
        if not self.fields:
            return super().parse_known_args(args, namespace)
        from translora import config
        from translora.config.reading import take_flags

        own, flags = take_flags(args or (), getattr(config, self.fields), self._option_string_actions, self.prog)
        parsed, others = super().parse_known_args(own, namespace)
        for word in others:
            if not word.startswith("--"):
                raise ConfigError(f"unknown argument {word}: see {self.prog} --help")
        return parsed, flags

    def error(self, message: str) -> NoReturn:
        """Raise `ConfigError`."""
        raise ConfigError(f"{message}: see {self.prog} --help")


Commands = argparse._SubParsersAction
"""Where commands are added; one of `Parser`."""


def add_command(
    commands: Commands[Parser], name: str, run: Command, summary: str, fields: type[FieldsHelp] | None = None
) -> Parser:
    """A new command that calls `run`; with `fields`, fields of a recipe are flags too, and its help lists them."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        add_help=fields is None,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, takes_flags=fields is not None, prog=parser.prog)
    if fields is not None:
        parser.fields = fields.fields
        parser.add_argument("-h", "--help", action=fields, help="show this message with every field, and exit")
    return parser


def add_model(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """The model of a command that translates, its languages, and its beams."""
    what = "a run folder, a PEFT adapter folder, a model folder, a hub name, or mini"
    parser.add_argument("model", nargs=None if required else "?", default="", help=what)
    add_languages(parser)
    parser.add_argument("--beams", type=int, default=0, help="beam size (default: the run's, else 1, greedy)")
    parser.add_argument("--max-tokens", type=int, default=0, help="longest translation (default: the run's, else 256)")
    add_shortlist(parser, "the run's, else off")


def add_shortlist(parser: argparse.ArgumentParser, default: str) -> None:
    """Which tokens a translation may hold."""
    parser.add_argument(
        "--shortlist",
        choices=["off", "targets"],
        help=f"targets is faster and writes only tokens of the run's training targets (default: {default})",
    )


def add_languages(parser: argparse.ArgumentParser) -> None:
    """The languages of a model."""
    parser.add_argument("--source", default="", help="source language code (default: the run's, else de)")
    parser.add_argument("--target", default="", help="target language code (default: the run's, else en)")


def add_form(parser: argparse.ArgumentParser, format_flag: str = "--format") -> None:
    """The form of a file of pairs, where it does not show it itself."""
    parser.add_argument("--target-file", default="", help="the target lines, where they lie in a second file")
    parser.add_argument("--columns", nargs=2, default=(), help="the source and the target column, by name or number")
    parser.add_argument(
        format_flag,
        dest="format",
        default="auto",
        help="tsv, csv, json, jsonl, parquet, text, tmx, po or xliff (default: by its name)",
    )
    parser.add_argument("--separator", default="", help="the separator of cells (default: found in the file)")
    parser.add_argument("--header", choices=["auto", "yes", "no"], default="auto", help="whether the first row is one")


def add_engine(parser: argparse.ArgumentParser, how: str = "in shards") -> None:
    """Where the work is done."""
    parser.add_argument(
        "--engine",
        choices=["process", "ray"],
        default="process",
        help=f"where the work is done: by this process, the default, or {how} on Ray",
    )
    parser.add_argument(
        "--address", default="", help="with --engine ray: HOST:PORT of a cluster, or auto (default: a Ray of its own)"
    )


def check_engine(arguments: argparse.Namespace) -> None:
    """Raise `ConfigError` for an address without the engine."""
    if arguments.address and arguments.engine == "process":
        raise ConfigError("--address: belongs to --engine ray: add that, or leave it out")


def ray_engine(arguments: argparse.Namespace, gpu: bool = False) -> AbstractContextManager[RayEngine | None]:
    """The engine that `add_engine`'s arguments ask for; None for this process. With `gpu` GPUs are of use to it."""
    check_engine(arguments)
    if arguments.engine == "process":
        return nullcontext()

    from translora.scale.cluster import RayEngine

    return RayEngine(arguments.address, gpu)


def source_config(arguments: argparse.Namespace, path: str) -> SourceConfig:
    """The pairs at `path`, in the form that the arguments say."""
    from translora.config import SourceConfig

    return SourceConfig(
        path=path,
        target_path=arguments.target_file,
        format=arguments.format,
        name=getattr(arguments, "data_name", ""),
        split=arguments.split,
        columns=tuple(arguments.columns),
        separator=arguments.separator,
        header=arguments.header,
    )


class FieldsHelp(argparse.Action):
    """Help that lists a command's own arguments, then fields of a recipe as flags."""

    words = "Every field of a recipe is a flag too, and a flag wins over the recipe:\n"
    fields = "Config"

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it and exit."""
        from translora import config
        from translora.config.help import fields_help

        print(parser.format_help())
        print(self.words)
        print(fields_help(getattr(config, self.fields)))
        parser.exit()
