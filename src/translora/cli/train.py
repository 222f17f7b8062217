"""`translora train` and `translora demo`: a recipe to a run folder."""

from __future__ import annotations

import argparse

from translora.cli.arguments import Commands, FieldsHelp, Parser, add_command
from translora.errors import ConfigError
from translora.io.launcher import place

_REVERSE = ("--source=en", "--target=de", "--output=runs/demo-reverse")
"""The demo's flags for the other direction; those that the user gives win."""


def add_train(commands: Commands[Parser]) -> None:
    """`train`."""
    parser = add_command(commands, "train", run, "train, translate and score as a recipe says", FieldsHelp)
    parser.add_argument("recipe", nargs="?", default="", help="a YAML file, or the name of a packaged recipe")
    parser.add_argument("--overwrite", action="store_true", help="delete the run in the folder first")
    parser.add_argument("--train-only", action="store_true", help="end when the model is trained, without scores")
    parser.set_defaults(demo=False, reverse=False)


def add_demo(commands: Commands[Parser]) -> None:
    """`demo`: `train` with the packaged recipe `demo`."""
    summary = "train the embedded model on the embedded corpus, offline, and score it"
    parser = add_command(commands, "demo", run, summary, FieldsHelp)
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier demo run first")
    parser.add_argument("--reverse", action="store_true", help="English to German, into runs/demo-reverse")
    parser.set_defaults(recipe="demo", train_only=False, demo=True)


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Train as the recipe and the flags say."""
    from translora.config.load import load_config

    if not arguments.recipe:
        raise ConfigError("train: no recipe: give a YAML file, or the name of a packaged one such as demo")
    flags = [*(_REVERSE if arguments.reverse else ()), *flags]
    config = load_config(arguments.recipe, flags) if place().size == 1 else None

    from translora.pipeline import train
    from translora.training.ranks import joined

    with joined() as ranks:  # before the recipe is read by several, so that its faults are told once
        config = config or ranks.together(lambda: load_config(arguments.recipe, flags))
        done = train(config, overwrite=arguments.overwrite, score=not arguments.train_only, estimate=arguments.demo)
        if ranks.first and done.finished:
            from translora.report.terminal import show_end

            show_end(done)
        elif ranks.first:
            from translora.io import console

            console.notice(f"{done.folder}: trained; the same command without --train-only translates and scores")
