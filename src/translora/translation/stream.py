"""Files of any length: read, translated and written a chunk at a time, and taken up again after a kill.

The translations lie in `OUTPUT.partial` until all are there, with `OUTPUT.partial.json` beside it, which says how many
are whole. Knows files and chunks; how lines are translated is the `Translator`'s.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from translora.data.pairs import chunks
from translora.data.readers.wmt import text_segments
from translora.errors import ConfigError, DataError
from translora.io import console
from translora.io.console import meter
from translora.io.files import only_writer, read_json, storage_errors, write_json
from translora.translation.memory import Memory
from translora.translation.notes import Notes
from translora.translation.result import Translation
from translora.translation.review import Place, Review
from translora.translation.tally import TermTally
from translora.translation.termed import with_uses
from translora.translation.terms import Glossary
from translora.translation.translator import Protect, Translator

CHUNK = 2_000
"""Lines that are translated and written at a time."""


@dataclass(frozen=True)
class Asked:
    """What a file is translated with; a file that was begun with something else is not gone on with."""

    model: str
    source: str
    target: str
    beams: int
    max_tokens: int
    input_sha256: str
    lines: int
    protect: str = "auto"
    patterns: list[str] = field(default_factory=list)
    memory: str = ""
    fuzzy: str = "auto"
    glossary: str = ""
    again: bool = False
    shortlist: str = ""
    """The hash of the tokens that the translations may hold; empty for the whole vocabulary."""


@dataclass(frozen=True)
class TextOptions:
    """How lines are translated; see `Translator.translate`."""

    beams: int = 0
    protect: Protect = "auto"
    patterns: tuple[str, ...] = ()
    memory: Memory | None = None
    fuzzy: Protect = "auto"
    """Whether a model that was trained so is given the fuzzy matches of the memory."""
    glossary: Glossary | None = None


class Rated:
    """The lines of one file, or of standard input, as they are given to a review; their terms are counted."""

    def __init__(self, review: Review | None, file: str) -> None:
        """Without a `review` terms alone are counted."""
        self._review, self._file, self._lines = review, file, 0
        self.tally = TermTally()

    def add(self, sources: Sequence[str], found: Sequence[Translation], earlier: bool = False) -> None:
        """The next lines, with their translations; `earlier` are those of a start before this one."""
        for source, one in zip(sources, found, strict=True):
            self._lines += 1
            self.tally.add(f"line {self._lines}" if self._file == "-" else f"{self._file}:{self._lines}", one.terms)
            if self._review and source.strip():
                place = Place(self._file, self._lines, self._lines)
                self._review.add(place, source, one.text, [one], earlier=earlier)


def translate_stream(
    translator: Translator,
    lines: Iterable[str],
    output: TextIO | None,
    options: TextOptions = TextOptions(),
    review: Review | None = None,
    name: str = "-",
) -> None:
    """Translate `lines` to `output`, chunk by chunk, one line each; `review` gets them too, as those of `name`."""
    notes, rated = translator.notes("translate", "--max-tokens"), Rated(review, name)
    with meter("translate", None, "sentences") as shown:
        for chunk in chunks(lines, CHUNK):
            found = translator.decode(
                chunk, **vars(options), scores=review is not None, notes=notes, advance=shown.advance
            )
            rated.add(chunk, found)
            if output is not None:
                output.writelines(one.text + "\n" for one in found)
                output.flush()
    say_all(notes, options, "translate", rated.tally)


def say_all(notes: Notes, options: TextOptions, label: str, tally: TermTally) -> None:
    """Say what there is to say of lines, of their terms and of the translation memory."""
    notes.say()
    if options.glossary:
        tally.say(label)
    if options.memory is not None:
        options.memory.say(label)


def translate_file(
    translator: Translator,
    path: Path,
    output: Path,
    options: TextOptions = TextOptions(),
    resume: bool = False,
    review: Review | None = None,
) -> None:
    """Translate the lines of the file `path` to the file `output`, which appears when all are there.

    With `resume` the translations that an earlier, interrupted start left are kept; `review` gets them without their
    confidence.

    Raises `DataError` for a line that cannot be read, before anything is translated, `ConfigError` where an earlier
    start left something and `resume` is not asked for or something else was asked for then, and `StorageError` where
    `output` cannot be written.
    """
    asked = asked_of(translator, options, *digest_of(path))
    partial, state = (output.with_name(f"{output.name}.partial{ending}") for ending in ("", ".json"))
    with storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    done, size = _left_over(partial, state, asked, resume)
    notes, rated = translator.notes("translate", "--max-tokens", done), Rated(review, str(path))
    if (review or options.glossary) and done:
        with open(partial, encoding="utf-8", newline="\n") as stream:
            earlier = [Translation(line.rstrip("\n")) for line in islice(stream, done)]
        sources = list(islice(text_segments(path, "src"), done))
        terms = translator.terminology(options.glossary, translator.guard(options.protect, options.patterns))
        rated.add(sources, with_uses(sources, earlier, terms), earlier=True)
    with (
        only_writer(partial),
        storage_errors(partial),
        open(partial, "r+b" if done else "wb") as stream,
        meter("translate", asked.lines, "sentences", done) as shown,
    ):
        stream.truncate(size)
        stream.seek(size)
        try:
            for chunk in chunks(islice(text_segments(path, "src"), done, None), CHUNK):
                found = translator.decode(
                    chunk, **vars(options), scores=review is not None, notes=notes, advance=shown.advance
                )
                rated.add(chunk, found)
                stream.write("".join(one.text + "\n" for one in found).encode())
                stream.flush()
                os.fsync(stream.fileno())
                done += len(chunk)
                write_json(state, {"asked": asdict(asked), "lines": done, "bytes": stream.tell()})
        except KeyboardInterrupt:
            if done:
                console.notice(f"{done:,} of {asked.lines:,} lines are in {partial}: --resume goes on from there")
            raise
    with storage_errors(output):
        os.replace(partial, output)
        state.unlink(missing_ok=True)
    say_all(notes, options, str(path), rated.tally)


def digest_of(path: Path) -> tuple[str, int]:
    """The hash of all lines, and their number; a line that cannot be read is said before hours of work."""
    digest, count = hashlib.sha256(), 0
    for line in text_segments(path, "src"):
        digest.update(line.encode())
        digest.update(b"\n")
        count += 1
    return digest.hexdigest(), count


def asked_of(translator: Translator, options: TextOptions, input_sha256: str, lines: int) -> Asked:
    """What an input with this hash and so many lines is translated with."""
    config, listed = translator.config, translator.shortlist
    return Asked(
        model=translator.identity,
        source=config.source,
        target=config.target,
        beams=options.beams or config.decoding.beams,
        max_tokens=config.decoding.max_tokens,
        input_sha256=input_sha256,
        lines=lines,
        protect=options.protect,
        patterns=list(options.patterns),
        memory=options.memory.content_hash if options.memory else "",
        fuzzy=options.fuzzy,
        glossary=options.glossary.content_hash() if options.glossary else "",
        shortlist=listed.sha256 if listed else "",
    )


def _left_over(partial: Path, state: Path, asked: Asked, resume: bool) -> tuple[int, int]:
    """How many lines and bytes of an earlier start are kept."""
    if not state.exists():
        return 0, 0
    try:
        found = read_json(state)
        before, lines, size = Asked(**found["asked"]), int(found["lines"]), int(found["bytes"])
        whole = partial.stat().st_size >= size
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{state} is damaged ({error}): delete it and {partial} to start over") from error
    if not resume:
        raise ConfigError(
            f"{partial} has {lines:,} translated lines of an earlier start: add --resume to go on, or delete {state}"
        )
    require_same(before, asked, partial, state)
    if not whole:
        raise DataError(f"{partial} is shorter than {state} says: delete both to start over")
    return lines, size


def require_same(before: Asked, asked: Asked, partial: Path, state: Path) -> None:
    """Raise `ConfigError` where `partial` was begun with something else than `asked`; deleting `state` starts over."""
    changed = [name for name, value in asdict(before).items() if value != getattr(asked, name)]
    if changed:
        raise ConfigError(
            f"{partial} was begun with another {' and '.join(changed).replace('_', ' ')}: ask for the same, or delete "
            f"{state} to start over"
        )
