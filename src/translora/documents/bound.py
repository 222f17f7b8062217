"""The values that content controls of DOCX are bound to: programs show these, not the text of the document.

ECMA-376-1, 17.5.2.6 (`dataBinding`). A value is a text of its own, so that the title of a cover page, which is also a
property of the document, has one translation in both places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from translora.documents.archive import Archive
from translora.documents.document import Edit, Lines, Segment, Slot, Spliced
from translora.documents.markup import Token, element_end, escaped, text_of

_PROPERTIES = {
    "{6C3C8BC8-F283-45AE-878A-BAB7291924A1}": "docProps/core.xml",
    "{6668398D-A668-4E3E-A5EB-62B293D839F1}": "docProps/app.xml",
}
"""Where the document's own properties lie, by the identifier of their store."""
_STORE = re.compile(r"customXml/itemProps(\d+)\.xml")
_LAST_STEP = re.compile(r"(?:^|[/:])([\w.-]+)(?:\[\d+\])?$")
"""The local name of the element that an XPath ends with."""


class Binding(NamedTuple):
    """A text that a document shows, and where its value is."""

    store: str
    """The identifier of the XML part."""
    element: str
    """The local name."""
    shown: str


def bindings(found: Sequence[Token]) -> Iterator[Binding]:
    """Those of the content controls among the tokens of a part."""
    for number, token in enumerate(found):
        if token.kind == "open" and token.local == "sdt":
            inside = found[number + 1 : element_end(found, number)]
            content = next((i for i, one in enumerate(inside) if one.local == "sdtContent"), len(inside))
            bound = next((one for one in inside[:content] if one.local == "dataBinding"), None)
            attributes = {name.rpartition(":")[2]: value for name, value in bound.attributes().items()} if bound else {}
            if last := _LAST_STEP.search(attributes.get("xpath", "")):
                yield Binding(attributes.get("storeItemID", "").upper(), last[1], _shown(inside[content:]))


def _shown(content: Sequence[Token]) -> str:
    """The text of a control."""
    texts = [i for i, one in enumerate(content) if one.kind == "open" and one.local == "t"]
    return "".join(text_of(content[i : element_end(content, i)]) for i in texts)


def bound_parts(archive: Archive, wanted: Sequence[Binding]) -> Iterator[tuple[str, Spliced]]:
    """The parts with the values, by name; a value that is not the text that is shown, such as a date, stays."""
    names = set(archive.names())
    stores = {store: part for store, part in _PROPERTIES.items() if part in names}
    custom = any(one.store not in _PROPERTIES for one in wanted)
    for name in sorted(names) if custom else ():
        if found := _STORE.fullmatch(name):
            part = f"customXml/item{found[1]}.xml"
            stores |= {store: part for store in _identifiers(archive, name) if part in names}
    for store, part in sorted(stores.items(), key=lambda one: one[1]):
        values = {(one.element, one.shown) for one in wanted if one.store == store and one.shown.strip()}
        if values:
            yield part, _values(archive, part, values)


def _identifiers(archive: Archive, part: str) -> Iterator[str]:
    source, _ = archive.xml(part, ["datastoreItem"])
    for found in re.finditer(r"itemID\s*=\s*[\"'](\{[\w-]+\})[\"']", source.text):
        yield found[1].upper()


def _values(archive: Archive, part: str, values: set[tuple[str, str]]) -> Spliced:
    source, found = archive.xml(part, sorted({re.escape(element) for element, _ in values}))
    lines, slots = Lines(source.text), []
    for opening, text, closing in zip(found, found[1:], found[2:], strict=False):
        value = text_of([text])
        if (opening.kind, text.kind, closing.kind) == ("open", "text", "close") and (opening.local, value) in values:
            slots.append(Slot(Segment(value, lines.at(text.start)), _Value(text).edits))
    return Spliced(f"{archive.name} ({part})", source, slots)


class _Value:
    """The text of an element without others inside."""

    def __init__(self, text: Token) -> None:
        self._text = text

    def edits(self, translation: str) -> list[Edit]:
        """The edit for a translation."""
        return [Edit(self._text.start, self._text.end, (escaped(translation),))]
