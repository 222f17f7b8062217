"""The interface of every format: a document gives its segments and takes their translations, by splicing.

Knows texts and places in them; knows no format and no model.
"""

from __future__ import annotations

import bisect
import codecs
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from translora.errors import DataError


@dataclass(frozen=True)
class Options:
    """The part of a request that a format may need."""

    source: str = ""
    """The language code of the source."""
    target: str = ""
    """The language code of the target."""
    reviewed: bool = False
    """Whether translations are marked as done; else they are marked as in need of a review, where a format can."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One text of a document. Inline markup is in it as tags: `<g id="1">...</g>` and `<x id="2"/>`."""

    text: str
    line: int = 0
    """The line that it begins in, from 1; 0 where the format has none."""
    translated: bool = False
    """Whether the document has a translation of it already."""
    note: str = ""
    """The place inside the document, such as a key or the part of an archive."""


class Document(Protocol):
    """What `read` of each format returns."""

    @property
    def segments(self) -> list[Segment]:
        """The texts, in the order of the document."""

    def filled(self, translations: Sequence[str | None], comments: Sequence[str] = ()) -> bytes:
        """The document with one translation per segment; None leaves a segment as it is.

        `comments`, one per segment or none at all, are put where the format has a place for them; empty ones are not.
        """


Piece = str | tuple[int, int]
"""New text, or the start and end of a piece of the old one."""


class Edit(NamedTuple):
    """New content for the characters from `start` to `end` of a text."""

    start: int
    end: int
    pieces: tuple[Piece, ...]


Commenter = Callable[[Sequence[str]], Iterable[Edit]]
"""The edits that comments for a reviewer make, in place of those that an earlier start made."""
AUTHOR = "translora"
"""By this name such comments are known."""


class Slot(NamedTuple):
    """A segment, and the edits that its translation makes."""

    segment: Segment
    edits: Callable[[str], Iterable[Edit]]
    comment: Commenter | None = None
    """Several slots may share one; None where the format has no comments."""


@dataclass(frozen=True)
class Encoded:
    """The text of a file, with what is needed to write its bytes again."""

    text: str
    encoding: str
    mark: bytes = b""
    """The byte order mark."""

    def bytes_of(self, text: str, errors: str = "strict") -> bytes:
        """`text` in the encoding of the file."""
        return self.mark + text.encode(self.encoding, errors)


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


_NO_CHARSETS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "charmap", "mbcs", "oem"}
"""Encodings of Python that no text file has; some take very long."""


def is_charset(encoding: str) -> bool:
    """Whether a text file may be in the encoding of this name."""
    try:
        b"a".decode(encoding, "ignore")
        return codecs.lookup(encoding).name.replace("_", "-") not in _NO_CHARSETS
    except (LookupError, ValueError):
        return False


def decoded(data: bytes, name: str, declared: str = "") -> Encoded:
    """The text of a file: by its byte order mark, else in the encoding that it declares, else UTF-8.

    Raises `DataError` for an unknown encoding, for bytes that are no text in it, and for a text that does not become
    the same bytes again.
    """
    encoding, mark = declared or "utf-8", b""
    for candidate, known in _MARKS:
        if data.startswith(candidate):
            encoding, mark = known, candidate
            break
    if not is_charset(encoding):
        raise DataError(f"{name}: the encoding {encoding[:40]!r} is not known: convert the file to UTF-8")
    try:
        text = data[len(mark) :].decode(encoding)
        if "\0" in text:
            raise DataError(f"{name}:{1 + text.count(chr(10), 0, text.index(chr(0)))}: a NUL character: no text file")
        if mark + text.encode(encoding) == data:
            return Encoded(text, encoding, mark)
        raise DataError(f"{name}: not the same bytes again in {encoding}: convert the file to UTF-8")
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise DataError(f"{name}:{line}: not {encoding}: convert the file to UTF-8") from error
    except UnicodeError as error:
        raise DataError(f"{name}: not {encoding}: convert the file to UTF-8") from error


def takes_comments(kind: str) -> bool:
    """Whether documents of a format have comments for a reviewer."""
    return kind in ("po", "xliff")


class Lines:
    """Line numbers of places in a text."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def at(self, place: int) -> int:
        """The number of the line that holds the character `place`, from 1."""
        return bisect.bisect_left(self._ends, place) + 1


class Spliced:
    """A text document: translations are spliced into the original text."""

    def __init__(self, name: str, source: Encoded, slots: Sequence[Slot], errors: str = "strict") -> None:
        """`errors` says how characters that the encoding lacks are written, as in `str.encode`."""
        self._name, self._source, self._slots, self._errors = name, source, list(slots), errors

    @property
    def segments(self) -> list[Segment]:
        """The texts, in the order of the document."""
        return [slot.segment for slot in self._slots]

    def filled(self, translations: Sequence[str | None], comments: Sequence[str] = ()) -> bytes:
        """The document with one translation per segment, and comments; see `Document.filled`.

        Raises `DataError` for a translation that the encoding of the file cannot write.
        """
        edits: dict[Edit, None] = {}
        for slot, translation in zip(self._slots, translations, strict=True):
            if translation is not None:
                edits |= dict.fromkeys(slot.edits(translation))
        commented: dict[Commenter, list[str]] = {}
        for slot, comment in zip(self._slots, comments, strict=False):
            if slot.comment and comment:
                commented.setdefault(slot.comment, []).append(comment)
        for commenter, texts in commented.items():
            edits |= dict.fromkeys(commenter(texts))
        text = spliced(self._source.text, list(edits))
        try:
            return self._source.bytes_of(text, self._errors)
        except UnicodeEncodeError as error:
            character = text[error.start]
            raise DataError(
                f"{self._name}: a translation has {character!r}, which {self._source.encoding} lacks: convert the file "
                f"to UTF-8"
            ) from error


def spliced(text: str, edits: list[Edit]) -> str:
    """`text` with `edits`, which are nested or apart.

    An edit inside another one counts where that one keeps the piece of the old text around it.
    """
    ordered = sorted(edits, key=lambda edit: (edit.start, -edit.end))
    starts = [edit.start for edit in ordered]

    def between(start: int, end: int, whole: Edit | None) -> str:
        parts, at = [], start
        for edit in ordered[bisect.bisect_left(starts, start) : bisect.bisect_right(starts, end)]:
            if edit is whole or edit.start < at or edit.end > end:
                continue
            if whole is not None and edit.start == edit.end and edit.start in (start, end):
                continue  # an insertion at the border belongs to the text outside
            parts.append(text[at : edit.start])
            parts += [piece if isinstance(piece, str) else between(*piece, edit) for piece in edit.pieces]
            at = edit.end
        return "".join([*parts, text[at:end]])

    return between(0, len(text), None)
