"""From the segments of a document to their translations, by any engine that translates lines.

Each line of a segment is translated once, however often it occurs. A translation that lost or broke an inline tag is
replaced: the texts between the tags are translated apart, and the tags stay in the order of the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from translora.documents.document import Segment
from translora.tags import TAG, same_tags, tags

Engine = Callable[[Sequence[str]], list[str]]
"""Translates lines, in order."""
CHUNK = 500
"""Lines that are translated at a time."""
_TAG = re.compile(TAG)
_LETTER = re.compile(r"[^\W\d_]")


@dataclass
class Report:
    """Counts of one document, and the segments whose tags were put back."""

    segments: int = 0
    translated: int = 0
    kept: int = 0
    """Segments that had a translation before."""
    repeated: int = 0
    """Lines that are the same as an earlier one."""
    apart: list[int] = field(default_factory=list)
    """The indices of the segments whose texts between tags were translated apart."""


def translate_segments(
    segments: Sequence[Segment],
    engine: Engine,
    again: bool = False,
    advance: Callable[[int], None] = lambda segments: None,
) -> tuple[list[str | None], Report]:
    """One translation per segment, and what happened; None for a segment that has a translation already.

    With `again` those are translated too. `advance` is called with the number of segments that are done since the last
    call.
    """
    report = Report(len(segments))
    asked = [index for index, one in enumerate(segments) if one.text and (again or not one.translated)]
    report.kept = sum(one.translated for one in segments) if not again else 0
    report.translated = len(asked)
    advance(len(segments) - len(asked))
    results: list[str | None] = [None] * len(segments)
    memory: dict[str, str] = {}
    apart: dict[str, None] = {}
    for first in range(0, len(asked), CHUNK):
        chunk = asked[first : first + CHUNK]
        lines = [core for index in chunk for core in cores(segments[index].text)]
        report.repeated += len(lines) - _learn(memory, lines, engine)
        broken = {line: None for line in lines if not same_tags(tags(line), tags(memory[line]), alone=True)}
        runs = [core for line in broken for run in _TAG.split(line) for core in cores(run)]
        _learn(memory, runs, engine)
        for line in broken:
            memory[line] = _apart(line, memory)
        apart |= broken
        for index in chunk:
            results[index] = _together(segments[index].text, memory)
            if any(core in apart for core in cores(segments[index].text)):
                report.apart.append(index)
        advance(len(chunk))
    return results, report


def _learn(memory: dict[str, str], lines: Iterable[str], engine: Engine) -> int:
    """Translate the lines that `memory` lacks; returns how many those are."""
    new = [line for line in dict.fromkeys(lines) if line not in memory]
    if new:
        memory.update(zip(new, engine(new), strict=True))
    return len(new)


def cores(text: str) -> list[str]:
    """The lines of a segment that are to be translated: without the spaces at their ends, and those with letters."""
    lines = (line.strip() for line in text.split("\n"))
    return [core for core in lines if _LETTER.search(_TAG.sub("", core))]


def _together(text: str, memory: dict[str, str]) -> str:
    """`text` with its lines translated; line ends, and spaces at both ends of a line, stay."""
    return "\n".join(_line(line, memory) for line in text.split("\n"))


def _line(line: str, memory: dict[str, str]) -> str:
    core = line.strip()
    if not core or core not in memory:
        return line
    before = line[: len(line) - len(line.lstrip())]
    return before + memory[core].strip() + line[len(line.rstrip()) :]


def _apart(line: str, memory: dict[str, str]) -> str:
    """`line` with its tags where they are, and the texts between them translated apart."""
    parts = []
    at = 0
    for found in _TAG.finditer(line):
        parts += [_without_tags(line[at : found.start()], memory), found[0]]
        at = found.end()
    return "".join([*parts, _without_tags(line[at:], memory)])


def _without_tags(run: str, memory: dict[str, str]) -> str:
    """The translation of a text between tags; the text itself where the translation has made up a tag."""
    found = _line(run, memory)
    return run if _TAG.search(found) else found
