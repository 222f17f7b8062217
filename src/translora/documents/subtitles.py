"""Subtitles, SRT and WebVTT: the texts of the cues; times, styles and notes stay."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterable

from translora.documents.document import Edit, Lines, Options, Segment, Slot, Spliced, decoded
from translora.documents.inline import Inline, Item, text_items
from translora.errors import DataError

_BLOCK = re.compile(r"(?:^(?![ \t]*\r?\n)[^\n]*(?:\n|\Z))+", re.MULTILINE)
_TIME = re.compile(r"^[^\n]*-->[^\n]*(?:\n|$)", re.MULTILINE)
_OVERRIDE = re.compile(r"\{\\[^{}\n]*\}")
_MARKUP = re.compile(r"</?[A-Za-z0-9][^<>]*>")
"""A tag, or a time inside a text."""
_TURN = re.compile(r"[ \t]*[-\u2013\u2014]")


def read_srt(data: bytes, name: str, options: Options) -> Spliced:
    """Read SRT; raises `DataError` for a file without any time."""
    return _read(data, name, vtt=False)


def read_vtt(data: bytes, name: str, options: Options) -> Spliced:
    """Read WebVTT; raises `DataError` for a file that does not begin with WEBVTT."""
    return _read(data, name, vtt=True)


def _read(data: bytes, name: str, vtt: bool) -> Spliced:
    source = decoded(data, name)
    if vtt and not source.text.startswith("WEBVTT"):
        raise DataError(f"{name}:1: it does not begin with WEBVTT: give a WebVTT file, or --format srt")
    lines, slots, cues = Lines(source.text), list[Slot](), 0
    for block in _BLOCK.finditer(source.text):
        time = _TIME.search(block[0])
        if not time or (vtt and re.match(r"(?:NOTE|STYLE|REGION)\b", block[0])):
            continue
        cues += 1
        for start, end in _texts(source.text, block.start() + time.end(), block.end()):
            slots += _cue(source.text, start, end, lines, vtt)
    if not cues and not vtt and source.text.strip():
        raise DataError(f"{name}: no cue with a time (00:00:01,000 --> 00:00:02,000): give an SRT file")
    return Spliced(name, source, slots)


def _texts(text: str, start: int, end: int) -> Iterable[tuple[int, int]]:
    """The places of the texts of a cue: one, or each line of a dialogue."""
    body = text[start:end].rstrip("\r\n")
    lines = body.splitlines(keepends=True)
    if len(lines) > 1 and all(_TURN.match(line) for line in lines):
        for line in lines:
            dash = _TURN.match(line)
            assert dash
            yield start + dash.end(), start + len(line.rstrip("\r\n"))
            start += len(line)
    elif body:
        yield start, start + len(body)


def _cue(text: str, start: int, end: int, lines: Lines, vtt: bool) -> Iterable[Slot]:
    items: list[Item] = []
    at = start
    marks = re.compile(f"{_OVERRIDE.pattern}|{_MARKUP.pattern}")

    def decode(raw: str) -> str:
        joined = re.sub(r"[ \t]*\r?\n[ \t]*", " ", raw)
        return html.unescape(joined) if vtt else joined

    for found in marks.finditer(text, start, end):
        items += text_items(at, text[at : found.start()], decode)
        items.append(_item(found))
        at = found.end()
    items += text_items(at, text[at:end], decode)
    inline = Inline(items)
    if not inline.text or inline.ambiguous:
        return
    count = text.count("\n", inline.start, inline.end) + 1
    newline = "\r\n" if "\r\n" in text else "\n"

    def edits(translation: str) -> list[Edit]:
        wrapped = _balanced(translation, count)
        escape = _escape_vtt if vtt else str
        return [
            Edit(
                edit.start,
                edit.end,
                tuple(piece.replace("\n", newline) if isinstance(piece, str) else piece for piece in edit.pieces),
            )
            for edit in inline.edit(wrapped if translation != inline.text else translation, escape)
        ]

    yield Slot(Segment(inline.text, lines.at(inline.start)), edits)


def _item(found: re.Match[str]) -> Item:
    tag = found[0]
    name = re.match(r"</?([A-Za-z]+)", tag)
    if not name:  # a time inside the text, or an override such as {\an8}
        return Item("single", found.start(), found.end())
    return Item("close" if tag.startswith("</") else "open", found.start(), found.end(), name[1].lower())


def _escape_vtt(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _balanced(text: str, count: int) -> str:
    """`text` on at most `count` lines of about the same length; tags are not broken."""
    if count < 2:
        return text
    kept = _MARKUP.sub(lambda found: found[0].replace(" ", "\0"), text)
    width = max(1, -(-len(kept) // count))
    while True:
        lines = textwrap.wrap(kept, width, break_long_words=False, break_on_hyphens=False)
        if len(lines) <= count:
            return "\n".join(lines).replace("\0", " ")
        width += max(1, width // 20)
