"""`translora compare`: several ways of training on equal terms."""

from __future__ import annotations

import argparse

from translora.cli.arguments import Commands, FieldsHelp, Parser, add_command, add_engine, check_engine, ray_engine

_STEPS = 60


class CompareHelp(FieldsHelp):
    """Help that lists the fields of the section `compare` too."""

    fields = "Recipe"


def add(commands: Commands[Parser]) -> None:
    """`compare`."""
    parser = add_command(commands, "compare", run, "train several ways on equal terms and compare them", CompareHelp)
    parser.add_argument("recipe", help="a YAML file, or the name of a packaged recipe")
    parser.add_argument("--seeds", type=int, metavar="N", help="train the chosen rates with so many seeds")
    parser.add_argument(
        "--parallel",
        type=int,
        metavar="N",
        help="do N runs at a time, one on each GPU or with a part of the CPU's threads (default: 1; with --engine ray, "
        "one on each GPU or machine)",
    )
    add_engine(parser, "runs side by side")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier comparison in the folder first")
    parser.add_argument("--advise", action="store_true", help="short runs alone: whether LoRA keeps up with full")
    parser.add_argument("--steps", type=int, metavar="N", help=f"of the short runs of --advise (default: {_STEPS})")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Compare, or advise, as the recipe and the flags say."""
    import dataclasses
    import shlex

    from translora.config.load import load_comparison
    from translora.errors import ConfigError

    check_engine(arguments)
    config, comparison = load_comparison(arguments.recipe, flags)
    command = ["translora", "compare", arguments.recipe]
    if arguments.advise:
        if arguments.seeds is not None or arguments.parallel is not None or arguments.engine != "process":
            raise ConfigError(
                "--advise: trains one seed, one run after the other: leave out --seeds, --parallel and --engine"
            )

        from translora.comparison.advice import advise

        steps = _STEPS if arguments.steps is None else arguments.steps
        shown = shlex.join([*command, "--advise", f"--steps={steps}", *flags])
        advise(config, comparison, steps, shown, overwrite=arguments.overwrite)
        return
    if arguments.steps is not None:
        raise ConfigError("--steps: is of --advise: add that, or set --training.max_steps")

    from translora.comparison.runner import compare

    if arguments.seeds is not None:
        comparison = dataclasses.replace(comparison, seeds=arguments.seeds)
    seeds = [f"--seeds={arguments.seeds}"] if arguments.seeds is not None else []
    shown = shlex.join([*command, *seeds, *flags])
    with ray_engine(arguments) as engine:
        compare(config, comparison, shown, arguments.overwrite, arguments.parallel, engine)
