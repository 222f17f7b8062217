"""TMX, translation memories (1.4b, https://www.gala-global.org/tmx-14b): a unit at a time, in constant memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.codes import CODE, HALF, closed, tagged
from translora.data.readers.lines import open_binary
from translora.data.readers.markup import NO_CHARACTER, NO_TEXT, Exchange, decoded, elements, local_name
from translora.data.readers.remarks import Remark, remark
from translora.data.readers.rows import make_pair
from translora.documents.inline import Item as Inlined
from translora.documents.inline import text_items
from translora.documents.markup import HALVES, code_half
from translora.errors import DataError
from translora.io import console
from translora.languages import is_other_variety, matching_languages

_CODES = {"bpt", "ept", "it", "ph", "ut", "x", "bx", "ex"}
"""Inline codes of TMX and, in memories made from it, of XLIFF; the text of all other elements is text."""
_HOLD_TEXT = {"ph", "ut"}
_CODE_LIKE = re.compile(r"[<>\\]|&#?\w+;")
_TEXT_LIKE = re.compile(r"[^\W\d_]|[{\[%$@#]\s*\d|\{\}")
"""The content of a code is text where it has letters, or a number in the manner of `{0}`, and no markup."""
_ENTITY = "\ufdd4"
_FAULTS = {
    NO_CHARACTER: "a character that XML forbids: remove it",
    NO_TEXT: "bytes that are no text in the encoding of the file: convert the file to UTF-8",
    _ENTITY: "an entity that is not expanded: write the character itself",
}
OTHER_LANGUAGES = "units without one of the languages"
DROPPED_CODES = "units with inline codes (dropped)"
_LONGEST_TAG = 4096
_LANGUAGE = re.compile(r"<(?:[\w.-]+:)?tuv\b[^>]*?\s(?:xml:)?lang\s*=\s*[\"']([^\"'<>]*)[\"']", re.IGNORECASE)


def read_tmx(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The translation units of a TMX file that have text in both languages.

    A unit without one of the two is passed over. Inline codes are dropped without joining the words around them; the
    text of a placeholder, such as `{0}`, is kept. With `codes: keep` they become tags where both texts have the same.
    What is passed over and what is dropped is counted in a notice at the end. A unit with a character that
    XML forbids is a `DataError`. Entities that a file declares are not expanded.

    Raises `DataError` for a file that is not TMX, is cut short, or has no unit in both languages.
    """
    reading = _Reading(config.path, source, target, config.codes == "keep")
    try:
        for unit in _units(config.path):
            item = reading.item(unit)
            if item is not None:
                yield item
    finally:
        reading.tell()
    if not reading.read:
        raise DataError(
            f"{config.path}: no translation unit has both {source} and {target}: name two of its languages, which are "
            f"{reading.found}"
        )


def _units(file: str) -> Iterator[Any]:
    """The `tu` elements of a file, each of which is gone once the next is asked for."""
    return elements(Path(file), ["tu"], Exchange("TMX", ("tmx",)))


@dataclass
class _Met:
    """How often something was met, and where first."""

    count: int = 0
    line: int = 0

    def add(self, line: int) -> None:
        self.count += 1
        self.line = self.line or line


class _Reading:
    """One pass over a file: the languages that are taken, and the remarks at its end."""

    def __init__(self, file: str, source: str, target: str, keep: bool) -> None:
        known = _languages(file)
        self.file, self._keep = file, keep
        self.asked = source, target
        self.taken = [matching_languages(code, known) for code in self.asked]
        self.found = ", ".join(f"{code} ({count:,})" for code, count in known.most_common(20)) or "no language codes"
        self.read = 0
        """Units in both languages, the unreadable ones among them."""
        self.passed = _Met()
        self.codes = _Met()

    def item(self, unit: Any) -> Item | None:
        """The pair of one unit, the error that makes it unreadable, or None where it lacks a language."""
        line = unit.sourceline or 0
        segments: dict[str, Any] = {}
        for variant in _children(unit, "tuv"):
            for segment in _children(variant, "seg"):
                segments.setdefault(_language(variant), segment)
        source, target = (next((code for code in codes if code in segments), None) for codes in self.taken)
        if source is None or target is None or source == target:
            self.passed.add(line)
            return None
        self.read += 1
        texts = []
        for code in (source, target):
            text = "".join(_segment_text(segments[code]))
            if fault := _fault(text):
                return DataError(f"{self.file}:{line}: a translation unit with {fault}")
            texts.append(text)
        if self._keep and any(CODE in text or HALF in text for text in texts):
            kept = tagged([*_items(segments[source])], [*_items(segments[target])], _key)
            if kept:
                return make_pair(*kept, self.file, line)
        if any(CODE in text or HALF in text for text in texts):
            self.codes.add(line)
        return make_pair(closed(texts[0]), closed(texts[1]), self.file, line)

    def tell(self) -> None:
        """Report the units that were passed over, the dropped codes, and languages that stand for others."""
        for asked, codes in zip(self.asked, self.taken, strict=True):
            if self.read and is_other_variety(asked, codes[0]):
                console.notice(f"{self.file}: no {asked} in it: {', '.join(codes)} is taken")
        if self.codes.count:
            self._say(DROPPED_CODES, f"inline codes dropped: {self.codes.count:,} units", self.codes, left_out=False)
        if self.passed.count and self.read:
            lacking = " or ".join(self.asked)
            words = f"{self.passed.count:,} units without {lacking} passed over; it has {self.found}"
            self._say(OTHER_LANGUAGES, words, self.passed, left_out=True)

    def _say(self, kind: str, words: str, met: _Met, left_out: bool) -> None:
        remark(Remark(kind, met.count, f"{self.file}:{met.line}", left_out), words)


def _languages(file: str) -> Counter[str]:
    """The language codes of a file, each with how many texts have it."""
    counts: Counter[str] = Counter()
    rest = ""
    with open_binary(Path(file)) as stream:
        for piece in decoded(stream, file):
            text = rest + piece
            rest = text[max(text.rfind("<"), len(text) - _LONGEST_TAG, 0) :]
            counts.update(_LANGUAGE.findall(text, 0, len(text) - len(rest)))
    counts.update(_LANGUAGE.findall(rest))
    return counts


def _children(element: Any, name: str) -> Iterator[Any]:
    return (child for child in element if local_name(child) == name)


def _language(variant: Any) -> str:
    return variant.get("{http://www.w3.org/XML/1998/namespace}lang") or variant.get("lang") or ""


def _segment_text(element: Any) -> Iterator[str]:
    """The text of a segment in pieces, with marks in place of dropped codes and of entities."""
    yield element.text or ""
    for child in element:
        name = local_name(child)
        if name in _CODES:
            content = "".join(child.itertext())
            if name in _HOLD_TEXT and _TEXT_LIKE.search(content) and not _CODE_LIKE.search(content):
                yield content
            else:
                yield HALF if name in HALVES else CODE
        elif name:
            yield from _segment_text(child)
        elif hasattr(child, "name"):  # neither a comment nor a processing instruction
            yield _ENTITY
        yield child.tail or ""


def _items(element: Any, names: dict[str, str] | None = None) -> Iterator[Inlined]:
    """The text of a segment and its codes, of which the content of each is the name by which it is known.

    Of a pair that is the `x` of the code that opens it, which names it in all languages, or else its `i`; `names` has
    these by the pair.
    """
    if names is None:
        halves = [(code_half(local_name(child), child.get), child.get("x")) for child in element.iter()]
        names = {half[1]: f"code {own}" for half, own in halves if half and own}
    if element.text:
        yield from text_items(0, element.text, str)
    for child in element:
        name = local_name(child)
        if name in _CODES:
            if half := code_half(name, child.get):
                kind, pair = half
                yield Inlined(kind, 0, 0, names.get(pair, pair))
            else:
                own = child.get("x") or child.get("i") or child.get("id") or "".join(child.itertext())
                yield Inlined("single", 0, 0, f"{name} {own}")
        elif name:
            own = f"{name} {child.get('x') or child.get('id') or ''}"
            yield Inlined("open", 0, 0, own)
            yield from _items(child, names)
            yield Inlined("close", 0, 0, own)
        if child.tail:
            yield from text_items(0, child.tail, str)


def _key(item: Inlined) -> str:
    return f"{item.kind} {item.half} {item.value}"


def _fault(text: str) -> str:
    """The reason why a text is unreadable; "" for a good one."""
    for mark, words in _FAULTS.items():
        if mark in text:
            return words
    return ""
