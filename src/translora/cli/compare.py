"""`translora compare`: several ways of training on equal terms."""

from __future__ import annotations

import argparse

from translora.cli.arguments import Commands, FieldsHelp, Parser, add_command


class CompareHelp(FieldsHelp):
    """Help that lists the fields of the section `compare` too."""

    fields = "Recipe"


def add(commands: Commands[Parser]) -> None:
    """`compare`."""
    parser = add_command(commands, "compare", run, "train several ways on equal terms and compare them", CompareHelp)
    parser.add_argument("recipe", help="a YAML file, or the name of a packaged recipe")
    parser.add_argument("--seeds", type=int, default=0, help="train the chosen rates with so many seeds")
    parser.add_argument(
        "--parallel",
        type=int,
        default=1,
        metavar="N",
        help="do N runs at a time, one on each GPU or with a part of the CPU's threads",
    )
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier comparison in the folder first")
    parser.add_argument(
        "--advise", action="store_true", help="from short runs alone, tell what LoRA would reach of full"
    )
    parser.add_argument("--steps", type=int, default=60, help="of the short runs of --advise (default: %(default)s)")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Compare as the recipe and the flags say."""
    import dataclasses
    import shlex

    from translora.config.load import load_comparison
    from translora.errors import ConfigError

    config, comparison = load_comparison(arguments.recipe, flags)
    if arguments.seeds:
        comparison = dataclasses.replace(comparison, seeds=arguments.seeds)

    if arguments.advise:
        from translora.comparison.advice import advise

        if arguments.seeds:
            raise ConfigError("--seeds: --advise trains the recipe's seed alone: leave it out")
        command = shlex.join(
            ["translora", "compare", arguments.recipe, "--advise", f"--steps={arguments.steps}", *flags]
        )
        advise(config, comparison, arguments.steps, command, overwrite=arguments.overwrite)
        return

    from translora.comparison.runner import compare

    seeds = [f"--seeds={arguments.seeds}"] if arguments.seeds else []
    command = shlex.join(["translora", "compare", arguments.recipe, *seeds, *flags])
    compare(config, comparison, command, overwrite=arguments.overwrite, parallel=arguments.parallel)
