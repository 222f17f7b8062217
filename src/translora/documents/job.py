"""Whole documents: read, translated and written, one or many. The only module here that knows the file system."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translora.documents.document import Options, Segment
from translora.documents.fill import Report, translate_segments
from translora.documents.formats import format_of, read_file
from translora.errors import ConfigError, DataError, TransloraError
from translora.io import console
from translora.io.console import meter
from translora.io.files import atomic_file
from translora.translation.stream import TextOptions, translate_file
from translora.translation.tally import TermTally
from translora.translation.terms import TermUse
from translora.translation.translator import Translator

BACKUP = ".orig"
"""The ending that the backup of a file gets."""


@dataclass(frozen=True)
class Job:
    """One file to translate."""

    source: Path
    output: Path | None
    """None is standard output."""
    kind: str


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    texts: TextOptions = field(default_factory=TextOptions)
    again: bool = False
    """Whether segments that have a translation are translated too."""
    reviewed: bool = False
    backup: bool = False
    """Whether the output replaces the source, which is kept under another name."""


def jobs_of(inputs: Sequence[Path], output: Path | None, in_place: bool, kind: str = "auto") -> list[Job]:
    """The files to translate, and where each goes: folders are searched for documents at any depth.

    Raises `ConfigError` where the output is missing, is one of the sources, or is the same for two of them.
    """
    many = len(inputs) > 1 or any(path.is_dir() for path in inputs)
    into = output is not None and (many or output.is_dir() or str(output).endswith(os.sep))
    if many and output is None and not in_place:
        raise ConfigError("several files: give the folder to write them to with --output, or --in-place --backup")
    if many and output is not None and output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output}: a file, where several files need a folder")
    found: list[Job] = []
    for path in inputs:
        files = _files(path, output) if path.is_dir() else [path]
        for file in files:
            goal = file if in_place else output
            if into and output is not None:
                goal = output / (file.relative_to(path) if path.is_dir() else file.name)
            found.append(Job(file, goal, format_of(file, kind)))
    _check(found, in_place)
    return found


def _files(folder: Path, output: Path | None) -> list[Path]:
    """The documents and text files of a folder, without those of the output; says how many others there are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if output is not None:
        files = [path for path in files if output.resolve() not in path.resolve().parents]
    kept = [path for path in files if format_of(path) != "text" or path.suffix.lower() == ".txt"]
    if not kept:
        raise DataError(f"{folder}: no document in it whose ending is known: name the files, and give --format")
    if len(files) > len(kept):
        console.notice(f"{folder}: {len(files) - len(kept):,} files of other kinds are left out")
    return kept


def _check(jobs: Sequence[Job], in_place: bool) -> None:
    sources = {job.source.resolve() for job in jobs}
    goals: dict[Path, Path] = {}
    for job in jobs:
        if job.output is None:
            continue
        goal = job.output.resolve()
        if goal in sources and not in_place:
            raise ConfigError(f"{job.output}: the output is a source: choose another, or --in-place --backup")
        if goal in goals:
            raise ConfigError(f"{job.output}: the output of both {goals[goal]} and {job.source}: translate them apart")
        goals[goal] = job.source


def translate_jobs(translator: Translator, jobs: Sequence[Job], request: Request) -> None:
    """Translate each file; of several, those that cannot be read are reported, and the others are translated.

    Raises the `TransloraError` of a single file, and `DataError` at the end where some of several failed.
    """
    failed = []
    for job in jobs:
        try:
            _translate(translator, job, request)
        except TransloraError as error:
            if len(jobs) == 1:
                raise
            console.notice(str(error))
            failed.append(job.source)
    if failed:
        raise DataError(f"{len(failed)} of {len(jobs)} files were not translated, {failed[0]} first: see above")


def _translate(translator: Translator, job: Job, request: Request) -> None:
    if request.backup:
        _keep(job.source)
    if job.kind == "text" and job.output is not None:
        translate_file(translator, job.source, job.output, request.texts)
        return
    config = translator.config
    document = read_file(job.source, job.kind, Options(config.source, config.target, request.reviewed))
    notes = translator.notes(f"{job.source}, of its distinct texts", "--max-tokens")
    asked = request.texts
    terms: dict[str, tuple[TermUse, ...]] = {}

    def engine(lines: Sequence[str]) -> list[str]:
        found = translator.decode(lines, **vars(asked), notes=notes)
        terms.update((line, one.terms) for line, one in zip(lines, found, strict=True) if one.terms)
        return [one.text for one in found]

    with meter(str(job.source.name), len(document.segments), "segments") as shown:
        found, report = translate_segments(
            document.segments,
            engine,
            request.again,
            shown.advance,
        )
    data = document.filled(found)
    if job.output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        with atomic_file(job.output) as temporary:
            temporary.write_bytes(data)
    notes.say()
    if asked.glossary:
        _say_terms(job, document.segments, found, terms)
    _say(job, report, [document.segments[index].line for index in report.apart])


def _say_terms(
    job: Job,
    segments: Sequence[Segment],
    found: Sequence[str | None],
    terms: Mapping[str, tuple[TermUse, ...]],
) -> None:
    """Say how many terms of the glossary were honoured, with the places of the document where not."""
    tally = TermTally()
    for number, (segment, translation) in enumerate(zip(segments, found, strict=True), 1):
        place = f"{job.source}:{segment.line}" if segment.line else f"{job.source}, segment {number}"
        for line in segment.text.split("\n") if translation is not None else ():
            tally.add(place, terms.get(line.strip(), ()))
    tally.say(str(job.source))


def _keep(path: Path) -> None:
    """Copy a file to its backup; raises `ConfigError` where there is one already."""
    backup = path.with_name(path.name + BACKUP)
    if backup.exists():
        raise ConfigError(f"{backup} exists already: move it away, so that the original is not lost")
    with atomic_file(backup) as temporary:
        shutil.copyfile(path, temporary)


def _say(job: Job, report: Report, lines: Sequence[int]) -> None:
    kept = f", {report.kept:,} had a translation and are kept" if report.kept else ""
    console.notice(f"{job.source}: {report.translated:,} of {report.segments:,} segments translated{kept}")
    if report.apart:
        places = ", ".join(
            f"{index + 1} (line {line})" if line else str(index + 1)
            for index, line in list(zip(report.apart, lines, strict=True))[:8]
        )
        more = ", ..." if len(lines) > 8 else ""
        console.notice(
            f"{job.source}: {len(lines):,} segments lost inline tags: their texts between tags were translated apart; "
            f"check segment {places}{more}"
        )
