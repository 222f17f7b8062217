"""TMX to fill: units that have the source language and lack the target get a translation.

White space and line breaks of a `seg` are its text's (TMX 1.4b, Content Markup).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import unescape

from translora.documents.document import Edit, Encoded, Lines, Options, Piece, Segment, Slot, Spliced
from translora.documents.inline import Inline
from translora.documents.markup import Token, element_end, escaped, inline_items, read_xml, space_before
from translora.errors import DataError
from translora.languages import matching_languages

_WHOLE = {"ph", "it", "bpt", "ept", "ut"}


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read TMX; raises `DataError` for other XML, and where no unit has the source language."""
    source, found = read_xml(data, name)
    root = next((token for token in found if token.kind in ("open", "empty")), None)
    if root is None or root.local != "tmx":
        raise DataError(f"{name}: not TMX (its root is {root.name[:40] if root else 'missing'}): give a TMX file")
    codes = {_language(token): None for token in found if token.kind == "open" and token.local == "tuv"}
    asked = [
        matching_languages(code, dict.fromkeys(codes)) if code else [] for code in (options.source, options.target)
    ]
    if codes and not asked[0]:
        found_codes = ", ".join(list(codes)[:8])[:200]
        raise DataError(f"{name}: no unit in {options.source}; it has {found_codes}: give --source")
    lines, slots, number = Lines(source.text), list[Slot](), 0
    while number < len(found):
        if found[number].local == "tu" and found[number].kind == "open":
            end = element_end(found, number)
            slots += _unit(source, found[number : end + 1], asked, lines, options)
            number = end
        number += 1
    return Spliced(name, source, slots, "xmlcharrefreplace")


def _language(token: Token) -> str:
    attributes = token.attributes()
    return attributes.get("xml:lang") or attributes.get("lang") or ""


def _unit(
    source: Encoded, found: Sequence[Token], asked: list[list[str]], lines: Lines, options: Options
) -> Iterator[Slot]:
    variants = _variants(found)
    first, second = (next((variants[code] for code in codes if code in variants), None) for codes in asked)
    if first is None or first == second:
        return
    wording = _segment(found, first)
    if wording is None:
        return
    inside = found[wording[0] + 1 : wording[1]]
    inline = Inline(inline_items(inside, unescape, lambda token: token.local in _WHOLE), keep_singles=True)
    if not inline.text or inline.ambiguous:
        return
    place = _segment(found, second) if second is not None else None
    if second is not None and place is None:
        return
    done = place is not None and place[1] - place[0] > 1
    tuv = (found[first], found[element_end(found, first)])
    ends = (found[wording[0]], found[wording[1]])
    target = (found[place[0]], found[place[1]]) if place else None
    writer = _writer(source.text, inline, (tuv, ends, target), options.target)
    yield Slot(Segment(inline.text, lines.at(inline.start), done), writer)


def _variants(found: Sequence[Token]) -> dict[str, int]:
    """The index of the opening tag of each variant of a unit, by language; what is inside of one is none."""
    variants: dict[str, int] = {}
    number = 0
    while number < len(found):
        if found[number].local == "tuv" and found[number].kind == "open":
            variants[_language(found[number])] = number
            number = element_end(found, number)
        number += 1
    return variants


def _segment(found: Sequence[Token], tuv: int) -> tuple[int, int] | None:
    """The indices of the tags of a variant's `seg`."""
    for number in range(tuv + 1, element_end(found, tuv)):
        if found[number].local == "seg" and found[number].kind in ("open", "empty"):
            return number, element_end(found, number)
    return None


_Ends = tuple[Token, Token]


def _writer(
    text: str, inline: Inline, places: tuple[_Ends, _Ends, _Ends | None], language: str
) -> Callable[[str], list[Edit]]:
    tuv, ends, target = places

    def edits(translation: str) -> list[Edit]:
        content: list[Piece] = [(ends[0].end, inline.start)]
        content += [
            escaped(part) if isinstance(part, str) else (part.start, part.end) for part in inline.walk(translation)
        ]
        content.append((inline.end, ends[1].start))
        name = ends[0].name
        if target:
            return [Edit(target[0].start, target[1].end, (f"<{name}>", *content, f"</{name}>"))]
        space = space_before(text, tuv[0].start)
        at = tuv[1].end
        head = f'{space}<{tuv[0].name} xml:lang="{language}"><{name}>'
        return [Edit(at, at, (head, *content, f"</{name}></{tuv[0].name}>"))]

    return edits
