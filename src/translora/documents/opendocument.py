"""OpenDocument: the paragraphs and headings of texts, presentations, tables and drawings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from translora.documents.archive import Archive, ArchiveDocument
from translora.documents.document import Lines, Options, Segment, Slot, Spliced
from translora.documents.inline import Inline
from translora.documents.markup import Token, collapsed, element_end, escaped, inline_items
from translora.errors import DataError

_PARTS = ("content.xml", "styles.xml")
"""The members with text; of the styles, headers and footers."""
_PAIRS = {"text:span", "text:a"}


def read(data: bytes, name: str, options: Options) -> ArchiveDocument:
    """Read a document; raises `DataError` for an archive without `content.xml`, and for a damaged one."""
    archive = Archive(data, name)
    names = set(archive.names())
    if "content.xml" not in names:
        raise DataError(f"{name}: no OpenDocument file (it has no content.xml): give an .odt, .odp, .ods or .odg file")
    return ArchiveDocument(archive, ((part, _part(archive, part)) for part in _PARTS if part in names))


def _part(archive: Archive, part: str) -> Spliced:
    name = f"{archive.name} ({part})"
    source, found = archive.xml(part, ("p", "h"))
    lines = Lines(source.text)
    slots = [slot for first, last in _paragraphs(found) for slot in _slot(found[first + 1 : last], lines)]
    return Spliced(name, source, slots)


def _paragraphs(found: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """The indices of the tags of each paragraph, of those inside of others too; deleted text is left."""
    number = 0
    while number < len(found):
        token = found[number]
        if token.kind == "open" and token.name == "text:tracked-changes":
            number = element_end(found, number)
        elif token.kind == "open" and token.name in ("text:p", "text:h"):
            yield number, element_end(found, number)
        number += 1


def _slot(inside: Sequence[Token], lines: Lines) -> Iterator[Slot]:
    inline = Inline(inline_items(inside, collapsed, lambda token: token.name not in _PAIRS))
    if inline.text and not inline.ambiguous:
        segment = Segment(inline.text, lines.at(inline.start))
        yield Slot(segment, lambda text: inline.edit(text, escaped))
