"""XLIFF 1.2 and 2.x: the targets of units that have none are filled in, with the state as each version has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from translora.documents.document import Edit, Encoded, Lines, Options, Piece, Segment, Slot, Spliced
from translora.documents.inline import Inline
from translora.documents.markup import Token, checked_xml, collapsed, element_end, escaped, inline_items, tokens
from translora.errors import DataError

_WHOLE = {"ph", "it", "bpt", "ept", "sub", "x", "bx", "ex", "sc", "ec", "cp"}
"""Inline elements that are one tag with all that is in them."""
_OPEN_STATES = {"new", "needs-translation", "initial"}
"""States of targets that are no translations yet."""
_STATES = {
    False: ' state="needs-review-translation" state-qualifier="leveraged-mt"',
    True: ' state="translated"',
}
"""XLIFF 1.2's attributes of a target, by whether it counts as reviewed."""


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read XLIFF; units with `translate="no"` are left. Raises `DataError` for any other XML."""
    source = checked_xml(data, name)
    found = list(tokens(source.text))
    root = next((token for token in found if token.kind in ("open", "empty")), None)
    if root is None or root.local != "xliff":
        raise DataError(f"{name}: not XLIFF (its root is {root.name if root else 'missing'}): give an XLIFF file")
    second = root.attributes().get("version", "1.2").startswith("2")
    lines, slots = Lines(source.text), list[Slot]()
    for unit in _units(found, "segment" if second else "trans-unit"):
        slots += _Unit(source, unit, second, options).slots(lines)
    return Spliced(name, source, slots, "xmlcharrefreplace")


def _units(found: Sequence[Token], name: str) -> Iterator[Sequence[Token]]:
    """The tokens of each unit that is to be translated, its own tags included."""
    allowed = [True]
    number = 0
    while number < len(found):
        token = found[number]
        if token.kind == "open":
            own = token.attributes().get("translate")
            allowed.append(allowed[-1] if own is None else own != "no")
            if token.local == name:
                end = element_end(found, number)
                if allowed[-1]:
                    yield found[number : end + 1]
                allowed.pop()
                number = end
        elif token.kind == "close" and len(allowed) > 1:
            allowed.pop()
        number += 1


@dataclass
class _Part:
    """A child of a unit: its first and last tag, and the tokens between."""

    first: Token
    last: Token
    inside: Sequence[Token]


class _Unit:
    """A `trans-unit` of XLIFF 1.2, or a `segment` of 2.x."""

    def __init__(self, source: Encoded, found: Sequence[Token], second: bool, options: Options) -> None:
        self._text, self._found, self._second, self._options = source.text, found, second, options

    def slots(self, lines: Lines) -> Iterator[Slot]:
        """The slot of the unit; none where it has no text."""
        source, target = self._part("source"), self._part("target")
        if source is None:
            return
        wording = self._part("seg-source") or source
        inline = Inline(inline_items(wording.inside, collapsed, lambda token: token.local in _WHOLE), keep_singles=True)
        if not inline.text or inline.ambiguous:
            return
        unit = self._found[0].attributes()
        state = (unit if self._second else target.first.attributes() if target else {}).get("state", "")
        done = target is not None and bool(target.inside) and state not in _OPEN_STATES
        note = unit.get("id", "")
        yield Slot(
            Segment(inline.text, lines.at(source.first.start), done, note), self._writer(inline, wording, target)
        )

    def _part(self, name: str) -> _Part | None:
        """A child of the unit itself, not of its `alt-trans`."""
        number = 1
        while number < len(self._found) - 1:
            token = self._found[number]
            end = element_end(self._found, number)
            if token.local == name and token.kind in ("open", "empty"):
                return _Part(token, self._found[end], self._found[number + 1 : end])
            number = end + 1
        return None

    def _writer(self, inline: Inline, wording: _Part, target: _Part | None) -> Callable[[str], list[Edit]]:
        first, last = wording.first, wording.last

        def edits(translation: str) -> list[Edit]:
            content: list[Piece] = [(first.end, inline.start)]
            content += [
                escaped(part) if isinstance(part, str) else (part.start, part.end) for part in inline.walk(translation)
            ]
            content.append((inline.end, last.start))
            return [*self._state(), self._target(content, wording, target)]

        return edits

    def _target(self, content: list[Piece], wording: _Part, target: _Part | None) -> Edit:
        """The edit that puts `content` in the target, which is made where it is missing."""
        name = wording.first.name.removesuffix("seg-source").removesuffix("source") + "target"
        if target is None:
            state = "" if self._second else _STATES[self._options.reviewed]
            before = self._text[: wording.first.start]
            space = before[len(before.rstrip(" \t\r\n")) :]
            at = wording.last.end
            return Edit(at, at, (f"{space}<{name}{state}>", *content, f"</{name}>"))
        tag = self._opening(target.first)
        return Edit(target.first.start, target.last.end, (tag, *content, f"</{target.first.name}>"))

    def _opening(self, tag: Token) -> str:
        """The opening tag of a target that was there, with its new state."""
        kept = tag.raw.rstrip(">").rstrip("/").rstrip()
        if self._second:
            return f"{kept}>"
        for name in ("state-qualifier", "state"):
            place = tag.attribute_place(name)
            if place:
                start, end = place[0] - tag.start, place[1] - tag.start
                cut = kept.rfind(name, 0, start)
                kept = kept[:cut].rstrip() + kept[end + 1 :]
                tag = Token(tag.kind, tag.start, tag.end, tag.name, kept)
        return f"{kept}{_STATES[self._options.reviewed]}>"

    def _state(self) -> list[Edit]:
        """XLIFF 2.x has the state at the segment: translated, and not yet reviewed unless that is asked for."""
        if not self._second:
            return []
        unit, state = self._found[0], "reviewed" if self._options.reviewed else "translated"
        if place := unit.attribute_place("state"):
            return [Edit(*place, (state,))]
        at = unit.start + 1 + len(unit.name)
        return [Edit(at, at, (f' state="{state}"',))]
