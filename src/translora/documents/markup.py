"""XML and HTML as tokens with their places in the text, and elements as inline content.

Knows markup; knows no format. `checked_xml` refuses what is not well formed, and entities that a file declares.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from translora.documents.document import Encoded, decoded
from translora.documents.inline import Item, text_items
from translora.errors import DataError

_TOKEN = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z))|<!\[CDATA\[(?P<cdata>.*?)(?:\]\]>|\Z)"
    r"|(?P<other><\?(?:php\b|=).*?(?:\?>|\Z)|<\?.*?(?:>|\Z)|<!(?!\[CDATA\[|--)[^>\[]*(?:>|\[.*?(?:\]\s*>|\Z)|\Z))"
    r"|</(?P<close>[A-Za-z_][^\s<>/]*)[^<>]*>"
    r"|<(?P<open>[A-Za-z_][^\s<>/]*)"
    r"(?P<attributes>(?:[^<>\"'/]|(?<=[\s=\"'/])(?:\"[^\"]*\"|'[^']*')|(?<![\s=\"'/])[\"']|/(?!>))*)(?P<empty>/?)>",
    re.DOTALL,
)
"""A quote begins a value after a space, `=`, a slash or a quote; elsewhere, as in `<a title=it's>`, it is a letter."""
CDATA = "<![CDATA["
_ATTRIBUTE = re.compile(r"(?<=[\s\"'/])([^\s=\"'<>/]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>=]+))")
_DECLARED = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)[\"']")
_DECLARATION = re.compile(r"\s*(?:<\?xml[^>]*\?>\s*)?")
_EXPANDED = re.compile(r"<!(?:ENTITY|ATTLIST)")
_MOST_TAGS = 2_000_000
_SHOWN = 200
"""Characters of a parser's message."""
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_OPENING = frozenset(["bpt", "bx", "sc"])
HALVES = frozenset([*_OPENING, "ept", "ex", "ec"])
"""Inline codes of TMX and XLIFF that are half of a pair."""


@dataclass(frozen=True, slots=True)
class Token:
    """A tag, a text, or something else between two places of a text."""

    kind: str
    """`open`, `close`, `empty` (a tag that closes itself), `text`, `cdata`, or `other`: comments and declarations."""
    start: int
    end: int
    name: str = ""
    raw: str = ""
    """The text of the token."""

    @property
    def local(self) -> str:
        """The name without its prefix."""
        return self.name.rpartition(":")[2]

    def attributes(self) -> dict[str, str]:
        """The attributes of a tag, their values unescaped."""
        found = (match.groups() for match in _ATTRIBUTE.finditer(self.raw, 1 + len(self.name)))
        return {name: html.unescape(a or b or c or "") for name, a, b, c in found}

    def attribute_place(self, name: str) -> tuple[int, int] | None:
        """The place of a quoted value in the whole text; None without one."""
        for match in _ATTRIBUTE.finditer(self.raw, 1 + len(self.name)):
            if match[1] == name and match[4] is None:
                start, end = match.span(2 if match[2] is not None else 3)
                return self.start + start, self.start + end
        return None


def tokens(text: str, start: int = 0, end: int = -1) -> Iterator[Token]:
    """The tokens of a text, without gaps: what is no tag is text."""
    last = len(text) if end < 0 else end
    at = start
    for found in _TOKEN.finditer(text, start, last):
        if found.start() > at:
            yield Token("text", at, found.start(), "", text[at : found.start()])
        at = found.end()
        kind = "other"
        name = ""
        if found["cdata"] is not None:
            kind = "cdata"
        elif found["close"]:
            kind, name = "close", found["close"]
        elif found["open"]:
            kind, name = ("empty" if found["empty"] else "open"), found["open"]
        yield Token(kind, found.start(), at, name, found[0])
    if at < last:
        yield Token("text", at, last, "", text[at:last])


def html_tokens(text: str, raw: Collection[str]) -> Iterator[Token]:
    """The tokens of HTML, names in lower case; what is in an element of the names in `raw` is one token, `other`."""
    at = 0
    while at < len(text):
        for token in tokens(text, at):
            name = token.name.lower()
            yield Token(token.kind, token.start, token.end, name, token.raw)
            at = token.end
            if token.kind == "open" and name in raw:
                close = re.compile(rf"</{name}\b", re.IGNORECASE).search(text, at)
                end = close.start() if close else len(text)
                if end > at:
                    yield Token("other", at, end, "", text[at:end])
                at = end
                break


def stays(token: Token) -> bool:
    """Whether an element of HTML says that its content is not to be translated."""
    attributes = {name.lower(): value for name, value in token.attributes().items()}
    return attributes.get("translate", "").lower() == "no" or "notranslate" in attributes.get("class", "").split()


def check_size(text: str, name: str, before: int = 0) -> int:
    """How many tags a text has at most, with those `before` it in the document; each takes memory when it is read.

    Raises `DataError` for more than `_MOST_TAGS`.
    """
    count = before + text.count("<")
    if count > _MOST_TAGS:
        raise DataError(f"{name}: more than {_MOST_TAGS:,} tags: split the document")
    return count


def space_before(text: str, place: int) -> str:
    """The white space before a place."""
    start = place
    while start and text[start - 1] in " \t\r\n":
        start -= 1
    return text[start:place]


def checked_xml(data: bytes, name: str) -> Encoded:
    """The text of an XML file that is well formed.

    Raises `DataError` for one that is not, and for one whose DTD declares entities or attributes: these are never
    expanded, as a few can make a short file very long.
    """
    declared = _DECLARED.search(data[:400])
    encoding = declared[1].decode("ascii").lower() if declared else ""
    source = decoded(data, name, "" if encoding.startswith(("utf-16", "ucs", "utf-32")) else encoding)
    if found := _EXPANDED.search(source.text):
        line = source.text.count("\n", 0, found.start()) + 1
        kind = "entities" if found[0] == "<!ENTITY" else "attributes"
        raise DataError(f"{name}:{line}: it declares XML {kind}, which are not expanded: remove its DTD")
    check_xml(source.text, name)
    return source


class _NoTree:
    """What a parser tells of a document, dropped: a tree would take many times the memory of the text."""

    def close(self) -> None:
        """Take the end of the document."""


def read_xml(data: bytes, name: str) -> tuple[Encoded, list[Token]]:
    """The text of an XML file, and its tokens; raises `DataError` as `checked_xml` and `check_size` do."""
    source = checked_xml(data, name)
    check_size(source.text, name)
    return source, list(tokens(source.text))


def check_xml(text: str, name: str) -> None:
    """Raises `DataError` for an XML text that is not well formed. Nothing is loaded or expanded."""
    from lxml import etree

    parser = etree.XMLParser(target=_NoTree(), resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
    head = _DECLARATION.match(text)
    start = head.end() if head else 0
    lines = text.count("\n", 0, start)
    try:
        etree.fromstring(text[start:].encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        words = str(error)[:_SHOWN]  # it may quote a name of any length
        raise DataError(f"{name}:{line + lines}: not well-formed XML ({words}): mend the file") from error


def collapsed(raw: str) -> str:
    """The text that markup stands for, each run of white space as one space."""
    return html.unescape(_SPACES.sub(" ", raw))


def keeps_space(token: Token, inherited: bool) -> bool:
    """Whether the white space within an element counts, by its `xml:space` or what it has `inherited`."""
    return {"preserve": True, "default": False}.get(token.attributes().get("xml:space", ""), inherited)


def escaped(text: str) -> str:
    """`text` as XML or HTML content, without the control characters that XML forbids."""
    return escape(_FORBIDDEN.sub("", text))


def text_of(found: Sequence[Token]) -> str:
    """The text of tokens, without their markup."""
    return html.unescape("".join(token.raw for token in found if token.kind == "text"))


def element_end(found: Sequence[Token], first: int) -> int:
    """The index of the token that closes the element which `found[first]` opens; the last one where none does."""
    if found[first].kind != "open":
        return first
    depth = 0
    for number in range(first, len(found)):
        token = found[number]
        if token.name == found[first].name:
            depth += (token.kind == "open") - (token.kind == "close")
            if not depth:
                return number
    return len(found) - 1


def code_half(name: str, attribute: Callable[[str], str | None]) -> tuple[str, str] | None:
    """Which half of a pair an inline code of TMX or XLIFF is, `open` or `close`, and the name of the pair; or None.

    `attribute` gives an attribute of the code. Of XLIFF 1.2 it is `rid` that pairs codes, or else `id`; of 2.x a
    closing code has `startRef`, and of TMX both have `i`.
    """
    if name not in HALVES:
        return None
    number = next(filter(None, map(attribute, ("i", "rid", "startRef", "id"))), "")
    return ("open" if name in _OPENING else "close"), f"code {number}"


def inline_items(
    found: Sequence[Token], decode: Callable[[str], str] = collapsed, whole: Callable[[Token], bool] | None = None
) -> list[Item]:
    """Tokens of inline content as items; elements for which `whole` is true are one tag with all that is in them."""
    items: list[Item] = []
    number = 0
    while number < len(found):
        token = found[number]
        if token.kind == "text":
            items += text_items(token.start, token.raw, decode)
        elif token.kind == "cdata":
            items.append(Item("text", token.start, token.end, token.raw.removeprefix(CDATA).removesuffix("]]>")))
        elif token.kind == "open" and whole is not None and whole(token):
            number = element_end(found, number)
            items.append(_code(token, found[number].end))
        elif token.kind in ("open", "close"):
            items.append(Item(token.kind, token.start, token.end, token.name))
        else:
            items.append(_code(token, token.end))
        number += 1
    return items


def _code(token: Token, end: int) -> Item:
    """An element that is one tag with all that is in it, to `end`."""
    kind, name = code_half(token.local, token.attributes().get) or ("single", "")
    return Item(kind, token.start, end, name)
