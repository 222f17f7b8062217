"""Documents that are ZIP archives of XML parts: all members but the changed parts are copied as they are.

Nothing is written to disk, and no name inside an archive is used as a path.
"""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from translora.documents.document import Encoded, Segment, Spliced
from translora.documents.markup import Token, check_size, checked_xml, tokens
from translora.errors import DataError

_MOST_MEMBERS = 20_000
_LARGEST = 512 << 20
"""Bytes of all members together, unpacked."""
_LARGEST_PART = 128 << 20
"""Bytes of a part that is read as text, unpacked."""
_LARGEST_TEXT = 64 << 20
"""Bytes of all parts together that are kept as text, unpacked."""
_RATIO = 500
_SMALL = 1 << 20
"""Bytes; a member that is smaller unpacked may be packed in any ratio."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
_DAMAGED_TOO = (struct.error, LookupError, OverflowError, lzma.LZMAError)
_BLOCK = 1 << 20
"""Bytes of a member that are copied at a time."""


class Archive:
    """The members of a document's archive."""

    def __init__(self, data: bytes, name: str) -> None:
        """Raises `DataError` for what is no archive, is encrypted, or would be too large unpacked."""
        self.name, self._data, self._tags, self._size = name, data, 0, 0
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (*_DAMAGED, *_DAMAGED_TOO) as error:
            raise DataError(f"{name}: no whole document of its kind ({error}): copy or save it again") from error
        self._members = self._archive.infolist()
        self._check()

    def _check(self) -> None:
        names = {member.filename for member in self._members}
        if len(names) < len(self._members):
            raise DataError(f"{self.name}: two members of its archive have one name: save it again")
        if len(names) > _MOST_MEMBERS or sum(member.file_size for member in self._members) > _LARGEST:
            raise DataError(f"{self.name}: larger than {_LARGEST >> 20} MiB unpacked, or of too many members: split it")
        for member in self._members:
            if member.flag_bits & 1:
                raise DataError(f"{self.name}: it is encrypted: save it without a password")
            if member.file_size > max(_SMALL, _RATIO * member.compress_size):
                raise DataError(f"{self.name}: a member unpacks to more than {_RATIO} times its size: not read")

    def names(self) -> list[str]:
        """The names of the members."""
        return [member.filename for member in self._members]

    def member(self, name: str) -> bytes:
        """The content of a member; never more than the archive says of it."""
        with self._damage():
            return b"".join(self._blocks(self._archive.getinfo(name), _LARGEST_PART))

    def xml(self, name: str, elements: Sequence[str]) -> tuple[Encoded, list[Token]]:
        """The text of a member that is XML, and its tokens; none where it has no element of one of these local names.

        Raises `DataError` where those of all members are too many.
        """
        part = f"{self.name} ({name})"
        source = checked_xml(self.member(name), part)
        if not re.search(rf"</(?:[\w.-]+:)?(?:{'|'.join(elements)})\s*>", source.text):
            return source, []
        self._size += len(source.text)
        if self._size > _LARGEST_TEXT:
            raise DataError(f"{self.name}: more than {_LARGEST_TEXT >> 20} MiB of text unpacked: split the document")
        self._tags = check_size(source.text, part, self._tags)
        return source, list(tokens(source.text))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Turns the errors of a damaged archive into a `DataError`."""
        try:
            yield
        except (*_DAMAGED, *_DAMAGED_TOO) as error:
            raise DataError(f"{self.name}: damaged ({error}): copy or save it again") from error

    def _blocks(self, member: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
        """The content of a member in pieces: the archive is read again, and lies in memory once."""
        left = min(member.file_size, most)
        with self._archive.open(member) as stream:
            while block := stream.read(min(left + 1, _BLOCK)):
                left -= len(block)
                if left < 0:
                    raise DataError(f"{self.name}: a member is larger than {most >> 20} MiB, or than the archive says")
                yield block

    def replaced(self, parts: dict[str, bytes]) -> bytes:
        """The archive with new content for some members; all other members keep content, order, dates and packing."""
        if not parts:
            return self._data
        written = io.BytesIO()
        with self._damage(), zipfile.ZipFile(written, "w") as new:
            new.comment = self._archive.comment
            for member in self._members:
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.compress_type, info.comment = member.compress_type, member.comment
                info.external_attr, info.create_system = member.external_attr, member.create_system
                data = parts.get(member.filename)
                info.file_size = member.file_size if data is None else len(data)
                with new.open(info, "w") as stream:
                    for block in self._blocks(member, _LARGEST) if data is None else [data]:
                        stream.write(block)
        return written.getvalue()


class ArchiveDocument:
    """A document of several parts, each of which is spliced."""

    def __init__(self, archive: Archive, parts: Iterable[tuple[str, Spliced]]) -> None:
        """`parts` are members in the order of the segments; those without any are dropped as soon as they are read."""
        self._archive, self._parts = archive, {name: part for name, part in parts if part.segments}

    @property
    def segments(self) -> list[Segment]:
        """The texts of all parts; the note names the part."""
        return [replace(one, line=0, note=name) for name, part in self._parts.items() for one in part.segments]

    def filled(self, translations: Sequence[str | None], comments: Sequence[str] = ()) -> bytes:
        """The document with one translation per segment; None leaves a segment as it is. It has no comments."""
        first, changed = 0, {}
        for name, part in self._parts.items():
            own = translations[first : first + len(part.segments)]
            first += len(own)
            data = part.filled(own)
            if data != self._archive.member(name):
                changed[name] = data
        return self._archive.replaced(changed)
