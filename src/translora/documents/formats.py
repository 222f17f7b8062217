"""The formats of documents: which one a file has, and its reader."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from translora.data.readers.markup import root_of
from translora.documents.document import Document, Options
from translora.errors import ConfigError, DataError

_READERS = {
    "po": "po:read",
    "json": "json_locale:read",
    "properties": "values:read_properties",
    "strings": "values:read_strings",
    "srt": "subtitles:read_srt",
    "vtt": "subtitles:read_vtt",
    "xliff": "xliff:read",
    "tmx": "tmx:read",
    "android": "android:read",
    "html": "html_pages:read",
    "markdown": "markdown:read",
    "yaml": "yaml_locale:read",
    "docx": "office:read_docx",
    "pptx": "office:read_pptx",
    "xlsx": "office:read_xlsx",
    "odf": "opendocument:read",
    "paragraphs": "paragraphs:read",
}
_ENDINGS = {
    ".po": "po", ".pot": "po", ".json": "json", ".arb": "json", ".properties": "properties", ".strings": "strings",
    ".srt": "srt", ".vtt": "vtt", ".xlf": "xliff", ".xliff": "xliff", ".sdlxliff": "xliff", ".tmx": "tmx",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".md": "markdown", ".markdown": "markdown",
    ".yaml": "yaml", ".yml": "yaml", ".docx": "docx", ".docm": "docx", ".pptx": "pptx", ".xlsx": "xlsx",
    ".odt": "odf", ".ott": "odf", ".odp": "odf", ".otp": "odf", ".ods": "odf", ".ots": "odf", ".odg": "odf",
}  # fmt: skip
_ROOTS = {"resources": "android"}
"""Roots of `.xml` files."""
FORMATS = ("auto", "text", *_READERS)
"""The values of `--format`: `auto` goes by the ending, and `text` is one line in, one line out."""
LARGEST = 256 << 20
"""Bytes; a larger document is refused."""


def endings() -> list[str]:
    """The endings of the files whose format is known by them."""
    return [*_ENDINGS, ".xml"]


def format_of(path: Path, asked: str = "auto") -> str:
    """The format of a file: the one that is asked for, else by the ending; `text` for any other ending."""
    if asked != "auto":
        return asked
    ending = path.suffix.lower()
    if ending == ".xml":
        return _ROOTS.get(root_of(path), "text")
    return _ENDINGS.get(ending, "text")


def read(data: bytes, name: str, kind: str, options: Options) -> Document:
    """Read a document of the format `kind`; `name` stands for it in messages.

    Raises `DataError` for a document that is not of this format, or damaged, and `ConfigError` for an unknown format.
    """
    if kind not in _READERS:
        raise ConfigError(f"--format {kind}: no format of documents: use one of {', '.join(FORMATS)}")
    if len(data) > LARGEST:
        raise DataError(f"{name}: larger than {LARGEST >> 20} MiB: split the document")
    module, _, function = _READERS[kind].partition(":")
    document: Document = getattr(importlib.import_module(f"translora.documents.{module}"), function)(
        data, name, options
    )
    return document


def read_file(path: Path, kind: str, options: Options) -> tuple[Document, str]:
    """Read the document at `path`, and the hash of its bytes; see `read`."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST >> 20} MiB: split the document")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}: give the path of a file that exists") from error
    return read(data, str(path), kind, options), hashlib.sha256(data).hexdigest()
