"""Android's `strings.xml`: strings, plurals and arrays of strings."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from translora.documents.document import Edit, Encoded, Lines, Options, Segment, Slot, Spliced
from translora.documents.inline import Inline
from translora.documents.markup import CDATA, Token, collapsed, element_end, escaped, inline_items, read_xml

_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t"}
_SPACE = r"\u0020"
_REFERENCE = re.compile(r"[@?][\w:+.-]*/?[\w./]+")


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read the resources of an app: what has `translatable="false"` is left, as are references such as `@string/a`."""
    source, found = read_xml(data, name)
    lines, slots = Lines(source.text), list[Slot]()
    for key, first, last in _strings(found):
        slots += _slot(source, found[first + 1 : last], lines, key)
    return Spliced(name, source, slots, "xmlcharrefreplace")


def _strings(found: Sequence[Token]) -> Iterator[tuple[str, int, int]]:
    """The name of each string, and the indices of its tags."""
    number, group = 0, ""
    while number < len(found):
        token = found[number]
        if token.kind == "open" and token.name != "resources":
            attributes = token.attributes()
            end = element_end(found, number)
            if attributes.get("translatable") == "false":
                number = end
            elif token.name in ("plurals", "string-array", "array"):
                group = attributes.get("name", "")
            elif token.name in ("string", "item"):
                key = attributes.get("name") or f"{group}.{attributes.get('quantity', 'item')}"
                yield key, number, end
                number = end
        number += 1


def _slot(source: Encoded, inside: Sequence[Token], lines: Lines, key: str) -> Iterator[Slot]:
    content = [token for token in inside if token.kind != "text" or token.raw.strip()]
    if len(content) == 1 and content[0].kind == "cdata":
        yield _cdata(content[0], lines, key)
        return
    quoted = [token.raw.strip() for token in content if token.kind == "text"]
    if any(token.kind == "cdata" for token in inside) or any(_quotes(text) for text in quoted):
        if len(content) == 1 and content[0].kind == "text":
            yield from _quoted(source, content[0], lines, key)
        return
    inline = Inline(inline_items(_without_spaces(inside), _plain, lambda token: token.local == "g"), keep_singles=True)
    if not inline.text or inline.ambiguous or _REFERENCE.fullmatch(inline.text):
        return
    yield Slot(Segment(inline.text, lines.at(inline.start), note=key), lambda text: inline.edit(text, _written))


def _without_spaces(inside: Sequence[Token]) -> list[Token]:
    """The content without those spaces at its ends that are escaped, as Android would trim others."""
    kept = list(inside)
    while kept and kept[0].kind == "text" and (raw := kept[0].raw.lstrip()).startswith(_SPACE):
        kept[0] = _cut(kept[0], len(kept[0].raw) - len(raw) + len(_SPACE), len(kept[0].raw))
    while kept and kept[-1].kind == "text" and (raw := kept[-1].raw.rstrip()).endswith(_SPACE):
        if raw.endswith(f"\\{_SPACE}"):
            break
        kept[-1] = _cut(kept[-1], 0, len(raw) - len(_SPACE))
    return kept


def _cut(token: Token, first: int, last: int) -> Token:
    return replace(token, start=token.start + first, end=token.start + last, raw=token.raw[first:last])


def _quotes(raw: str) -> bool:
    """Whether a text has quotes that are not escaped: in them white space counts."""
    return bool(re.search(r'(?<!\\)(?:\\\\)*"', raw))


def _quoted(source: Encoded, token: Token, lines: Lines, key: str) -> Iterator[Slot]:
    """A string that is quoted as a whole."""
    raw = token.raw.strip()
    start = token.start + token.raw.index(raw)
    inner = raw[1:-1]
    if len(raw) < 2 or raw[0] != '"' or raw[-1] != '"' or _quotes(inner):
        return
    text = _unescaped(html.unescape(inner))
    span = (start + 1, start + len(raw) - 1)

    def edits(translation: str) -> list[Edit]:
        return [] if translation == text else [Edit(*span, (escaped(_escape(translation)),))]

    yield Slot(Segment(text, lines.at(start), note=key), edits)


def _cdata(token: Token, lines: Lines, key: str) -> Slot:
    text = _unescaped(token.raw[len(CDATA) : -3])

    def edits(translation: str) -> list[Edit]:
        if translation == text:
            return []
        written = _escape(translation).replace("]]>", "]]]]><![CDATA[>")
        return [Edit(token.start + len(CDATA), token.end - 3, (written,))]

    return Slot(Segment(text, lines.at(token.start), note=key), edits)


def _plain(raw: str) -> str:
    return _unescaped(collapsed(raw))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _SIMPLE.get(found[2], found[2]), text)


def _escape(text: str) -> str:
    written = text.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    return written.replace("\n", "\\n").replace("\t", "\\t")


def _written(text: str) -> str:
    written = _escape(text)
    if written.startswith(("@", "?")):
        written = "\\" + written
    return escaped(written)
