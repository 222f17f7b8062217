"""Whole documents: read, translated and written, one or many. The only module here that knows the file system."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from translora.documents.document import Options, Segment, takes_comments
from translora.documents.fill import Engine, Report, cores, translate_segments
from translora.documents.formats import format_of, read_file
from translora.documents.side import Side, side_of
from translora.errors import ConfigError, DataError, TransloraError
from translora.io import console
from translora.io.console import meter
from translora.io.files import atomic_file
from translora.translation.notes import Notes
from translora.translation.quality import comment_of
from translora.translation.result import Translation
from translora.translation.review import Place, Review
from translora.translation.stream import TextOptions, asked_of, translate_file
from translora.translation.tally import TermTally
from translora.translation.termed import with_uses
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
    resume: bool = False
    """Whether to go on with what an interrupted start left."""
    comments: bool = False
    """Whether documents get the rating of each segment as a comment, where their format has comments."""
    review: Review | None = None
    """Takes the translated segments; comments need one."""


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

    To resume, an interrupted document goes on with what was translated of it, and of several files those whose output
    is there are left.

    Raises the `TransloraError` of a single file, and `DataError` at the end where some of several failed.
    """
    failed, several = [], len(jobs) > 1
    left = [job for job in jobs if not (several and request.resume and _is_done(job, request))]
    if len(left) < len(jobs):
        console.notice(f"{len(jobs) - len(left):,} of {len(jobs):,} files are there already and are left")
    for job in left:
        try:
            _translate(translator, job, request)
        except TransloraError as error:
            if not several:
                raise
            console.notice(str(error))
            failed.append(job.source)
    if failed:
        raise DataError(f"{len(failed)} of {len(jobs)} files were not translated, {failed[0]} first: see above")


def _is_done(job: Job, request: Request) -> bool:
    """Whether an earlier start wrote the output: in place, the backup then differs from it."""
    if job.output is None:
        return False
    if not request.backup:
        return job.output.exists()
    return _backup(job.source).exists() and not filecmp.cmp(_backup(job.source), job.source, shallow=False)


def _translate(translator: Translator, job: Job, request: Request) -> None:
    if request.backup:
        _keep(job.source)
    if request.comments and not takes_comments(job.kind):
        console.notice(f"{job.source}: no comments in it: {job.kind} has no place for them")
    if job.kind == "text" and job.output is not None:
        translate_file(translator, job.source, job.output, request.texts, request.resume, request.review)
        return
    config = translator.config
    document, digest = read_file(job.source, job.kind, Options(config.source, config.target, request.reviewed))
    segments, texts = document.segments, request.texts
    asked = replace(asked_of(translator, request.texts, digest, len(segments)), again=request.again)
    notes = translator.notes(f"{job.source}, of its distinct texts", "--max-tokens")
    with side_of(job.output, asked, request.resume) as side:
        terms = translator.terminology(texts.glossary, translator.guard(texts.protect, texts.patterns))
        side.known = dict(zip(side.known, with_uses([*side.known], [*side.known.values()], terms), strict=True))
        engine = _engine(translator, request, notes, side)
        with meter(str(job.source.name), len(segments), "segments") as shown:
            found, report = translate_segments(segments, engine, request.again, shown.advance)
        comments = _rated(job, segments, found, report, side.known, request)
        data = document.filled(found, comments if request.comments else ())
        if job.output is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            with atomic_file(job.output) as temporary:
                temporary.write_bytes(data)
    notes.say()
    if texts.glossary:
        _say_terms(job, segments, found, side.known)
    if texts.memory is not None:
        texts.memory.say(str(job.source))
    _say(job, report, [segments[index].line for index in report.apart])


def _engine(translator: Translator, request: Request, notes: Notes, side: Side) -> Engine:
    """Translates lines, but those that the side file has; scored where a review wants it."""
    scores = request.review is not None

    def engine(lines: Sequence[str]) -> list[str]:
        new = [line for line in lines if line not in side.known]
        if new:
            side.add(new, translator.decode(new, **vars(request.texts), scores=scores, notes=notes))
            side.flush()
        return [side.known[line].text for line in lines]

    return engine


def _rated(
    job: Job,
    segments: Sequence[Segment],
    found: Sequence[str | None],
    report: Report,
    known: dict[str, Translation],
    request: Request,
) -> list[str]:
    """The comment of each segment, none for those that were not translated; the review gets those that were."""
    comments, apart = [""] * len(segments), set(report.apart)
    if request.review is None:
        return comments
    for i, (segment, text) in enumerate(zip(segments, found, strict=True)):
        if text is not None:
            place = Place(str(job.source), i + 1, segment.line, segment.note)
            parts = [known[core] for core in cores(segment.text) if core in known]
            comments[i] = comment_of(request.review.add(place, segment.text, text, parts, i in apart))
    return comments


def _say_terms(
    job: Job, segments: Sequence[Segment], found: Sequence[str | None], known: dict[str, Translation]
) -> None:
    """Say how many terms of the glossary were honoured, with the places of the document where not."""
    tally = TermTally()
    for number, (segment, text) in enumerate(zip(segments, found, strict=True), 1):
        place = f"{job.source}:{segment.line}" if segment.line else f"{job.source}, segment {number}"
        for core in cores(segment.text) if text is not None else ():
            if core in known:
                tally.add(place, known[core].terms)
    tally.say(str(job.source))


def _backup(path: Path) -> Path:
    return path.with_name(path.name + BACKUP)


def _keep(path: Path) -> None:
    """Copy a file to its backup; raises `ConfigError` where there is one already that differs."""
    backup = _backup(path)
    if backup.exists():
        if filecmp.cmp(backup, path, shallow=False):
            return  # an interrupted start left it
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
