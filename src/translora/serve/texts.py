"""Texts as clients send them, taken apart into lines to translate, and put together again around them.

Knows line breaks and tags; knows nothing of models. All that is not translated stays as it was, to the character.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_BREAK = re.compile(r"(\r\n|\r|\n)")
_KEPT = ("script", "style", "code", "pre", "kbd", "samp", "var")
"""Elements whose text is not translated."""
_NAME = re.compile(r"</?([A-Za-z][^\s/>]*)")
_UNTRANSLATED = re.compile(r"""\stranslate\s*=\s*["']?no\b|\sclass\s*=\s*(["'])[^"']*\bnotranslate\b""", re.IGNORECASE)
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())  # noqa: SIM905


@dataclass(frozen=True)
class Piece:
    """A part of a text."""

    text: str
    translated: bool
    """Whether it is to be translated, or stays."""
    escaped: bool = False
    """Whether it is written with HTML's entities."""


def lines_of(text: str) -> list[Piece]:
    """The lines of a text, and the breaks between them."""
    parts = _BREAK.split(text)
    return [Piece(part, number % 2 == 0 and bool(part.strip())) for number, part in enumerate(parts) if part]


def nodes_of(text: str) -> list[Piece]:
    """The text nodes of HTML or XML, without the spaces around them, and what is between them: tags, comments, code."""
    pieces: list[Piece] = []
    kept: list[str] = []
    for part, is_tag in _tags(text):
        if is_tag:
            _follow(part, kept)
        if is_tag or kept or not part.strip():
            pieces.append(Piece(part, False))
            continue
        for line in lines_of(part):
            core = line.text.strip()
            worth = any(map(str.isalpha, html.unescape(core)))  # a lone comma between two tags stays as it is
            before, after = line.text.split(core, 1) if worth else (line.text, "")
            pieces.append(Piece(before, False))
            if worth:
                pieces += [Piece(html.unescape(core), True, True), Piece(after, False)]
    return [piece for piece in pieces if piece.text]


def restored(pieces: Sequence[Piece], translations: Iterator[str]) -> str:
    """The text of `pieces`, each that is to be translated replaced by the next of `translations`."""
    done = []
    for piece in pieces:
        if piece.translated:
            text = next(translations)
            done.append(html.escape(text, quote=False) if piece.escaped else text)
        else:
            done.append(piece.text)
    return "".join(done)


def _tags(text: str) -> Iterator[tuple[str, bool]]:
    """`text` in parts: each a tag, comment or declaration (True), or what is between two of them (False)."""
    begin, place = 0, text.find("<")
    while place >= 0:
        end = _tag_end(text, place)
        if end < 0:
            break
        if end > place:
            if begin < place:
                yield text[begin:place], False
            yield text[place:end], True
            begin = end
        place = text.find("<", max(end, place + 1))
    if begin < len(text):
        yield text[begin:], False


def _tag_end(text: str, place: int) -> int:
    """Where the tag at `place` ends; `place` itself where none begins there, -1 where it never ends."""
    for opening, closing in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")):
        if text.startswith(opening, place):
            found = text.find(closing, place + len(opening))
            return found + len(closing) if found >= 0 else -1
    following = text[place + 1 : place + 3].lstrip("/")[:1]
    if not (following.isascii() and following.isalpha()) and text[place + 1 : place + 2] != "!":
        return place
    quote = ""
    for end in range(place + 1, len(text)):
        letter = text[end]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and text[end - 1] in "= \t\n":
            quote = letter
        elif letter == ">":
            return end + 1
    return -1


def _follow(tag: str, kept: list[str]) -> None:
    """Keep count, in `kept`, of the elements around that are not translated."""
    found = _NAME.match(tag)
    if not found:
        return
    name = found[1].lower()
    if tag.startswith("</"):
        if name in kept:
            del kept[len(kept) - 1 - kept[::-1].index(name) :]
    elif name not in _VOID and not tag.endswith("/>") and (kept or name in _KEPT or _UNTRANSLATED.search(tag)):
        kept.append(name)
