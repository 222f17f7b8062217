"""PO, gettext's catalogues: empty `msgstr`s are filled in, plural forms too, and marked fuzzy for a reviewer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from translora.documents.document import AUTHOR, Edit, Encoded, Options, Segment, Slot, Spliced, decoded
from translora.errors import DataError

_REMARK = f"# {AUTHOR}:"
_CHARSET = re.compile(rb"charset=([\w.:-]+)", re.IGNORECASE)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_KEYWORD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d+)\])?[ \t]*(?=")')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t\r]*$')
_ESCAPE = re.compile(r'\\(?:([abfnrtv"\\])|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))', re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}
_WRITTEN = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f"}
_WRITTEN |= {"\v": "\\v"}


@dataclass(slots=True)
class _Field:
    """A keyword with its string: where the string is, and what it says."""

    name: str
    start: int
    end: int
    text: str


@dataclass(slots=True)
class _Entry:
    """A message: its fields in order, and where its flags are."""

    line: int
    start: int
    """The place of its first keyword, or of the comment with the previous message that comes before."""
    first: int = 0
    """The place of its first line, comments included."""
    flags: tuple[int, int] | None = None
    """The place of the line of flags, with its line end."""
    remarks: list[tuple[int, int]] = field(default_factory=list)
    """The places of the comments that an earlier start left, with their line ends."""
    fields: list[_Field] = field(default_factory=list)

    def text(self, name: str) -> str | None:
        """The string of a keyword; None where the entry lacks it."""
        return next((one.text for one in self.fields if one.name == name), None)

    def is_fuzzy(self, text: str) -> bool:
        """Whether the translation waits for a reviewer; `text` is that of the catalogue."""
        return self.flags is not None and "fuzzy" in text[slice(*self.flags)]


@dataclass(frozen=True)
class Message:
    """A message with what a reader of pairs needs to know."""

    line: int
    source: str
    plural: str | None
    """The source of the plural; None without one."""
    forms: list[str]
    """The translations: one, or one of each plural form."""
    fuzzy: bool


def messages(data: bytes, name: str) -> Iterable[Message]:
    """The messages of a catalogue that are in use, the header (with an empty source) too; see `read`."""
    source = _decoded(data, name)
    for entry in _entries(source, name):
        forms = [one.text for one in entry.fields if one.name.startswith("msgstr")]
        fuzzy = entry.is_fuzzy(source.text)
        yield Message(entry.line, entry.text("msgid") or "", entry.text("msgid_plural"), forms, fuzzy)


def _decoded(data: bytes, name: str) -> Encoded:
    charset = _CHARSET.search(data)
    known = charset[1].decode().lower() if charset else ""
    return decoded(data, name, "" if known == "charset" else known)


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read a catalogue; raises `DataError` for a line that is none of PO."""
    source = _decoded(data, name)
    end_of_line = "\r\n" if "\r\n" in source.text else "\n"
    style = _Style(source.text, end_of_line, options.reviewed)
    return Spliced(name, source, [slot for entry in _entries(source, name) for slot in _slots(entry, style)])


@dataclass(frozen=True, slots=True)
class _Style:
    """What all entries of a catalogue are written with."""

    text: str
    """The catalogue as it was."""
    end_of_line: str
    reviewed: bool
    """Whether translations are marked as done."""


def _slots(entry: _Entry, style: _Style) -> Iterable[Slot]:
    source, plural = entry.text("msgid"), entry.text("msgid_plural")
    if not source:
        return
    forms = [one for one in entry.fields if one.name.startswith("msgstr")]
    fuzzy = entry.is_fuzzy(style.text)
    note = " ".join(["fuzzy"] * fuzzy + ["plural"] * (plural is not None))
    groups = [(source, forms)] if plural is None else [(source, forms[:1]), (plural, forms[1:])]
    if plural is not None and len(forms) == 1:
        groups = [(plural, forms)]
    commenter = _Commenter(entry, style.end_of_line)
    for wording, places in groups:
        if places:
            lacking = [one for one in places if not one.text]
            writer = _Writer(entry, tuple(lacking or places), style)
            yield Slot(Segment(wording, entry.line, not lacking, note), writer, commenter)


@dataclass(frozen=True, slots=True, eq=False)
class _Commenter:
    """Comments of a translator, `# translora: ...`, before the other comments of the entry."""

    entry: _Entry
    end_of_line: str

    def __call__(self, comments: Sequence[str]) -> list[Edit]:
        entry, end_of_line = self.entry, self.end_of_line
        lines = [f"{_REMARK} {comment}" for comment in comments]
        old = [Edit(*place, ()) for place in entry.remarks]
        if entry.first < len(end_of_line):
            return [*old, Edit(0, 0, ("".join(line + end_of_line for line in lines),))]
        at = entry.first - len(end_of_line)  # a flag may be inserted at the line itself, and comes after
        return [*old, Edit(at, at, ("".join(end_of_line + line for line in lines),))]


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    """The edits of a translation: its strings, and the mark of its entry."""

    entry: _Entry
    places: tuple[_Field, ...]
    style: _Style

    def __call__(self, translation: str) -> list[Edit]:
        written = _written(translation, self.style.end_of_line)
        return [*_flag_edit(self.entry, self.style), *(Edit(p.start, p.end, (written,)) for p in self.places)]


def _flag_edit(entry: _Entry, style: _Style) -> list[Edit]:
    """The edit that marks an entry fuzzy, or takes the mark away where its translation counts as reviewed."""
    end_of_line, reviewed = style.end_of_line, style.reviewed
    if entry.flags is None:
        return [] if reviewed else [Edit(entry.start, entry.start, (f"#, fuzzy{end_of_line}",))]
    start, end = entry.flags
    flags = [flag.strip() for flag in style.text[start:end].strip()[2:].split(",") if flag.strip()]
    if ("fuzzy" in flags) is not reviewed:
        return []
    if not reviewed:
        return [Edit(start + 2, start + 2, (" fuzzy,",))]
    rest = [flag for flag in flags if flag != "fuzzy"]
    return [Edit(start, end, (f"#, {', '.join(rest)}{end_of_line}" if rest else "",))]


def _entries(source: Encoded, name: str) -> Iterable[_Entry]:
    """The messages of a catalogue that are in use."""
    reading = _Reading(name)
    at = 0
    for number, found in enumerate(_LINE.finditer(source.text), 1):
        line = found[0]
        done = reading.line(line, at, number)
        if done:
            yield done
        at += len(line)
    if last := reading.end():
        yield last


class _Reading:
    """The state of reading: the entry that is under way."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._entry: _Entry | None = None
        self._parts: list[str] = []
        """The strings of the last field so far."""

    def line(self, line: str, at: int, number: int) -> _Entry | None:
        """Take the next line; returns an entry that ended before it."""
        body = line.strip()
        if body.startswith("#") and not body.startswith("#~"):
            done = self.end() if self._entry and self._entry.fields else None
            self._comment(line, body, at, number)
            return done
        if not body or body.startswith("#~"):
            return self.end()
        if body.startswith('"'):
            self._string(line, at + len(line) - len(line.lstrip()), number)
            return None
        keyword = _KEYWORD.match(line.lstrip())
        if not keyword:
            raise DataError(f"{self._name}:{number}: {body[:40]!r} is no line of a PO file: mend or remove it")
        return self._keyword(line, keyword, at, number)

    def end(self) -> _Entry | None:
        """The entry that is under way, whose end is here."""
        self._join()
        entry, self._entry = self._entry, None
        if entry is None or not entry.fields:
            return None
        if entry.text("msgid") is None or not any(one.name.startswith("msgstr") for one in entry.fields):
            raise DataError(f"{self._name}:{entry.line}: a message without msgid or msgstr: mend the entry")
        return entry

    def _comment(self, line: str, body: str, at: int, number: int) -> None:
        if self._entry is None:
            self._entry = _Entry(number, -1, at)
        if body.startswith(_REMARK):
            self._entry.remarks.append((at, at + len(line)))
        if body.startswith("#,") and self._entry.flags is None:
            self._entry.flags = (at + len(line) - len(line.lstrip()), at + len(line))
        if body.startswith("#|") and self._entry.start < 0:
            self._entry.start = at

    def _keyword(self, line: str, keyword: re.Match[str], at: int, number: int) -> _Entry | None:
        name = keyword[1] + (f"[{keyword[2]}]" if keyword[2] else "")
        done = None
        begins = name == "msgctxt" or (
            name == "msgid" and self._entry is not None and any(one.name != "msgctxt" for one in self._entry.fields)
        )
        if begins and self._entry is not None and self._entry.fields:
            done = self.end()
        if self._entry is None:
            self._entry = _Entry(number, at, at)
        if self._entry.start < 0:
            self._entry.start = at
        if not self._entry.fields:
            self._entry.line = number
        self._join()
        start = at + len(line) - len(line.lstrip()) + keyword.end()
        self._entry.fields.append(_Field(name, start, start, ""))
        self._string(line[start - at :], start, number)
        return done

    def _join(self) -> None:
        """Give the last field its text, which no string follows any more."""
        if self._entry is not None and self._entry.fields:
            self._entry.fields[-1].text = "".join(self._parts)
        self._parts.clear()

    def _string(self, line: str, start: int, number: int) -> None:
        found = _STRING.match(line.strip(" \t\n\r"))
        if not found or self._entry is None or not self._entry.fields:
            raise DataError(f"{self._name}:{number}: a string that does not end, or belongs to nothing: mend the line")
        field = self._entry.fields[-1]
        self._parts.append(_ESCAPE.sub(_unescaped, found[1]))
        field.end = start + found.end(1) + 1


def _unescaped(found: re.Match[str]) -> str:
    simple, hexadecimal, octal, other = found.groups()
    if simple:
        return _SIMPLE[simple]
    if other:
        return str(found[0])
    return chr(int(hexadecimal, 16) if hexadecimal else int(octal, 8))


def _written(text: str, end_of_line: str) -> str:
    """`text` as PO strings: one, or after an empty one a line of the file for each line of the text."""
    lines = _LINE.findall(text) or [""]
    strings = [f'"{"".join(_WRITTEN.get(character, character) for character in line)}"' for line in lines]
    return end_of_line.join(['""', *strings] if len(strings) > 1 else strings)
