"""Texts as clients send them, taken apart into lines to translate, and put together again around them.

Knows line breaks and tags; knows nothing of models. All that is not translated stays as it was, to the character.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from translora.documents.markup import Token, html_tokens, stays, tokens
from translora.tags import VOID

_BREAK = re.compile(r"(\r\n|\r|\n)")
_RAW = ("script", "style")
"""Elements that hold no tags."""
_KEPT = (*_RAW, "code", "pre", "kbd", "samp", "var")
"""Elements whose text is not translated."""
_INLINE = frozenset(
    "a abbr b bdi bdo big cite del dfn em font i img ins mark q s small span strong sub sup tt u wbr".split()  # noqa: SIM905
    + "g x bx ex ph bpt ept it mrk".split()  # of XLIFF  # noqa: SIM905
)
"""Elements that stand inside a sentence."""
_PLAIN = re.compile(r"""</?[A-Za-z_][\w:.-]*(?:\s(?:[^<>"']|"[^"<>]*"|'[^'<>]*')*)?/?>""")
"""A tag that is surely known as one inside a text."""
_NAME = re.compile(r"</?([A-Za-z][^\s/>]*)")


@dataclass(frozen=True)
class Piece:
    """A part of a text."""

    text: str
    translated: bool
    """Whether it is to be translated, or stays."""
    escaped: bool = False
    """Whether it is written with HTML's entities."""
    tags: tuple[str, ...] = ()
    """The tags inside it, which are no entities."""


def lines_of(text: str) -> list[Piece]:
    """The lines of a text, and between them the breaks and the white space at their ends."""
    pieces = []
    for part in _BREAK.split(text):
        core = part.strip()
        before, _, after = part.partition(core) if core else (part, "", "")
        pieces += [Piece(before, False), Piece(core, True), Piece(after, False)]
    return [piece for piece in pieces if piece.text]


def nodes_of(text: str, ignored: Collection[str] = ()) -> list[Piece]:
    """The texts of HTML or XML to translate, and what is between them: tags, comments, code, the spaces around.

    Tags inside a sentence, such as `<b>` and `<a href="...">`, are part of its text. The content of the elements
    `ignored` stays.
    """
    pieces: list[Piece] = []
    kept: list[str] = []
    run: list[_Part] = []
    found = list(html_tokens(text, _RAW))
    for token, after in zip_longest(found, found[1:]):
        outside, is_tag = bool(kept), token.kind != "text"
        _follow(token, kept)
        if token.kind == "open" and token.name in ignored and not (after and after.kind == "close"):
            kept.append(token.name)
        if not outside and not kept and (not is_tag or _is_inline(token.raw)):
            run.append((token.raw, is_tag))
            continue
        pieces += _run(run)
        run = []
        pieces.append(Piece(token.raw, False))
    return [piece for piece in [*pieces, *_run(run)] if piece.text]


def pieces_of(text: str, markup: bool, ignored: Collection[str] = ()) -> list[Piece]:
    """The pieces of a text: with `markup` as `nodes_of` gives them, else as `lines_of` does."""
    return nodes_of(text, ignored) if markup else lines_of(text)


def restored(pieces: Sequence[Piece], translations: Iterator[str]) -> str:
    """The text of `pieces`, each that is to be translated replaced by the next of `translations`."""
    return "".join(
        written(piece, Counter(piece.tags), next(translations)) if piece.translated else piece.text for piece in pieces
    )


def written(piece: Piece, tags: Counter[str], translation: str) -> str:
    """`translation` as it stands in place of `piece` or a part of it: with HTML's entities where the piece has them.

    `tags` are those that the piece may still have; the ones that `translation` has are taken from them.
    """
    return _escaped(tags, translation) if piece.escaped else translation


_Part = tuple[str, bool]
"""A part of a text, and whether it is a tag."""


def _run(parts: Sequence[_Part]) -> list[Piece]:
    """The pieces of text and inline tags without any other tag in between, line by line."""
    pieces: list[Piece] = []
    line: list[_Part] = []
    for part, is_tag in parts:
        for number, text in enumerate([part] if is_tag else _BREAK.split(part)):
            if number % 2:
                pieces += [*_line(line), Piece(text, False)]
                line = []
            elif text:
                line.append((text, is_tag))
    return [*pieces, *_line(line)]


def _line(parts: Sequence[_Part]) -> list[Piece]:
    """The pieces of one line of text and inline tags: the line as one text where nothing in it can be mistaken."""
    before, core, after = _core(parts)
    texts = [html.unescape(part) for part, is_tag in core if not is_tag]
    if not any(map(str.isalpha, "".join(texts))):  # a lone comma between two tags stays as it is
        return [Piece(part, False) for part, _ in parts]
    around = [Piece(before, False)], [Piece(after, False)]
    if len(core) > 1 and re.search("[<>&]", "".join(texts)):  # could be taken for a tag once it is no entity
        return [*around[0], *(piece for part in core for piece in _apart(part)), *around[1]]
    text = "".join(part if is_tag else html.unescape(part) for part, is_tag in core)
    tags = tuple(part for part, is_tag in core if is_tag)
    return [*around[0], Piece(text, True, True, tags), *around[1]]


def _apart(part: _Part) -> list[Piece]:
    return [Piece(part[0], False)] if part[1] else _line([part])


def _core(parts: Sequence[_Part]) -> tuple[str, list[_Part], str]:
    """What is before, in and after the text of a line.

    Outside are spaces, the tags of an element around all, and tags at the ends without a partner.
    """
    core, partners = list(parts), _partners(parts)
    before, after, first, last = "", "", 0, len(core) - 1
    while first <= last:
        (left, left_is_tag), (right, right_is_tag) = core[first], core[last]
        if not left_is_tag and left[:1].isspace():
            text = left.lstrip()
            before += left[: len(left) - len(text)]
            core[first] = text, False
            first += not text
        elif not right_is_tag and right[-1:].isspace():
            text = right.rstrip()
            after = right[len(text) :] + after
            core[last] = text, False
            last -= not text
        elif left_is_tag and partners.get(first, last) >= last:
            before += left
            first += 1
        elif right_is_tag and partners.get(last, -1) < first:
            after = right + after
            last -= 1
        else:
            break
    return before, core[first : last + 1], after


def _partners(parts: Sequence[_Part]) -> dict[int, int]:
    """The number of the end tag of each start tag among `parts`, and of the start tag of each end tag."""
    partners: dict[int, int] = {}
    opened: list[tuple[str, int]] = []
    for number, (part, is_tag) in enumerate(parts):
        name = _NAME.match(part) if is_tag else None
        if name is None or part.endswith("/>") or name[1].lower() in VOID:
            continue
        if not part.startswith("</"):
            opened.append((name[1], number))
        elif opened and opened[-1][0] == name[1]:
            _, start = opened.pop()
            partners |= {start: number, number: start}
    return partners


def _is_inline(tag: str) -> bool:
    """Whether a tag may stand inside a sentence."""
    found = _NAME.match(tag)
    return found is not None and found[1].lower() in _INLINE and _PLAIN.fullmatch(tag) is not None


def _escaped(tags: Counter[str], translation: str) -> str:
    """`translation` with HTML's entities, but for the tags of its source, which are taken from `tags`."""
    done = []
    for token in tokens(translation):
        if token.kind != "text" and tags[token.raw]:
            tags[token.raw] -= 1
            done.append(token.raw)
        else:
            done.append(html.escape(token.raw, quote=False))
    return "".join(done)


def _follow(token: Token, kept: list[str]) -> None:
    """Keep count, in `kept`, of the elements around that are not translated."""
    if token.kind == "close" and token.name in kept:
        del kept[len(kept) - 1 - kept[::-1].index(token.name) :]
    elif token.kind == "open" and token.name not in VOID and (kept or token.name in _KEPT or stays(token)):
        kept.append(token.name)
