"""Inline markup of a segment as tags, `<g id="1">...</g>` and `<x id="2"/>`, and back.

Knows tags and texts; knows no format.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from translora.documents.document import Edit, Piece
from translora.errors import DataError
from translora.tags import same_tags

_CODE = re.compile(r'<g id="(\d+)">|(</g>)|<x id="(\d+)"/>')
_SPACES = " \t\r\n\f"
_ENDS = re.compile(r"([ \t\r\n\f]*)((?:.*[^ \t\r\n\f])?)([ \t\r\n\f]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of inline content of a text: plain text, one half of a pair of tags, or a tag that stands alone."""

    kind: str
    """`text`, `open`, `close`, `single`, or `fixed`: a tag that stands alone, and inside also at the ends."""
    start: int
    end: int
    value: str = ""
    """The plain text, or the name by which the halves of a pair are matched."""
    half: str = ""
    """`open` or `close` for half of a pair that stands alone, as its other half is missing or overlaps another pair."""


class Inline:
    """Inline content as a segment's text; a translation of that text becomes an edit."""

    def __init__(self, items: Sequence[Item], trim: bool = True, keep_singles: bool = False) -> None:
        """`trim` leaves white space at both ends outside, and so do tags around all text.

        Tags at both ends that stand alone are outside too, unless `keep_singles`: they may stand for words.
        """
        kept = _inner(_paired(items), trim, keep_singles)
        self.start, self.end = (kept[0].start, kept[-1].end) if kept else (0, 0)
        """The place of the content in the text."""
        self._opens: dict[int, Item] = {}
        self._closes: dict[int, Item] = {}
        self._singles: dict[int, Item] = {}
        self.text = self._numbered(kept)
        """Plain text with tags."""
        self.plain = [item.value for item in kept if item.kind == "text"]
        """The texts between the tags."""
        self.ambiguous = any(_CODE.search(text) for text in ("".join(self.plain), *self.plain))
        """Whether the text itself has something that looks like one of the tags."""

    def _numbered(self, items: Sequence[Item]) -> str:
        parts, stack, number = list[str](), list[int](), 0
        for item in items:
            if item.kind == "text":
                parts.append(item.value)
            elif item.kind == "close":
                self._closes[stack.pop()] = item
                parts.append("</g>")
            else:
                number += 1
                kind = self._opens if item.kind == "open" else self._singles
                kind[number] = item
                parts.append(f'<g id="{number}">' if item.kind == "open" else f'<x id="{number}"/>')
                if item.kind == "open":
                    stack.append(number)
        return "".join(parts)

    @property
    def numbered(self) -> dict[int, Item]:
        """The tags that open something or stand alone, by their numbers."""
        return dict(sorted((self._opens | self._singles).items()))

    def text_as_in(self, source: Inline, key: Callable[[Item], str]) -> str | None:
        """The text with its tags numbered as those of `source`; None where that has other tags.

        `key` names a tag: it is the same for the tag of a text and for that of its translation.
        """
        waiting: dict[str, list[int]] = {}
        for number, item in source.numbered.items():
            waiting.setdefault(key(item), []).append(number)
        numbers: dict[str, int] = {}
        for number, item in self.numbered.items():
            if not waiting.get(key(item)):
                return None
            numbers[str(number)] = waiting[key(item)].pop(0)
        if any(waiting.values()):
            return None

        def renumbered(found: re.Match[str]) -> str:
            if found[2]:
                return found[2]
            return f'<g id="{numbers[found[1]]}">' if found[1] else f'<x id="{numbers[found[3]]}"/>'

        return _CODE.sub(renumbered, self.text)

    def walk(self, translation: str) -> Iterator[Item | str]:
        """The texts and the tags of a translation, in its order.

        Raises `DataError` for a translation that has other tags than the text, or does not nest them. Of a pair that
        overlaps another the half that opens comes first, wherever the translation has the two.
        """
        codes = [found[0] for found in _CODE.finditer(translation)]
        if not same_tags([found[0] for found in _CODE.finditer(self.text)], codes):
            raise DataError(f"a translation lost inline tags of {self.text[:80]!r}: {translation[:80]!r}")
        stack, at = list[int](), 0
        partner, seen = self._overlapping(), set[int]()
        for found in _CODE.finditer(translation):
            if found.start() > at:
                yield translation[at : found.start()]
            at = found.end()
            if found[2]:
                yield self._closes[stack.pop()]
            elif found[1]:
                stack.append(int(found[1]))
                yield self._opens[stack[-1]]
            else:
                number = int(found[3])
                two = number, partner.get(number, number)
                yield self._singles[max(two) if two[1] in seen else min(two)]
                seen.add(number)
        if at < len(translation):
            yield translation[at:]

    def _overlapping(self) -> dict[int, int]:
        """The two halves of each pair that overlaps another, each with the number of its other half."""
        opened, found = dict[str, int](), dict[int, int]()
        for number, item in self._singles.items():
            if item.half == "open":
                opened[item.value] = number
            elif item.half == "close" and item.value in opened:
                other = opened.pop(item.value)
                found |= {number: other, other: number}
        return found

    def edit(self, translation: str, escape: Callable[[str], str]) -> list[Edit]:
        """The edit for a translation, none where it is the text itself; `escape` writes plain text in the format."""
        if translation == self.text:
            return []
        pieces: list[Piece] = [
            escape(part) if isinstance(part, str) else (part.start, part.end) for part in self.walk(translation)
        ]
        return [Edit(self.start, self.end, tuple(pieces))]


def _paired(items: Sequence[Item]) -> list[Item]:
    """`items` in which each half of a pair without its other half stands alone."""
    result = list(items)
    stack: list[int] = []
    waiting: Counter[str] = Counter()
    for number, item in enumerate(items):
        if item.kind == "open":
            stack.append(number)
            waiting[item.value] += 1
        elif item.kind == "close":
            if not waiting[item.value]:
                result[number] = _alone(item)
                continue
            while items[stack[-1]].value != item.value:
                lost = stack.pop()
                waiting[items[lost].value] -= 1
                result[lost] = _alone(items[lost])
            stack.pop()
            waiting[item.value] -= 1
    for lost in stack:
        result[lost] = _alone(items[lost])
    return result


def _alone(item: Item) -> Item:
    """Half of a pair as a tag that stands alone."""
    return replace(item, kind="single", half=item.kind)


def text_items(start: int, raw: str, decode: Callable[[str], str]) -> list[Item]:
    """The plain text `raw` at `start` as items, white space at its ends apart; `decode` gives what it stands for."""
    found = _ENDS.fullmatch(raw)
    assert found
    items = []
    for group in (1, 2, 3):
        if found[group]:
            begin, end = (start + place for place in found.span(group))
            items.append(Item("text", begin, end, decode(found[group])))
    return items


def _inner(items: list[Item], trim: bool, keep_singles: bool) -> list[Item]:
    """`items` without tags that stand before or after all text, or around it, and white space beside them."""
    partner = _partners(items)
    low, high = 0, len(items) - 1
    while low <= high:
        first, last = items[low], items[high]
        if _is_outer(first, trim, keep_singles):
            low += 1
        elif _is_outer(last, trim, keep_singles):
            high -= 1
        elif first.kind == "open" and partner[low] == high:
            low, high = low + 1, high - 1
        elif first.kind == "open" and partner[low] == low + 1:
            low += 2
        else:
            break
    return items[low : high + 1]


def _is_outer(item: Item, trim: bool, keep_singles: bool) -> bool:
    if item.kind == "text":
        return trim and not item.value.strip(_SPACES)
    return item.kind == "single" and not keep_singles


def _partners(items: Sequence[Item]) -> dict[int, int]:
    """For each opening tag the index of the one that closes it."""
    partner, stack = dict[int, int](), list[int]()
    for number, item in enumerate(items):
        if item.kind == "open":
            stack.append(number)
        elif item.kind == "close":
            partner[stack.pop()] = number
    return partner
