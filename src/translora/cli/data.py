"""`translora data`: look into a corpus, or clean it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from translora.cli.arguments import (
    Commands,
    FieldsHelp,
    Parser,
    add_command,
    add_engine,
    add_form,
    ray_engine,
    source_config,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from translora.config import SourceConfig


class CleanHelp(FieldsHelp):
    """Help that lists the rules of cleaning."""

    words = "Every rule is a flag; here --bad_lines=skip, --duplicates=normalised and --identical=drop unless given:\n"
    fields = "CleaningConfig"


def add(commands: Commands[Parser]) -> None:
    """`data check` and `data clean`."""
    data = commands.add_parser("data", help="look into a corpus, or clean it", description="Look into a corpus.")
    parts = data.add_subparsers(dest="part", required=True, metavar="PART")
    check = add_command(parts, "check", _check, "say what is wrong with a corpus, and where")
    clean = add_command(parts, "clean", _clean, "write a corpus without the pairs that harm training", CleanHelp)
    for parser in (check, clean):
        parser.add_argument("corpus", help="a file, a folder, a hub data set, or mini")
        add_form(parser)
        parser.add_argument("--source", default="de", help="source language code (default: de)")
        parser.add_argument("--target", default="en", help="target language code (default: en)")
        parser.add_argument("--split", default="", help="the split of a data set")
        add_engine(parser)
        parser.add_argument("--against", nargs="+", default=[], help="files whose pairs must not occur in it")
    check.add_argument("--languages", action="store_true", help="also identify the language of each side")
    check.add_argument("--near", action="store_true", help="also count near duplicates: more time and memory")
    check.add_argument("--model", default="", help="also find characters that this model's vocabulary lacks")
    check.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    clean.add_argument("-o", "--output", required=True, help="the kept pairs: .tsv or .jsonl, also .gz")
    clean.add_argument("--overwrite", action="store_true", help="replace the output if it is there")


def _check(arguments: argparse.Namespace, flags: list[str]) -> None:
    from translora.config import CleaningConfig
    from translora.data.check import FATAL, Extra, as_dict, check_corpus
    from translora.data.readers.sources import read_each
    from translora.errors import DataError
    from translora.io import console

    config, languages = source_config(arguments, arguments.corpus), (arguments.source, arguments.target)
    extra = Extra(
        read_each(_held_out(arguments), *languages),
        arguments.languages,
        arguments.near,
        _tokenizer(arguments.model),
    )
    with ray_engine(arguments) as engine:
        if engine:
            from translora.scale.corpora import check_in_shards

            found = check_in_shards(config, languages, CleaningConfig(), extra, engine)
        else:
            found = check_corpus(config, *languages, CleaningConfig(), extra)
    if arguments.json:
        print(json.dumps(as_dict([found])))
    else:
        console.show_findings(
            f"{found.path}: {found.pairs:,} pairs",
            {f"{name}: {one.count:,}, {one.consequence}": one.places for name, one in found.problems.items()},
        )
        if found.unknown and found.unknown.pairs:
            console.notice(found.unknown.told(arguments.model))
    if FATAL in found.problems:
        raise DataError(found.problems[FATAL].places[0])
    if not found.pairs:
        raise DataError(f"{found.path}: no sentence pairs in it")
    if found.stops:
        raise DataError(f"{found.path}: {found.stops:,} line(s) stop training: mend them, or set bad_lines to skip")


def _clean(arguments: argparse.Namespace, flags: list[str]) -> None:
    from pathlib import Path

    from translora.config import CleaningConfig
    from translora.config.load import load_cleaning
    from translora.data.cleaning.corpus import CleanJob, dropped_file
    from translora.io import console

    thorough = CleaningConfig(bad_lines="skip", duplicates="normalised", identical="drop")
    output = Path(arguments.output)
    job = CleanJob(
        source_config(arguments, arguments.corpus),
        arguments.source,
        arguments.target,
        load_cleaning(thorough, flags),
        output,
        _held_out(arguments),
        arguments.overwrite,
    )
    job.check()
    with ray_engine(arguments) as engine:
        if engine:
            from translora.scale.corpora import clean_in_shards

            cleaner = clean_in_shards(job, engine)
        else:
            cleaner = job.run()
    console.show_findings(
        f"{cleaner.kept:,} pairs kept",
        {f"left out, {reason}: {dropped.count:,}": dropped.examples for reason, dropped in cleaner.dropped.items()},
    )
    console.results.print(f"kept: {output}, left out: {dropped_file(output)}", soft_wrap=True)


def _tokenizer(model: str) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a model, if one is named; its weights are not read."""
    if not model:
        return None
    from translora.models.load import tokenizer_of

    return tokenizer_of(model)


def _held_out(arguments: argparse.Namespace) -> list[SourceConfig]:
    """The files of `--against`, in the form that the flags say, or in their own where they do not have that."""
    import dataclasses

    from translora.config import SourceConfig

    said = dataclasses.replace(source_config(arguments, ""), target_path="", split="")
    found = []
    for path in arguments.against:
        own, as_said = SourceConfig(path=path), dataclasses.replace(said, path=path)
        found.append(own if as_said == own or not _is_readable(as_said, arguments) else as_said)
    return found


def _is_readable(config: SourceConfig, arguments: argparse.Namespace) -> bool:
    """Whether the first pair can be read in the form that `config` has."""
    from translora.data.readers.sources import read
    from translora.errors import DataError
    from translora.io.console import quiet

    try:
        with quiet():
            next(read(config, arguments.source, arguments.target), None)
    except DataError:
        return False
    return True
