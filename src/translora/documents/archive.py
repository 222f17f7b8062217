"""Documents that are ZIP archives of XML parts: all members but the changed parts are copied as they are.

Nothing is written to disk, and no name inside an archive is used as a path.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace

from translora.documents.document import Segment, Spliced
from translora.errors import DataError

_MOST_MEMBERS = 20_000
_LARGEST = 512 << 20
"""Bytes of all members together, unpacked."""
_LARGEST_PART = 128 << 20
"""Bytes of a part that is read as text, unpacked."""
_RATIO = 500
_SMALL = 1 << 20
"""Bytes; a member that is smaller unpacked may be packed in any ratio."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
_DAMAGED_TOO = (struct.error, LookupError, OverflowError)


class Archive:
    """The members of a document's archive."""

    def __init__(self, data: bytes, name: str) -> None:
        """Raises `DataError` for what is no archive, is encrypted, or would be too large unpacked."""
        self.name, self._data = name, data
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                self._members = archive.infolist()
        except (*_DAMAGED, *_DAMAGED_TOO) as error:
            raise DataError(f"{name}: no whole document of its kind ({error}): copy or save it again") from error
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
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as archive:
                return self._content(archive, archive.getinfo(name), _LARGEST_PART)
        except (*_DAMAGED, *_DAMAGED_TOO) as error:
            raise DataError(f"{self.name}: damaged ({error}): copy or save it again") from error

    def _content(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
        with archive.open(member) as stream:
            data = stream.read(min(member.file_size, most) + 1)
        if len(data) > min(member.file_size, most):
            raise DataError(f"{self.name}: a member is larger than {most >> 20} MiB, or than the archive says")
        return data

    def replaced(self, parts: dict[str, bytes]) -> bytes:
        """The archive with new content for some members; all other members keep content, order, dates and packing."""
        if not parts:
            return self._data
        written = io.BytesIO()
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as old, zipfile.ZipFile(written, "w") as new:
                new.comment = old.comment
                for member in old.infolist():
                    data = parts.get(member.filename)
                    content = self._content(old, member, _LARGEST) if data is None else data
                    info = zipfile.ZipInfo(member.filename, member.date_time)
                    info.compress_type, info.comment = member.compress_type, member.comment
                    info.external_attr, info.create_system = member.external_attr, member.create_system
                    new.writestr(info, content)
        except (*_DAMAGED, *_DAMAGED_TOO) as error:
            raise DataError(f"{self.name}: damaged ({error}): copy or save it again") from error
        return written.getvalue()


class ArchiveDocument:
    """A document of several parts, each of which is spliced."""

    def __init__(self, archive: Archive, parts: dict[str, Spliced]) -> None:
        """`parts` are the members that hold text, in the order of the segments."""
        self._archive, self._parts = archive, parts

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
