"""Office Open XML: the paragraphs of DOCX and PPTX, and the text cells of XLSX.

Runs of one formatting are joined; the formatting of most of a paragraph is the plain one, and others are tags. A
paragraph whose translation is its own text keeps its runs as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from translora.documents.archive import Archive, ArchiveDocument
from translora.documents.bound import Binding, bindings, bound_parts
from translora.documents.document import Edit, Lines, Options, Piece, Segment, Slot, Spliced
from translora.documents.inline import Inline, Item
from translora.documents.markup import Token, element_end, escaped, text_of
from translora.errors import DataError

_DOCX = re.compile(r"word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")
_PPTX = re.compile(r"ppt/(?:slides|notesSlides)/[^/]+\.xml")
_XLSX = re.compile(r"xl/(?:sharedStrings|worksheets/[^/]+)\.xml")
_LIST = "[Content_Types].xml"
_TYPES = re.compile(
    r".*\.(?:(?:document|template)(?:\.macroEnabled(?:Template)?)?\.main|header|footer|footnotes|endnotes|comments)\+xml"
)
"""The content types of the parts of a DOCX with text, which may have any name, such as `word/document2.xml`."""
_TABLE = re.compile(r"xl/tables/[^/]+\.xml")
_PAIRS = {"hyperlink", "ins", "smartTag", "fldSimple", "bdo", "dir"}
"""Elements around runs."""
_UNSEEN = {"proofErr", "lastRenderedPageBreak"}
"""Marks of the program that wrote the file; they go where a paragraph is translated."""
_FORMAT = "\0"
"""What the name of a tag for a formatting begins with."""


def read_docx(data: bytes, name: str, options: Options) -> ArchiveDocument:
    """Read a text document: body, headers, footers, notes and comments."""
    return _read(data, name, _DOCX, "word/document.xml", ("p",))


def read_pptx(data: bytes, name: str, options: Options) -> ArchiveDocument:
    """Read a presentation: slides and their notes."""
    return _read(data, name, _PPTX, "ppt/presentation.xml", ("p",))


def read_xlsx(data: bytes, name: str, options: Options) -> ArchiveDocument:
    """Read a workbook: cells with text; formulas, and the headings of tables, which formulas name, stay."""
    return _read(data, name, _XLSX, "xl/workbook.xml", ("si", "is"))


def _read(data: bytes, name: str, parts: re.Pattern[str], needed: str, paragraphs: tuple[str, ...]) -> ArchiveDocument:
    archive = Archive(data, name)
    names = archive.names()
    declared = dict(_declared(archive)) if needed.startswith("word/") else {}
    main = next((part for part, kind in declared.items() if ".main+" in kind and part in names), needed)
    if main not in names:
        raise DataError(f"{name}: not the document that its ending says (it has no {needed}): check the file")
    fixed = {heading for part in names if _TABLE.fullmatch(part) for heading in _headings(archive, part)}
    kept = [part for part in names if parts.fullmatch(part) or part in declared]
    kept.sort(key=lambda part: (part != main, [int(digits) for digits in re.findall(r"\d+", part)], part))
    return ArchiveDocument(archive, _parts(archive, kept, paragraphs, fixed))


def _parts(
    archive: Archive, kept: Sequence[str], paragraphs: tuple[str, ...], fixed: set[str]
) -> Iterator[tuple[str, Spliced]]:
    """The parts with paragraphs, then those with the values that content controls show."""
    bound: list[Binding] = []
    for part in kept:
        name = f"{archive.name} ({part})"
        source, found = archive.xml(part, paragraphs)
        bound += bindings(found)
        yield part, Spliced(name, source, _slots(Lines(source.text), found, paragraphs, fixed))
    yield from bound_parts(archive, bound)


def _declared(archive: Archive) -> Iterator[tuple[str, str]]:
    """The names and content types of the parts with text, as the archive's list of types has them."""
    if _LIST in archive.names():
        for token in archive.xml(_LIST, ["Types"])[1]:
            attributes = token.attributes() if token.local == "Override" and token.kind != "close" else {}
            part = attributes.get("PartName", "").lstrip("/")
            if _TYPES.fullmatch(attributes.get("ContentType", "")) and "/glossary/" not in part:
                yield part, attributes["ContentType"]


def _headings(archive: Archive, part: str) -> Iterator[str]:
    for token in archive.xml(part, ["table"])[1]:
        if token.kind in ("open", "empty") and token.local == "tableColumn":
            yield token.attributes().get("name", "")


def _slots(lines: Lines, found: Sequence[Token], paragraphs: tuple[str, ...], fixed: set[str]) -> list[Slot]:
    slots = []
    for number, token in enumerate(found):
        if token.kind == "open" and token.local in (*paragraphs, "sdtContent"):
            end = element_end(found, number)
            paragraph = _Paragraph(token.name[: -len(token.local)], found[number + 1 : end])
            text = paragraph.inline.text
            if text and not paragraph.inline.ambiguous and text not in fixed:
                slots.append(Slot(Segment(text, lines.at(token.start)), paragraph.edits))
    return slots


@dataclass(frozen=True)
class _Run:
    """A stretch of text of one formatting."""

    start: int
    end: int
    properties: str
    """The element of its formatting; "" for none."""
    bare: bool = False
    """Whether the text is in no run, as in most cells."""


class _Paragraph:
    """The content of a paragraph as inline text."""

    def __init__(self, prefix: str, inside: Sequence[Token]) -> None:
        """`prefix` is that of the names of its elements, such as `w:`."""
        self._prefix = prefix
        self._runs: dict[Item, _Run] = {}
        """The run that each text, and each tag from inside a run, is of."""
        items = self._items(inside)
        self._base = self._usual(items)
        self.inline = Inline(self._formatted(items), trim=False)

    def edits(self, translation: str) -> list[Edit]:
        """The edit for a translation, none where it is the text itself."""
        inline = self.inline
        if translation == inline.text:
            return []
        pieces: list[Piece] = []
        formats = [self._base]
        for part in inline.walk(translation):
            if isinstance(part, str):
                pieces.append(self._run(formats[-1], part))
            elif part.value.startswith(_FORMAT):
                if part.kind == "open":
                    formats.append(self._runs[part])
                else:
                    formats.pop()
            elif part in self._runs:
                run = self._runs[part]
                pieces += [f"<{self._prefix}r>{run.properties}", (part.start, part.end), f"</{self._prefix}r>"]
            else:
                pieces.append((part.start, part.end))
        return [Edit(self._border(inline.start), self._border(inline.end, last=True), tuple(pieces))]

    def _border(self, place: int, last: bool = False) -> int:
        """The border of the run that a place is in, or the place itself."""
        for run in self._runs.values():
            if run.start <= place <= run.end:
                return run.end if last else run.start
        return place

    def _run(self, run: _Run, text: str) -> str:
        keep = "" if self._prefix == "a:" else ' xml:space="preserve"'
        inner = f"<{self._prefix}t{keep}>{escaped(text)}</{self._prefix}t>"
        return inner if run.bare else f"<{self._prefix}r>{run.properties}{inner}</{self._prefix}r>"

    def _items(self, inside: Sequence[Token]) -> list[Item]:
        items: list[Item] = []
        number = 0
        while number < len(inside):
            token = inside[number]
            end = element_end(inside, number)
            own = token.name.startswith(self._prefix)
            if token.kind == "open" and own and token.local == "r":
                items += self._run_items(inside[number : end + 1])
            elif token.kind == "open" and own and token.local == "t":
                items.append(self._bare(inside[number : end + 1]))
            elif own and token.local in _PAIRS and token.kind in ("open", "close"):
                items.append(Item(token.kind, token.start, token.end, token.name))
                end = number
            elif token.kind != "text" and token.local not in _UNSEEN:
                items.append(Item("single", token.start, inside[end].end))
            number = end + 1
        return items

    def _bare(self, text: Sequence[Token]) -> Item:
        """A text that no run is around, with its tags."""
        item = Item("text", text[0].start, text[-1].end, text_of(text))
        self._runs[item] = _Run(item.start, item.end, "", bare=True)
        return item

    def _run_items(self, run: Sequence[Token]) -> list[Item]:
        """The items of a run: its texts, and one for what is between them."""
        children: list[tuple[Token, int, int]] = []
        number = 1
        while number < len(run) - 1:
            end = element_end(run, number)
            if run[number].kind in ("open", "empty"):
                children.append((run[number], number, end))
            number = end + 1
        properties = "".join(
            "".join(token.raw for token in run[first : last + 1])
            for child, first, last in children
            if child.local == "rPr"
        )
        whole = _Run(run[0].start, run[-1].end, properties)
        content = [child for child in children if child[0].local != "rPr" and child[0].local not in _UNSEEN]
        if not any(child.local == "t" for child, _, _ in content):
            return [Item("single", whole.start, whole.end)] if content else []
        items = []
        for child, first, last in content:
            if child.local == "t":
                item = Item("text", child.start, run[last].end, text_of(run[first : last + 1]))
            else:
                item = Item("fixed", child.start, run[last].end)
            self._runs[item] = whole
            items.append(item)
        return items

    def _usual(self, items: Sequence[Item]) -> _Run:
        """The run whose formatting most letters have."""
        counts: Counter[tuple[str, bool]] = Counter()
        first: dict[tuple[str, bool], _Run] = {}
        for item in items:
            if item.kind == "text":
                run = self._runs[item]
                key = (run.properties, run.bare)
                counts[key] += len(item.value.strip())
                first.setdefault(key, run)
        return first[counts.most_common(1)[0][0]] if counts else _Run(0, 0, "")

    def _formatted(self, items: Sequence[Item]) -> list[Item]:
        """`items` with tags around the texts whose formatting is not the usual one."""
        result: list[Item] = []
        for item in items:
            run = self._runs.get(item)
            if item.kind != "text" or run is None or run.properties == self._base.properties or not item.value.strip():
                result.append(item)
                continue
            name = _FORMAT + run.properties
            if result and result[-1].kind == "close" and result[-1].value == name:
                result.pop()
            else:
                opening = Item("open", item.start, item.start, name)
                self._runs[opening] = run
                result.append(opening)
            result += [item, Item("close", item.end, item.end, name)]
        return result
