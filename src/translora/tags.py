"""Tags of XML and HTML in a text: which ones it holds, and whether a translation keeps them.

Knows strings; knows no format of documents and no model. Whatever protects or checks tags finds and compares them here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set

TAG = r"""</?[A-Za-z_][\w:.-]*(?:\s(?:[^<>"']|"[^"<]*"|'[^'<]*')*)?/?>|</?[A-Za-z_][^<>]*>|</?\d{1,3}/?>"""
"""A regular expression without groups: a tag with attributes, anything else in `<` and `>` such as `<max@example.org>`,
or a numbered tag such as `<1>`. What follows a digit, as in `1 <2 and 3> 2`, is no tag.
"""
VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])
"""Elements of HTML that have no end tag."""
_FOUND = re.compile(TAG)
_QUOTES = frozenset('"„“”«»')
_NAME = re.compile(rf"(?=(?:{TAG})\Z)<(/?[^\s/<>]+)")


def tags(text: str) -> list[str]:
    """The tags of a text, in order."""
    return _FOUND.findall(text) if "<" in text else []


def name_of(tag: str) -> str:
    """The name of a tag, after a slash where it is an end tag: `/b` of `</b>`; "" for what is no tag."""
    found = _NAME.match(tag)
    return found[1] if found else ""


def unmatched(originals: Iterable[str], alone: bool = False) -> list[str]:
    """The start and end tags that close nothing and are closed by nothing within `originals`, in order.

    Where it is the same for two texts, each nests where the other does, whatever comes before and after. Elements
    without an end tag do not count, and neither does what is no tag. With `alone`, a start tag whose name no end tag
    has does not count either: nothing comes after, and it stands alone, as `<Name>` does.
    """
    names = [(name_of(one), one.endswith("/>")) for one in originals]
    closed = {name[1:] for name, _ in names if name.startswith("/")}
    found: list[str] = []
    for name, empty in names:
        if not name or empty or name.lower() in VOID or (alone and name[0] != "/" and name not in closed):
            continue
        if name[0] == "/" and found and found[-1] == name[1:]:
            found.pop()
        else:
            found.append(name)
    return [f"<{name}>" for name in found]


def same_tags(source: Sequence[str], translation: Sequence[str], alone: bool = False) -> bool:
    """Whether a translation has each of the tags, or other strings, of its source as often, and nests them alike.

    `alone` is as for `unmatched`: for a whole text, not for a part of one.
    """
    if Counter(source) != Counter(translation):
        return False
    return source == translation or unmatched(source, alone) == unmatched(translation, alone)


def edges_as_in(source: str, translation: str) -> str:
    """`translation` without spaces just within its pairs of tags where `source` has none there.

    `Open <b> File</b>` for `<b>Datei</b> öffnen` becomes `Open <b>File</b>`. Such a space goes to the other side of the
    tag. It is left out where none belongs there: beside another space, at the ends, after a bracket that opens, before
    a comma, a full stop or a bracket that closes, and beside a quotation mark, hyphen or slash that is directly there
    in `source` too. No other character moves.
    """
    found = [one for one in _FOUND.finditer(source) if not one[0].endswith("/>")]
    names = {name_of(one[0]) for one in found}
    both = {name for name in names if f"/{name}" in names}
    paired = {one[0] for one in found if name_of(one[0]).removeprefix("/") in both}
    loose = {one[0] for one in found if _neighbours(source, one)[0].isspace()}
    if not (tight := paired - loose):
        return translation
    beside = {(one[0], kind) for one in found if (kind := _kind(_neighbours(source, one)[1]))}
    return _tight_ends(_tight_starts(translation, tight, beside), tight, beside)


def _neighbours(text: str, tag: re.Match[str]) -> tuple[str, str]:
    """The characters next to one of a pair of tags, within the pair and outside, or ""."""
    before, after = text[: tag.start()][-1:], text[tag.end() :][:1]
    return (before, after) if tag[0].startswith("</") else (after, before)


def _kind(sign: str) -> str:
    """A sign that may stand directly beside a tag, any quotation mark as one; "" for others."""
    if sign in _QUOTES:
        return '"'
    return sign if sign in ("-", "/") else ""


def _tight_starts(text: str, tight: Set[str], beside: Set[tuple[str, str]]) -> str:
    for one in reversed(list(_FOUND.finditer(text))):
        before, after = text[: one.start()], text[one.end() :]
        if one[0] in tight and not one[0].startswith("</") and after.startswith(" "):
            sign = before[-1:]
            joined = not sign.strip() or sign in "([{" or (one[0], _kind(sign)) in beside
            text = f"{before}{'' if joined else ' '}{one[0]}{after.lstrip(' ')}"
    return text


def _tight_ends(text: str, tight: Set[str], beside: Set[tuple[str, str]]) -> str:
    done, rest = "", text
    while one := _FOUND.search(rest):
        done, rest = done + rest[: one.start()], rest[one.end() :]
        if one[0] in tight and one[0].startswith("</") and done.endswith(" "):
            sign = rest[:1]
            ends = sign in ",.…)]}" and not rest[1:2].isalnum()
            joined = not sign.strip() or ends or (one[0], _kind(sign)) in beside
            done, rest = done.rstrip(" "), f"{'' if joined else ' '}{rest}"
        done += one[0]
    return done + rest
