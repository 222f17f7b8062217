"""XML and SGML as text: finds the encoding, tells a document by its root, and marks characters that XML forbids."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from translora.data.readers.lines import DAMAGED, open_binary
from translora.documents.document import is_charset
from translora.errors import DataError

NO_CHARACTER = "\ufdd0"
"""Stands for a character that XML forbids, such as `&#x1F;`; itself no character in any text."""
NO_TEXT = "\U0001fffe"
"""Stands for bytes that are no text in the file's encoding."""
_CHUNK = 1 << 16
_PEEKED = 4096
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_DECLARED = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.-]+)[\"']")
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|&#(?:[xX]0*([0-9a-fA-F]{1,8})|0*([0-9]{1,9}));"
)
_CUT = re.compile("&(?:#[xX]?[0-9a-fA-F]{0,9})?$")
_ROOT = re.compile(
    r"\s*(?P<declared><\?xml\b[^>]*>\s*)?(?:<!--.*?-->\s*|<\?[^>]*>\s*)*"
    r"(?P<doctype><!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>\s*)?(?:<!--.*?-->\s*)*<(?:[\w.-]+:)?(?P<root>[\w.-]+)",
    re.DOTALL | re.IGNORECASE,
)
_ROOTS = {"srcset", "refset", "tstset", "mteval", "dataset", "tmx", "xliff", "html", "resources"}
"""Roots that tell a document also where no declaration precedes them."""


def decoded(stream: BinaryIO, name: str) -> Iterator[str]:
    """The text of an XML stream in pieces, without its byte order mark; `name` stands for it in messages.

    The encoding is that of the byte order mark or of the XML declaration, else UTF-8. A character that XML forbids
    becomes `NO_CHARACTER`, which no parser stops at, and bytes that cannot be decoded become `NO_TEXT`.

    Raises `DataError` for an encoding that is not known and a stream that is damaged.
    """
    held = ""
    try:
        data = stream.read(_CHUNK)
        encoding, skipped = _encoding(data, name)
        decoder = codecs.getincrementaldecoder(encoding)("translora-mark")
        data = data[skipped:]
        while data:
            text = held + decoder.decode(data)
            cut = _CUT.search(text, max(0, len(text) - 16))
            text, held = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
            yield _FORBIDDEN.sub(_marked, text)
            data = stream.read(_CHUNK)
        yield _FORBIDDEN.sub(_marked, held + decoder.decode(b"", final=True))
    except DAMAGED as error:
        raise DataError(f"{name}: damaged or cut short ({error}): copy it again") from error


class XmlStream:
    """`decoded` as a binary stream of UTF-8, for a parser."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._pieces = decoded(stream, name)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, some more or less than `size`; none at the end."""
        return next((piece.encode() for piece in self._pieces if piece), b"")


def document_root(start: str) -> str:
    """The name of the root of an XML or SGML document, in lower case, by how its text starts; "" for other text."""
    found = _ROOT.match(start)
    if not found:
        return ""
    root = found["root"].lower()
    return root if found["declared"] or found["doctype"] or root in _ROOTS else ""


def root_at_start(stream: BinaryIO) -> str:
    """`document_root` of a stream that can be peeked into, of which nothing is read; "" for a damaged one."""
    with suppress(*DAMAGED):
        start = cast(io.BufferedReader, stream).peek(_PEEKED)[:_PEEKED]
        encoding, skipped = _encoding(start, "")
        return document_root(start[skipped:].decode(encoding, "ignore"))
    return ""


def root_of(path: Path) -> str:
    """`document_root` of a file, plain or compressed; "" for anything else, such as a pipe, which is not opened."""
    if not path.is_file():
        return ""
    with open_binary(path) as stream:
        return root_at_start(stream)


class Exchange(NamedTuple):
    """An exchange format of XML."""

    name: str
    roots: tuple[str, ...]
    advised: str = ""
    """The formats that a file of another root may be exported as; empty for this one."""


def elements(path: Path, names: Collection[str], form: Exchange) -> Iterator[Any]:
    """The elements of a file with one of `names`, each of which is gone once the next is asked for.

    Raises `DataError` for a file that is not of the format, is damaged, or declares entities.
    """
    from lxml import etree

    root = None
    with open_binary(path) as stream:
        try:
            events = etree.iterparse(
                XmlStream(stream, str(path)),
                events=("start", "end"),
                resolve_entities=False,
                load_dtd=False,
                no_network=True,
                encoding="utf-8",
            )
            for event, element in events:
                if root is None:
                    root = element
                    _check_root(root, path, form)
                elif event == "end" and local_name(element) in names:
                    yield element
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
        except (etree.XMLSyntaxError, *DAMAGED) as error:
            raise DataError(f"{path}: not {form.name}, or cut short ({error}): export it again") from error


def _check_root(root: Any, path: Path, form: Exchange) -> None:
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise DataError(f"{path}: it declares XML entities, which are not expanded: remove its DTD")
    if local_name(root) not in form.roots:
        raise DataError(
            f"{path}: not {form.name} (its root is {local_name(root)}): export it as {form.advised or form.name}"
        )


def local_name(element: Any) -> str:
    """An element's name without its namespace; "" for comments and the like."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _encoding(start: bytes, name: str) -> tuple[str, int]:
    """The encoding of a document, and the length of its byte order mark."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding, len(mark)
    if start[:1] == b"\0" or start[1:2] == b"\0":
        return ("utf-16-be" if start[:1] == b"\0" else "utf-16-le"), 0
    declared = _DECLARED.match(start)
    encoding = declared[1].decode("ascii").lower() if declared else "utf-8"
    if encoding.startswith(("utf-16", "utf-32", "ucs")):  # the declaration itself was just read as ASCII
        encoding = "utf-8"
    if not is_charset(encoding):
        raise DataError(f"{name}: the encoding {encoding[:40]!r} is not known: convert the file to UTF-8")
    return encoding, 0


def _marked(found: re.Match[str]) -> str:
    hexadecimal, decimal = found.groups()
    if hexadecimal is None and decimal is None:
        return NO_CHARACTER
    number = int(hexadecimal, 16) if hexadecimal is not None else int(decimal)
    allowed = number in (9, 10, 13) or 0x20 <= number <= 0xD7FF or 0xE000 <= number < 0xFFFE or number > 0xFFFF
    return found[0] if allowed and number <= 0x10FFFF else NO_CHARACTER


def _mark_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return NO_TEXT, error.end


codecs.register_error("translora-mark", _mark_bytes)
