"""`translora export`: a model for other programs."""

from __future__ import annotations

import argparse

from translora.cli.arguments import Commands, Parser, add_command, add_form, add_languages, source_config


def add(commands: Commands[Parser]) -> None:
    """`export`."""
    parser = add_command(commands, "export", run, "write a merged model for transformers or for CTranslate2")
    parser.add_argument("model", help="a run folder, a PEFT adapter folder, a model folder, a hub name, or mini")
    add_languages(parser)
    parser.add_argument("-o", "--output", required=True, help="the folder to write")
    parser.add_argument("--format", dest="kind", choices=["merged", "ctranslate2"], default="merged")
    parser.add_argument("--compute", default="float32", help="the type of CTranslate2's weights, such as int8")
    parser.add_argument("--data", default="", help="pairs to try the export on (default: the run's validation pairs)")
    parser.add_argument("--split", default="", help="a split of the pairs, or a slice such as test[:500]")
    parser.add_argument("--lines", type=int, default=200, help="how many lines both engines translate (default: 200)")
    parser.add_argument("--max-loss", type=float, default=1.0, help="the most BLEU to lose by --compute (default: 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")
    add_form(parser, "--data-format")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Export, and say which gates it passed."""
    from translora.export.job import Request, export

    export(
        Request(
            model=arguments.model,
            output=arguments.output,
            format=arguments.kind,
            compute=arguments.compute,
            data=source_config(arguments, arguments.data) if arguments.data else None,
            lines=arguments.lines,
            max_loss=arguments.max_loss,
            source=arguments.source,
            target=arguments.target,
            overwrite=arguments.overwrite,
        )
    )
