"""Plain text as paragraphs, which blank lines separate: wrapped lines are joined, and wrapped again."""

from __future__ import annotations

import re
import textwrap

from translora.documents.document import Edit, Lines, Options, Segment, Slot, Spliced, decoded

_BLOCK = re.compile(r"(?:^[^\n]*\S[^\n]*(?:\n|\Z))+", re.MULTILINE)


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read a plain text: each paragraph is a segment."""
    source = decoded(data, name)
    lines, slots = Lines(source.text), list[Slot]()
    for block in _BLOCK.finditer(source.text):
        raw = block[0].strip()
        start = block.start() + block[0].index(raw)
        slots.append(_slot(raw, start, lines.at(start)))
    return Spliced(name, source, slots)


def _slot(raw: str, start: int, line: int) -> Slot:
    rows = raw.splitlines()
    text = " ".join(row.strip() for row in rows)
    indent = re.match(r"[ \t]*", rows[1])[0] if len(rows) > 1 else ""  # type: ignore[index]
    newline = "\r\n" if "\r\n" in raw else "\n"
    width = max(map(len, rows))

    def edits(translation: str) -> list[Edit]:
        if translation == text:
            return []
        written = translation
        if len(rows) > 1:
            wrapped = textwrap.wrap(
                translation, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
            written = newline.join(wrapped)
        return [Edit(start, start + len(raw), (written,))]

    return Slot(Segment(text, line), edits)
