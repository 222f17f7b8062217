"""Files of keys and values: Java properties and iOS strings."""

from __future__ import annotations

import re

from translora.documents.document import Edit, Encoded, Lines, Options, Segment, Slot, Spliced, decoded
from translora.errors import DataError

_PROPERTY = re.compile(
    r"[ \t\f]*(?:[#!][^\r\n]*|(?P<key>(?:[^\\:=\s]|\\(?:\r\n|[\s\S]))+)[ \t\f]*(?:[:=][ \t\f]*)?"
    r"(?P<value>(?:[^\\\r\n]|\\(?:\r\n|[\s\S]))*)\\?|(?:[:=][^\r\n]*)?)(?:\r\n|\r|\n|$)"
)
_PROPERTY_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(\r\n|\r|\n)[ \t\f]*|([\s\S]))")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
_CONTROL = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\f": "\\f"}
_ARGUMENT = re.compile(r"\{\d")
_STRINGS = re.compile(
    r"\s+|//[^\n]*|/\*.*?\*/|(?P<key>\"(?:[^\"\\]|\\.)*\"|[\w.$-]+)\s*"
    r"(?:=\s*(?:\"(?P<value>(?:[^\"\\]|\\.)*)\"|(?P<word>[\w.$-]+))\s*)?;",
    re.DOTALL,
)
_STRINGS_ESCAPE = re.compile(r"\\(?:[Uu]([0-9A-Fa-f]{4})|(.))", re.DOTALL)


def read_properties(data: bytes, name: str, options: Options) -> Spliced:
    r"""Read Java properties, in UTF-8 or, where that fails, in ISO 8859-1.

    A file in ISO 8859-1, one in ASCII alone included, gets other characters as `\uXXXX`; one that is in UTF-8 already
    gets them as they are. Apostrophes are doubled where the value is a pattern of `MessageFormat`.
    """
    try:
        data.decode("utf-8")
        source = decoded(data, name)
    except UnicodeDecodeError:
        source = decoded(data, name, "iso-8859-1")
    ascii_only = source.encoding == "iso-8859-1" or source.text.isascii()
    lines, slots, at = Lines(source.text), list[Slot](), 0
    while at < len(source.text):
        found = _PROPERTY.match(source.text, at)
        if not found or found.end() == at:
            raise DataError(f"{name}:{lines.at(at)}: no key with a value: mend the line")
        at = found.end()
        if found["key"] and found["value"]:
            slots.append(_property(found, lines, ascii_only))
    return Spliced(name, source, slots)


def _property(found: re.Match[str], lines: Lines, ascii_only: bool) -> Slot:
    raw = found["value"]
    text = _PROPERTY_ESCAPE.sub(_unescape_property, raw)
    pattern = bool(_ARGUMENT.search(text)) and ("''" in text or "'" not in text)
    if pattern:
        text = text.replace("''", "'")
    start, end = found.span("value")

    def edits(translation: str) -> list[Edit]:
        if translation == text:
            return []
        written = translation.replace("'", "''") if pattern else translation
        return [Edit(start, end, (_escape_property(written, ascii_only),))]

    return Slot(Segment(text, lines.at(found.start("key")), note=found["key"]), edits)


def _unescape_property(found: re.Match[str]) -> str:
    code, newline, other = found.groups()
    if code:
        return chr(int(code, 16))
    return "" if newline else _SIMPLE.get(other, other)


def _escape_property(text: str, ascii_only: bool) -> str:
    written = text.replace("\\", "\\\\")
    written = "".join(_CONTROL.get(character, character) for character in written)
    if written.startswith(" "):
        written = "\\" + written
    if ascii_only:
        units = "".join(character if character.isascii() else _units(character) for character in written)
        return units
    return written


def _units(character: str) -> str:
    data = character.encode("utf-16-be")
    return "".join(f"\\u{data[i]:02X}{data[i + 1]:02X}" for i in range(0, len(data), 2))


def read_strings(data: bytes, name: str, options: Options) -> Spliced:
    """Read `.strings` of iOS and macOS, in UTF-8 or UTF-16; raises `DataError` for anything else, binary ones too."""
    if data.startswith(b"bplist"):
        raise DataError(f"{name}: a binary property list: convert it with plutil -convert strings")
    source = _with_utf16(data, name)
    lines, slots, at = Lines(source.text), list[Slot](), 0
    while at < len(source.text):
        found = _STRINGS.match(source.text, at)
        if not found:
            raise DataError(f'{name}:{lines.at(at)}: not of the form "key" = "value";: mend the line')
        at = found.end()
        if found["value"] or found["word"]:
            slots.append(_string(found, lines))
    return Spliced(name, source, slots)


def _with_utf16(data: bytes, name: str) -> Encoded:
    """The text of a file that may be UTF-16 without a byte order mark."""
    if data[:2].count(0) == 1:
        return decoded(data, name, "utf-16-be" if data[:1] == b"\0" else "utf-16-le")
    return decoded(data, name)


def _string(found: re.Match[str], lines: Lines) -> Slot:
    """The slot of a value; one that stands without quotes gets them with its translation."""
    quote = "" if found["value"] else '"'
    text = found["word"] or _STRINGS_ESCAPE.sub(_unescape_string, found["value"])
    start, end = found.span("word" if quote else "value")

    def edits(translation: str) -> list[Edit]:
        if translation == text:
            return []
        written = translation.replace("\\", "\\\\").replace('"', '\\"')
        written = "".join(_CONTROL.get(character, character) for character in written)
        return [Edit(start, end, (quote + written + quote,))]

    return Slot(Segment(text, lines.at(found.start("key")), note=found["key"].strip('"')), edits)


def _unescape_string(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _SIMPLE.get(found[2], found[2])
