"""`translora evaluate`: a model, or a file of translations, on a test set."""

from __future__ import annotations

import argparse
import json

from translora.cli.arguments import (
    Commands,
    Parser,
    add_command,
    add_engine,
    add_form,
    add_model,
    ray_engine,
    source_config,
)


def add(commands: Commands[Parser]) -> None:
    """`evaluate`."""
    parser = add_command(commands, "evaluate", run, "score a model or a file of translations on a test set")
    add_model(parser, required=False)
    parser.add_argument("--data", default="", help="the pairs: a file, a folder, a hub data set, or mini")
    parser.add_argument("--split", default="", help="a split (default: test), or a slice such as test[:500]")
    add_form(parser)
    parser.add_argument("--data-name", default="", help="the configuration of a hub data set, such as de-en")
    parser.add_argument("--hypotheses", default="", help="score the lines of this file instead of translating")
    parser.add_argument("--references", nargs="+", default=[], help="files of further references, one per line")
    parser.add_argument("--baseline", default="", help="a file of other translations: is there a difference?")
    parser.add_argument(
        "--test", choices=["bootstrap", "randomisation"], default="bootstrap", help="how to test the difference"
    )
    parser.add_argument("-o", "--output", default="", help="also write the translations to this file")
    add_engine(parser)
    parser.add_argument("--comet", action="store_true", help="also score by COMET, a program apart")
    parser.add_argument("--explain", action="store_true", help="also show BLEU by other ways of counting")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Score, and print for people or for machines."""
    import dataclasses

    from translora.errors import ConfigError
    from translora.translation.evaluation import Request, explained, printed, run_evaluation

    given = vars(arguments)
    fields = {field.name: given[field.name] for field in dataclasses.fields(Request) if field.name in given}
    data = source_config(arguments, arguments.data) if arguments.data else None
    request = Request(**{**fields, "data": data, "references": tuple(arguments.references)})
    if arguments.engine == "ray" and not arguments.model:
        raise ConfigError("--engine ray: it translates: give a model, or leave it out with --hypotheses")
    with ray_engine(arguments, gpu=True) as engine:
        evaluation = run_evaluation(request, engine)
    if arguments.json:
        print(json.dumps(evaluation.as_dict()))
        return
    print(*printed(evaluation), *(explained(evaluation) if arguments.explain else []), sep="\n")
