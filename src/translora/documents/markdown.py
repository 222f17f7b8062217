"""Markdown: paragraphs, headings, list items and table cells, with emphasis, links and code as tags.

markdown-it finds the blocks and the spans; the translations are spliced into the source, which is never rendered.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt, rules_inline
from markdown_it.rules_inline import StateInline

from translora.documents.document import Edit, Lines, Options, Piece, Segment, Slot, Spliced, decoded
from translora.documents.inline import Inline, Item, text_items
from translora.errors import DataError

_FRONT = re.compile(
    r"\A(?:---[ \t]*\r?\n.*?^(?:---|\.\.\.)|\+\+\+[ \t]*\r?\n.*?^\+\+\+)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|(&(?:#\w+|\w+);)")
_SPACES = re.compile(r"[ \t]*\n[ \t]*")
_SPECIAL = re.compile(r"[\\`*\[\]<>|]|(?<![^\W_])_|_(?![^\W_])|~~|&(?=#?\w+;)")
_START = re.compile(r"(?:#{1,6}(?=\s|$)|[-+](?=\s|$)|=+\s*$|-+\s*$|>)")
_NUMBER = re.compile(r"(\d+)([.)])(?=\s|$)")
_TASK = re.compile(r"\[[ xX]\](?=[ \t])")
_WHOLE = re.compile(
    r"(?:https?://|www\.)[^\s<>\[\]()`|]*(?:[^\W_]|[/=&#%+-])"  # an address
    r"|\[\^[^\]\s]+\]:?"  # a footnote
    r"|\[![A-Z]+\]"  # what makes a quotation an alert
)
"""What stays as it is though CommonMark takes it for text."""
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)[^>]*?(/?)>", re.DOTALL)
_MARKS = "*_`[<~&"
_MOST_MARKS = 500_000
"""Characters that may begin a span: each may take 2 KB when it is read."""
_RULES: dict[str, Callable[[Any, bool], bool]] = {
    "text": rules_inline.text,
    "newline": rules_inline.newline,
    "escape": rules_inline.escape,
    "backticks": rules_inline.backtick,
    "strikethrough": rules_inline.strikethrough.tokenize,
    "emphasis": rules_inline.emphasis.tokenize,
    "link": rules_inline.link,
    "image": rules_inline.image,
    "autolink": rules_inline.autolink,
    "html_inline": rules_inline.html_inline,
    "entity": rules_inline.entity,
}


@dataclass
class _Span:
    """What one rule consumed of a text, and the tokens that it made."""

    rule: str
    start: int
    end: int
    made: list[tuple[Any, int]]
    """Each token, with how many characters it is of."""
    label_end: int = -1


class _Parser:
    """markdown-it with a record of which characters each inline rule consumed."""

    def __init__(self) -> None:
        self._markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
        self._markdown.core.ruler.disable("inline")
        self._markdown.inline.ruler2.disable("fragments_join")
        for name, rule in _RULES.items():
            self._markdown.inline.ruler.at(name, self._recorded(name, rule))
        self._state: Any = None
        self._spans: list[_Span] = []

    def blocks(self, text: str, environment: dict[str, Any]) -> list[Any]:
        """The tokens of the blocks of a text."""
        return self._markdown.parse(text, environment)

    def spans(self, text: str, environment: dict[str, Any]) -> list[_Span]:
        """The spans of a block's content, by where they start; inner ones follow the outer one."""
        state = StateInline(text, self._markdown, environment, [])
        self._state, self._spans = state, []
        self._markdown.inline.tokenize(state)
        for rule in self._markdown.inline.ruler2.getRules(""):
            rule(state)
        return sorted(self._spans, key=lambda span: (span.start, -span.end))

    def _recorded(self, name: str, rule: Callable[[Any, bool], bool]) -> Callable[[Any, bool], bool]:
        def recorded(state: Any, silent: bool) -> bool:
            if silent or state is not self._state:
                return rule(state, silent)
            start, first = state.pos, len(state.tokens)
            label_end = -1
            if name == "link" and state.src[start] == "[":
                label_end = state.md.helpers.parseLinkLabel(state, start, True)
                state.pos = start
            waiting = bool(state.pending)
            found = rule(state, silent)
            if found:
                made = state.tokens[first + (waiting and len(state.tokens) > first) :]
                self._spans.append(
                    _Span(name, start, state.pos, [(token, len(token.content)) for token in made], label_end)
                )
            return found

        return recorded


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read Markdown; front matter, code, HTML blocks and definitions of links stay."""
    source = decoded(data, name)
    if sum(map(source.text.count, _MARKS)) > _MOST_MARKS:
        raise DataError(f"{name}: more than {_MOST_MARKS:,} marks such as * and [: split the document")
    front = _FRONT.match(source.text)
    offset = front.end() if front else 0
    text = source.text[offset:]
    starts = [0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", text))]
    parser, environment = _Parser(), dict[str, Any]()
    lines, slots = Lines(source.text), list[Slot]()
    cell = 0
    try:
        rows = (0, 0)
        for block in parser.blocks(text, environment):
            if block.type == "tr_open":
                rows, cell = tuple(block.map or (0, 0)), 0
            if block.type != "inline" or not block.content.strip():
                continue
            table = rows if block.map is None or tuple(block.map) == rows else None
            places = _places(text, starts, block, table, cell)
            if places is None:
                continue
            if table:
                cell = places[-1] + 1
            spans = parser.spans(block.content, environment)
            slots += _slot(block.content, spans, [offset + place for place in places], lines)
    except RecursionError as error:
        raise DataError(f"{name}: Markdown that is nested too deeply: mend the file") from error
    return Spliced(name, source, slots)


def _places(text: str, starts: list[int], block: Any, table: Any, cell: int) -> list[int] | None:
    """For each character of a block's content, and its end, the place in the text; None where it is not found there."""
    first = (table or block.map)[0]
    places: list[int] = []
    for number, row in enumerate(block.content.split("\n"), first):
        if number >= len(starts):
            return None
        start, end = starts[number], starts[number + 1] if number + 1 < len(starts) else len(text)
        written = row.replace("|", "\\|") if table else row  # in a cell
        at = text.find(written, max(start, cell), end) if table else text.rfind(row, start, end)
        if at < 0:
            return None
        for character in row:
            places.append(at)
            at += 2 if table and character == "|" else 1
        places.append(at)
    return places


def _end(content: str, places: list[int], index: int) -> int:
    """The place where the characters before `index` of a block's content end, with what begins the next line."""
    return places[index] if content[index - 1] in "\n|" else places[index - 1] + 1


def _slot(content: str, spans: list[_Span], places: list[int], lines: Lines) -> Iterator[Slot]:
    inline = Inline(_items(content, spans))
    if not inline.text or inline.ambiguous:
        return
    start, end = places[inline.start], _end(content, places, inline.end)
    first = inline.start == 0

    def edits(translation: str) -> list[Edit]:
        moved = []
        for edit in inline.edit(translation, _escape):
            asterisks = _in_words(content, edit.pieces)
            gaps = _gaps(content, list(inline.walk(translation)), edit.pieces)
            pieces: list[Piece] = []
            for number, piece in enumerate(edit.pieces):
                pieces += [" "] * (number in gaps)
                if isinstance(piece, str):
                    pieces.append(piece)
                elif asterisks and set(content[slice(*piece)]) == {"_"}:
                    pieces.append("*" * (piece[1] - piece[0]))
                else:
                    pieces.append((places[piece[0]], _end(content, places, piece[1])))
            if first and pieces and isinstance(pieces[0], str):
                pieces[0] = _begun(pieces[0])
            moved.append(Edit(start, end, tuple(pieces)))
        return moved

    yield Slot(Segment(inline.text, lines.at(start)), edits)


def _in_words(content: str, pieces: Sequence[Piece]) -> bool:
    """Whether a `_` would stand between two letters, where it marks no emphasis and `*` does."""
    texts = [piece if isinstance(piece, str) else content[slice(*piece)] for piece in pieces]
    marks = [not isinstance(piece, str) and set(text) == {"_"} for piece, text in zip(pieces, texts, strict=True)]
    return any(mark and _beside(texts[i - 1][-1:], texts[i + 1][:1]) for i, mark in enumerate(marks[1:-1], 1))


def _gaps(content: str, parts: Sequence[Item | str], pieces: Sequence[Piece]) -> set[int]:
    """The pieces that need a space before them: between a letter and emphasis that has a punctuation mark at its end.

    Without it Markdown takes the asterisks for text.
    """
    texts = [piece if isinstance(piece, str) else content[slice(*piece)] for piece in pieces]
    gaps = set()
    for number, part in enumerate(parts):
        if isinstance(part, str) or part.value not in ("em", "strong", "s"):
            continue
        before = texts[number - 1][-1:] if number else ""
        after = texts[number + 1][:1] if number + 1 < len(texts) else ""
        if part.kind == "open" and before.isalnum() and _is_mark(after):
            gaps.add(number)
        elif part.kind == "close" and after.isalnum() and _is_mark(before):
            gaps.add(number + 1)
    return gaps


def _is_mark(character: str) -> bool:
    return bool(character) and not character.isalnum() and not character.isspace()


def _beside(before: str, after: str) -> bool:
    return (before.isalnum() and not after.isspace()) or (after.isalnum() and not before.isspace())


def _items(content: str, spans: list[_Span]) -> list[Item]:
    """The spans of a content as items: what no rule made a token of is text."""
    marks: list[Item] = []
    for span in spans:
        marks += _marks(content, span)
    marks += [Item("single", *found.span()) for found in _WHOLE.finditer(content)]
    marks.sort(key=lambda item: (item.start, item.end))
    task = _TASK.match(content)
    items = [Item("single", 0, task.end())] if task else []
    at = task.end() if task else 0
    for mark in marks:
        if mark.start < at:
            continue  # inside of one that stays whole
        items += text_items(at, content[at : mark.start], _plain)
        items.append(mark)
        at = mark.end
    return items + text_items(at, content[at:], _plain)


def _marks(content: str, span: _Span) -> Iterator[Item]:
    """The tags of a span."""
    types = [token.type for token, _ in span.made]
    if span.rule in ("emphasis", "strikethrough"):
        yield from _delimiters(span)
    elif span.rule == "link" and types[-1:] == ["link_close"]:
        if content[span.label_end : span.end] in ("]", "][]"):  # the label is the name of its definition
            yield Item("single", span.start, span.end)
        else:
            yield Item("open", span.start, span.start + 1, "link")
            yield Item("close", span.label_end, span.end, "link")
    elif span.rule == "html_inline" and types:
        tag = _TAG.fullmatch(content[span.start : span.end])
        kind = "single" if tag is None or tag[3] or tag[2].lower() in ("br", "img", "hr") else "open"
        kind = "close" if tag is not None and tag[1] else kind
        yield Item(kind, span.start, span.end, tag[2].lower() if tag else "")
    elif types and span.rule in ("backticks", "image", "autolink"):
        yield Item("single", span.start, span.end)
    elif "hardbreak" in types:
        yield Item("single", len(content[: span.start].rstrip(" ")), span.end)


def _delimiters(span: _Span) -> Iterator[Item]:
    """The tags of a run of `*`, `_` or `~`; two characters that make one strong tag are one item."""
    at = span.start
    begun, items = span.start, list[Item]()
    for token, length in span.made:
        if token.type.endswith("_open"):
            items.append(Item("open", begun, at + length, token.tag))
        elif token.type.endswith("_close"):
            items.append(Item("close", at, at + length, token.tag))
        elif (
            not token.content and items and (items[-1].kind, items[-1].value, items[-1].end) == ("close", "strong", at)
        ):
            items[-1] = Item("close", items[-1].start, at + length, "strong")
        at += length
        if token.type != "text" or token.content:
            begun = at
    yield from items


def _plain(raw: str) -> str:
    """The text that Markdown stands for."""
    joined = _SPACES.sub(" ", raw)
    return _ESCAPED.sub(lambda found: found[1] if found[1] else html.unescape(found[0]), joined)


def _escape(text: str) -> str:
    """`text` with the characters that Markdown would read as markup escaped."""
    return _SPECIAL.sub(lambda found: "&amp;" if found[0] == "&" else "\\" + found[0], text)


def _begun(text: str) -> str:
    """`text` as the start of a block, which must not look like a heading, a list or a quotation."""
    if _START.match(text):
        return "\\" + text
    return _NUMBER.sub(r"\1\\\2", text, count=1) if _NUMBER.match(text) else text
