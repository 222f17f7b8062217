"""Inline codes of a pair of texts, such as `<bpt>` of TMX and `<g>` of XLIFF: dropped, or kept as tags.

Kept tags are those that documents have, numbered in the order of the source, `<g id="1">` and `<x id="2"/>`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from translora.documents.inline import Inline, Item
from translora.languages import UNSPACED

CODE, HALF = "\ufdd1", "\ufdd2"
"""A dropped code, and one that is half of a pair, until the text on both sides of it is known."""
_DROPPED = re.compile(rf"\s*(?:[{CODE}{HALF}]\s*)+")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def tagged(source: Sequence[Item], target: Sequence[Item], key: Callable[[Item], str]) -> tuple[str, str] | None:
    """A text and its translation with their codes as tags; None where their codes differ, or one looks like a tag.

    `key` names a code: it is the same for that of a text and for that of its translation.
    """
    sides = [Inline(items, keep_singles=True) for items in (source, target)]
    kept = sides[1].text_as_in(sides[0], key)
    return None if kept is None or any(one.ambiguous for one in sides) else (sides[0].text, kept)


def untagged(items: Sequence[Item]) -> str:
    """A text without its codes, which join no words."""
    return closed("".join(map(_marked, items)))


def _marked(item: Item) -> str:
    return item.value if item.kind == "text" else CODE if item.kind == "single" else HALF


def closed(text: str) -> str:
    """`text` without its marks of dropped codes: the words on both sides stay apart, by one white space."""
    return _DROPPED.sub(_gap, text)


def _gap(found: re.Match[str]) -> str:
    """The replacement of dropped codes: the white space beside them, or a space between two words."""
    if white := re.search(r"\s+", found[0]):
        return white[0]
    left, right = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    if not left or not right or _UNSPACED.match(left) or _UNSPACED.match(right):
        return ""
    if _in_word(left) and _in_word(right):
        return " "
    alone = CODE in found[0]
    return " " if alone and ((left in ".,;:!?…)" and _in_word(right)) or (_in_word(left) and right in "(„«“")) else ""


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
