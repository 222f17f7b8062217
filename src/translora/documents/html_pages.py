"""HTML: blocks of text with their inline tags; scripts, styles, preformatted text and `translate="no"` stay."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence

from translora.documents.document import Edit, Lines, Options, Segment, Slot, Spliced, decoded
from translora.documents.inline import Inline
from translora.documents.markup import Token, check_size, escaped, html_tokens, inline_items, stays
from translora.errors import DataError
from translora.tags import VOID

_INLINE_NAMES = """
    a abbr acronym b bdi bdo big br cite code data del dfn em font i img input ins kbd label mark math nobr output q
    rp rt ruby s samp small span strike strong sub sup svg time tt u var wbr picture audio video object canvas
"""
_INLINE = set(_INLINE_NAMES.split())
_VOID = VOID | {"param"}
_RAW = ("script", "style", "textarea", "noscript", "template", "iframe", "xmp")
_KEPT = {*_RAW, "pre", "code", "kbd", "samp", "var", "svg", "math", "object", "audio", "video", "canvas", "head"}
"""Elements whose content stays; of `head`, the title and the description are read apart."""
_ATTRIBUTES = ("alt", "title", "placeholder", "aria-label")
_CHARSET = re.compile(rb"<meta\s[^<>]*?charset\s*=\s*[\"']?\s*([\w.:-]+)[^<>]*>", re.IGNORECASE)
_DECLARED = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)[\"']")


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read a page, well formed or not, in the encoding that it declares."""
    declared = _DECLARED.match(data) or _CHARSET.search(data[:4096])
    encoding = declared[1].decode("ascii").lower() if declared else ""
    if encoding in ("iso-8859-1", "latin1", "us-ascii"):
        encoding = _latin(data)
    source = decoded(data, name, "" if encoding.startswith("utf-16") else encoding)
    check_size(source.text, name)
    found = list(html_tokens(source.text, _RAW))
    if not any(token.kind in ("open", "empty") for token in found) and source.text.strip():
        raise DataError(f"{name}: no tag in it: give an HTML page, or --format paragraphs")
    lines, slots, closers = Lines(source.text), list[Slot](), _closers(found)
    for run in _runs(found, closers):
        inline = Inline(inline_items(run))
        if inline.text and not inline.ambiguous:
            slots.append(_slot(inline, lines))
    slots += [slot for token in _translatable(found, closers) for slot in _attribute_slots(token, lines)]
    slots.sort(key=lambda slot: slot.segment.line)
    return Spliced(name, source, slots, "xmlcharrefreplace")


def _latin(data: bytes) -> str:
    """Browsers read these as Windows-1252, which not all bytes have."""
    try:
        data.decode("windows-1252")
    except UnicodeDecodeError:
        return "iso-8859-1"
    return "windows-1252"


def _slot(inline: Inline, lines: Lines) -> Slot:
    return Slot(Segment(inline.text, lines.at(inline.start)), lambda text: inline.edit(text, escaped))


def _is_kept(token: Token) -> bool:
    """Whether the content of an element stays."""
    return token.kind == "open" and token.name not in _VOID and (token.name in _KEPT or stays(token))


def _runs(found: Sequence[Token], closers: Mapping[int, int]) -> Iterator[list[Token]]:
    """Runs of text and inline tags between two blocks, and titles."""
    run: list[Token] = []
    for token in _folded(found, closers):
        if token.kind == "text" or token.name in _INLINE or token.raw.startswith("<!--"):
            run.append(token)
        else:
            yield run
            run = []
    yield run
    for first, last in closers.items():
        if found[first].name == "title":
            yield list(found[first + 1 : last])


def _folded(found: Sequence[Token], closers: Mapping[int, int]) -> Iterator[Token]:
    """The tokens, with each element whose content stays as one token."""
    number = 0
    while number < len(found):
        token = found[number]
        if token.kind == "open" and token.name in _VOID:
            yield Token("empty", token.start, token.end, token.name, token.raw)
        elif _is_kept(token) and number in closers:
            number = closers[number]
            yield Token("empty", token.start, found[number].end, token.name)
        else:
            yield token
        number += 1


def _closers(found: Sequence[Token]) -> dict[int, int]:
    """For each opening tag the index of the one that closes it; pages may lack some."""
    closers: dict[int, int] = {}
    stacks: dict[str, list[int]] = {}
    for number, token in enumerate(found):
        if token.kind == "open":
            stacks.setdefault(token.name, []).append(number)
        elif token.kind == "close" and stacks.get(token.name):
            closers[stacks[token.name].pop()] = number
    return closers


def _translatable(found: Sequence[Token], closers: Mapping[int, int]) -> Iterator[Token]:
    """The tags with attributes, but for elements that say that they stay and what is in them."""
    number = 0
    while number < len(found):
        token = found[number]
        if token.kind in ("open", "empty"):
            if stays(token):
                number = closers.get(number, number)
            else:
                yield token
        number += 1


def _attribute_slots(token: Token, lines: Lines) -> Iterator[Slot]:
    attributes = token.attributes()
    names = [name for name in _ATTRIBUTES if attributes.get(name)]
    if token.name == "meta" and attributes.get("name", "").lower() == "description" and attributes.get("content"):
        names.append("content")
    for name in names:
        if place := token.attribute_place(name):
            yield _attribute(token, place, lines, f"{token.name} {name}")


def _attribute(token: Token, place: tuple[int, int], lines: Lines, note: str) -> Slot:
    raw = token.raw[place[0] - token.start : place[1] - token.start]
    text = html.unescape(raw)

    def edits(translation: str) -> list[Edit]:
        return [] if translation == text else [Edit(*place, (html.escape(translation),))]

    return Slot(Segment(text, lines.at(place[0]), note=note), edits)
