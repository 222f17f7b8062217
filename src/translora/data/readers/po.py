"""PO, gettext's catalogues, as pairs: messages that are translated and not fuzzy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.lines import DAMAGED, open_binary
from translora.data.readers.remarks import Counts
from translora.data.readers.rows import make_pair
from translora.documents.po import Message, messages
from translora.errors import DataError
from translora.languages import same_language

_LANGUAGE = re.compile(r"^Language:[ \t]*([\w@.-]+)", re.MULTILINE)


def read_po(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The translated messages of a catalogue, of plural forms the two of a language that has two.

    Messages that are untranslated or fuzzy are left out and counted. Texts of as many lines on both sides are pairs of
    their lines. Messages are in the source language; where the header says that their translations are, they are taken
    the other way round.

    Raises `DataError` for a file that is no catalogue, or is one of another language.
    """
    left_out = Counts(config.path)
    reversed_ = False
    try:
        for message in messages(contents(config.path), config.path):
            if not message.source:
                reversed_ = _is_reversed(message, config.path, source, target)
            elif message.fuzzy:
                left_out.add("fuzzy messages", message.line)
            elif not all(message.forms):
                left_out.add("untranslated messages", message.line)
            else:
                for first, second in _pairs(message):
                    sides = (second, first) if reversed_ else (first, second)
                    yield from line_pairs(*sides, config.path, message.line)
    finally:
        left_out.say()


def contents(path: str) -> bytes:
    """All bytes of a file, unpacked; raises `DataError` where it is damaged."""
    with open_binary(Path(path)) as stream:
        try:
            return stream.read()
        except DAMAGED as error:
            raise DataError(f"{path}: damaged or cut short ({error}): copy it again") from error


def line_pairs(source: str, target: str, file: str, line: int) -> Iterator[Item]:
    """A pair for each line of two texts that have as many; else one pair, each text as one line."""
    sides = [text.strip("\n").split("\n") for text in (source, target)]
    if len(sides[0]) != len(sides[1]):
        sides = [[" ".join(part.strip() for part in lines if part.strip())] for lines in sides]
    for one, other in zip(*sides, strict=True):
        if one.strip() or other.strip():
            yield make_pair(one, other, file, line)


def _is_reversed(header: Message, file: str, source: str, target: str) -> bool:
    """Whether the translations of a catalogue are in the source language, by its header."""
    found = _LANGUAGE.search(header.forms[0])
    if not found or same_language(target, [found[1]]):
        return False
    if same_language(source, [found[1]]):
        return True
    raise DataError(f"{file}: its translations are in {found[1]}, not in {source} or {target}: name another file")


def _pairs(message: Message) -> Iterator[tuple[str, str]]:
    if message.plural is None:
        yield message.source, message.forms[0]
    elif len(message.forms) == 1:
        yield message.plural, message.forms[0]
    else:
        yield message.source, message.forms[0]
        if len(message.forms) == 2:
            yield message.plural, message.forms[1]
