"""XLIFF 1.2 and 2.x: the targets of units that have none are filled in, with the state as each version has it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape

from translora.documents.document import AUTHOR, Commenter, Edit, Encoded, Lines, Options, Piece, Segment, Slot, Spliced
from translora.documents.inline import Inline, Item
from translora.documents.markup import (
    Token,
    collapsed,
    element_end,
    escaped,
    inline_items,
    keeps_space,
    read_xml,
    space_before,
)
from translora.errors import DataError

_WHOLE = {"ph", "it", "bpt", "ept", "sub", "x", "bx", "ex", "sc", "ec", "cp"}
"""Inline elements that are one tag with all that is in them."""
_OPEN_STATES = {"new", "needs-translation", "initial"}
"""States of targets that are no translations yet."""
_UNFINISHED = _OPEN_STATES | {
    "needs-adaptation", "needs-l10n", "needs-review-adaptation", "needs-review-l10n", "needs-review-translation",
}  # fmt: skip
"""States of targets that nobody learns from."""
_CONFIRMED = {"Translated", "ApprovedTranslation", "ApprovedSignOff"}
_STATES = {
    False: ' state="needs-review-translation" state-qualifier="leveraged-mt"',
    True: ' state="translated"',
}
"""XLIFF 1.2's attributes of a target, by whether it counts as reviewed."""


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read XLIFF; units with `translate="no"` are left. Raises `DataError` for any other XML."""
    source, found, second = _root(data, name)
    lines, slots = Lines(source.text), list[Slot]()
    notes = _second_notes(source.text, found) if second else {}
    head = _target_language(found, options) if second else []
    for unit, keep in _units(found, "segment" if second else "trans-unit"):
        slots += _Unit(source, unit, second, options, head, keep).slots(lines, notes.get(unit[0].start))
    return Spliced(name, source, slots, "xmlcharrefreplace")


def _root(data: bytes, name: str) -> tuple[Encoded, list[Token], bool]:
    """The text of an XLIFF file, its tokens, and whether it is of version 2."""
    source, found = read_xml(data, name)
    root = next((token for token in found if token.kind in ("open", "empty")), None)
    if root is None or root.local != "xliff":
        raise DataError(f"{name}: not XLIFF (its root is {root.name[:40] if root else 'missing'}): give an XLIFF file")
    return source, found, root.attributes().get("version", "1.2").startswith("2")


def _units(found: Sequence[Token], name: str) -> Iterator[tuple[Sequence[Token], bool]]:
    """The tokens of each unit that is to be translated, its own tags included, and whether its white space counts."""
    around = [(True, False)]
    number = 0
    while number < len(found):
        token = found[number]
        if token.kind == "open":
            own = token.attributes().get("translate")
            allowed, keeps = around[-1]
            around.append((allowed if own is None else own != "no", keeps_space(token, keeps)))
            if token.local == name:
                end = element_end(found, number)
                allowed, keeps = around.pop()
                if allowed:
                    yield found[number : end + 1], keeps
                number = end
        elif token.kind == "close" and len(around) > 1:
            around.pop()
        number += 1


@dataclass(frozen=True)
class Bilingual:
    """A text with its translation, as the tokens inside both elements."""

    line: int
    languages: tuple[str, str]
    """The codes of the file, or of the part of it that the unit is in; empty where it states none."""
    source: Sequence[Item]
    target: Sequence[Item]
    """Empty where there is no translation."""
    done: bool
    """Whether the translation is finished by its state, or by its confirmation in SDLXLIFF."""


def bilingual(data: bytes, name: str) -> tuple[str, list[Bilingual]]:
    """The text of an XLIFF file and its units; those that SDLXLIFF divides into segments are their segments.

    Raises `DataError` as `read` does.
    """
    source, found, second = _root(data, name)
    lines, units = Lines(source.text), list[Bilingual]()
    ends = ("srcLang", "trgLang") if second else ("source-language", "target-language")
    holders = [token for token in found if token.kind == "open" and token.local == ("xliff" if second else "file")]
    starts = [token.start for token in holders]
    for tokens_of, _ in _units(found, "segment" if second else "trans-unit"):
        holder = holders[max(0, bisect_right(starts, tokens_of[0].start) - 1)] if holders else found[0]
        attributes = holder.attributes()
        languages = attributes.get(ends[0], ""), attributes.get(ends[1], "")
        units += _Unit(source, tokens_of, second, Options()).bilingual(lines, languages)
    return source.text, units


@dataclass
class _Part:
    """A child of a unit: its first and last tag, and the tokens between."""

    first: Token
    last: Token
    inside: Sequence[Token]


def _items(inside: Sequence[Token], decode: Callable[[str], str] = collapsed) -> list[Item]:
    return inline_items(inside, decode, lambda token: token.local in _WHOLE)


def _segments(inside: Sequence[Token]) -> dict[str, Sequence[Token]]:
    """The content of each `mrk` of the type `seg`, by its number; all of it where there is none."""
    found: dict[str, Sequence[Token]] = {}
    for number, token in enumerate(inside):
        if token.local == "mrk" and token.kind == "open" and token.attributes().get("mtype") == "seg":
            found[token.attributes().get("mid", "")] = inside[number + 1 : element_end(inside, number)]
    return found or {"": inside}


def _confirmed(unit: Sequence[Token]) -> dict[str, bool]:
    """Which segments a translator has confirmed, where the unit of an SDLXLIFF file says so."""
    segments = (token.attributes() for token in unit if token.name == "sdl:seg" and token.kind != "close")
    return {one.get("id", ""): one.get("conf", "") in _CONFIRMED for one in segments}


class _Unit:
    """A `trans-unit` of XLIFF 1.2, or a `segment` of 2.x."""

    def __init__(
        self,
        source: Encoded,
        found: Sequence[Token],
        second: bool,
        options: Options,
        head: Sequence[Edit] = (),
        keep: bool = False,
    ) -> None:
        """`head` are edits of the file itself, which any translation makes; with `keep` line breaks count."""
        self._text, self._found, self._second, self._options, self._head = source.text, found, second, options, head
        self._keep = keep

    def slots(self, lines: Lines, commenter: Commenter | None = None) -> Iterator[Slot]:
        """The slot of the unit; none where it has no text. `commenter` is that of the unit of a segment of 2.x."""
        source, target = self._part("source"), self._part("target")
        if source is None:
            return
        wording = self._part("seg-source") or source
        keep = keeps_space(wording.first, keeps_space(source.first, self._keep))
        decode = unescape if keep else collapsed
        inline = Inline(_items(wording.inside, decode), keep_singles=True)
        if not inline.text or inline.ambiguous:
            return
        done = target is not None and bool(target.inside) and self._target_state(target) not in _OPEN_STATES
        note = self._found[0].attributes().get("id", "")
        segment = Segment(inline.text, lines.at(source.first.start), done, note)
        commenter = commenter or self._commenter(target or wording)
        yield Slot(segment, self._writer(inline, wording, target), commenter)

    def _target_state(self, target: _Part | None) -> str:
        holder = self._found[0] if self._second else target.first if target else None
        return holder.attributes().get("state", "") if holder else ""

    def bilingual(self, lines: Lines, languages: tuple[str, str]) -> Iterator[Bilingual]:
        """The unit, or each of its segments, as a text with its translation."""
        source, target = self._part("source"), self._part("target")
        if source is None:
            return
        line, state = lines.at(source.first.start), self._target_state(target)
        divided, confirmed = self._part("seg-source"), _confirmed(self._found)
        translated = _segments(target.inside) if target else {}
        for number, inside in (_segments(divided.inside) if divided else {}).items():
            done = state not in _UNFINISHED and confirmed.get(number, not confirmed)
            yield Bilingual(line, languages, _items(inside), _items(translated.get(number, [])), done)
        if divided is None:
            done = state not in _UNFINISHED
            yield Bilingual(line, languages, _items(source.inside), _items(target.inside) if target else [], done)

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
            return [*self._head, *self._state(), self._target(content, wording, target)]

        return edits

    def _commenter(self, last: _Part) -> Commenter:
        """A note of XLIFF 1.2 after the target, which itself comes after `last` where it is missing."""
        note = last.first.name.removesuffix("seg-source").removesuffix("source").removesuffix("target") + "note"
        old = _notes(self._found, "from")
        space = space_before(self._text, last.first.start)

        def edits(comments: Sequence[str]) -> list[Edit]:
            written = [f'<{note} from="{AUTHOR}">{escaped(one)}</{note}>' for one in comments]
            return _replaced(old, last.last.end, [f"{space}{one}" for one in written], written)

        return edits

    def _target(self, content: list[Piece], wording: _Part, target: _Part | None) -> Edit:
        """The edit that puts `content` in the target, which is made where it is missing."""
        name = wording.first.name.removesuffix("seg-source").removesuffix("source") + "target"
        own = ' xml:space="preserve"' if keeps_space(wording.first, False) else ""
        if target is None:
            state = ("" if self._second else _STATES[self._options.reviewed]) + own
            space = space_before(self._text, wording.first.start)
            at = wording.last.end
            return Edit(at, at, (f"{space}<{name}{state}>", *content, f"</{name}>"))
        tag = self._opening(target.first)
        if "xml:space" not in target.first.attributes():
            tag = f"{tag[:-1]}{own}>"
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
        """XLIFF 2.x has the state at the segment: translated, and not yet reviewed unless that is asked for.

        A `subState` is of the state that was, and is dropped with it.
        """
        if not self._second:
            return []
        unit, state = self._found[0], "reviewed" if self._options.reviewed else "translated"
        edits = []
        if place := unit.attribute_place("subState"):
            start = unit.raw.rindex("subState", 0, place[0] - unit.start)
            start = len(unit.raw[:start].rstrip())
            edits.append(Edit(unit.start + start, place[1] + 1, ()))
        if place := unit.attribute_place("state"):
            return [*edits, Edit(*place, (state,))]
        return [*edits, _attribute(unit, f' state="{state}"')]


def _attribute(tag: Token, written: str) -> Edit:
    """The edit that adds an attribute to a tag."""
    at = tag.start + 1 + len(tag.name)
    return Edit(at, at, (written,))


def _target_language(found: Sequence[Token], options: Options) -> list[Edit]:
    """What names the language of the targets in a file of XLIFF 2.x that does not: it must where it has any."""
    root = next(token for token in found if token.kind in ("open", "empty"))
    if not options.target or "trgLang" in root.attributes():
        return []
    return [_attribute(root, f' trgLang="{options.target}"')]


def _second_notes(text: str, found: Sequence[Token]) -> dict[int, Commenter]:
    """What writes the notes of XLIFF 2.x, by the places of the segments: notes belong to the unit around them."""
    commenters: dict[int, Commenter] = {}
    number = 0
    while number < len(found):
        token = found[number]
        if token.local == "unit" and token.kind == "open":
            end = element_end(found, number)
            commenter = _unit_commenter(text, found[number : end + 1])
            segments = (one.start for one in found[number:end] if one.local == "segment" and one.kind == "open")
            commenters |= dict.fromkeys(segments, commenter)
            number = end
        number += 1
    return commenters


def _unit_commenter(text: str, unit: Sequence[Token]) -> Commenter:
    old = _notes(unit, "category")
    ends = [one for one in unit if one.local == "notes" and one.kind == "close"]
    first = next((one for one in unit[1:] if one.local in ("originalData", "segment", "ignorable", "notes")), unit[-1])
    prefix, space = unit[0].name.removesuffix("unit"), space_before(text, first.start)

    def edits(comments: Sequence[str]) -> list[Edit]:
        notes = [f'<{prefix}note category="{AUTHOR}">{escaped(one)}</{prefix}note>' for one in comments]
        if not old and not ends:
            notes = [f"<{prefix}notes>", *notes, f"</{prefix}notes>{space}"]
        return _replaced(old, ends[0].start if ends else first.start, notes, notes)

    return edits


def _notes(unit: Sequence[Token], attribute: str) -> list[tuple[int, int]]:
    """The places of the notes that an earlier start left, by the `attribute` that names their author."""
    return [
        (token.start, unit[element_end(unit, number)].end)
        for number, token in enumerate(unit)
        if token.local == "note" and token.kind == "open" and token.attributes().get(attribute) == AUTHOR
    ]


def _replaced(old: Sequence[tuple[int, int]], at: int, new: Sequence[str], in_place: Sequence[str]) -> list[Edit]:
    """The edits that put `in_place` for the first of the `old` notes and drop the rest; without any, `new` at `at`."""
    if not old:
        return [Edit(at, at, ("".join(new),))]
    return [Edit(*old[0], ("".join(in_place),)), *(Edit(*place, ()) for place in old[1:])]
