"""Glossaries that clients store at the server: in memory, and with a folder also on the disk, one file each."""

from __future__ import annotations

import csv
import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from translora.errors import ConfigError, StorageError
from translora.io.files import read_json, write_json
from translora.serve.limits import is_unicode
from translora.serve.refusals import RefusalError
from translora.translation.terms import Glossary, Term, tokens_of

log = logging.getLogger("translora.serve")

Entry = tuple[str, str]
"""A source term and its translation."""


@dataclass(frozen=True)
class GlossaryLimits:
    """The most that clients may store."""

    glossaries: int = 1_000
    entries: int = 10_000
    """Of one glossary."""
    characters: int = 50_000_000
    """Of all glossaries together."""


@dataclass(frozen=True)
class Stored:
    """A glossary of a client."""

    glossary_id: str
    name: str
    source: str
    target: str
    created: str
    """When, as ISO 8601 has it."""
    owner: str
    """The hash of the key that it belongs to; empty where the server needs none."""
    entries: tuple[Entry, ...]

    @cached_property
    def glossary(self) -> Glossary:
        """The terms."""
        return glossary_of(self.entries, self.source, self.target)

    @property
    def characters(self) -> int:
        """The length of all entries."""
        return sum(len(source) + len(target) for source, target in self.entries)


def glossary_of(entries: Sequence[Entry], source: str, target: str) -> Glossary:
    """The glossary of some entries, each as it is written.

    Raises `RefusalError` for an empty one, and for two that translate a term differently.
    """
    known: dict[str, str] = {}
    for number, (term, translation) in enumerate(entries, 1):
        for name, text in (("source", term), ("target", translation)):
            if not is_unicode(text) or not tokens_of(text) or any(mark in text for mark in "\t\r\n"):
                raise RefusalError(400, f"Invalid glossary: the {name} of entry {number} is no term")
        if known.setdefault(term, translation) != translation:
            raise RefusalError(400, f"Invalid glossary: entry {number} translates {term!r} differently a second time")
    return Glossary([Term((term,), (translation,)) for term, translation in known.items()], source, target)


def entries_of(text: str, form: str) -> list[Entry]:
    """The entries of a text in the form `tsv` or `csv`; raises `RefusalError` for a line of another form."""
    if form not in ("tsv", "csv"):
        raise RefusalError(400, f"Invalid glossary: entries_format {form!r} is neither tsv nor csv")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            cells = next(csv.reader([line], strict=True)) if form == "csv" else line.split("\t")
        except csv.Error as error:
            raise RefusalError(400, f"Invalid glossary: line {number} is not CSV ({error})") from error
        if len(cells) < 2 or (form == "tsv" and len(cells) > 2):
            raise RefusalError(400, f"Invalid glossary: line {number} has {len(cells)} cells: source and target")
        found.append((cells[0].strip(), cells[1].strip()))
    return found


class Glossaries:
    """The glossaries of all clients; those of one key are not seen with another."""

    def __init__(self, folder: Path | None = None, limits: GlossaryLimits = GlossaryLimits()) -> None:
        """Those that `folder` holds are there again; raises `ConfigError` for a damaged file."""
        self._folder, self._limits = folder, limits
        self._known: dict[str, Stored] = {}
        self._lock = threading.Lock()
        for path in sorted(folder.glob("*.json")) if folder else ():
            try:
                found = read_json(path)
                entries = tuple((str(source), str(target)) for source, target in found.pop("entries"))
                stored = Stored(entries=entries, **found)
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise ConfigError(f"{path}: the glossary is damaged ({error}): delete it") from error
            self._known[stored.glossary_id] = stored

    def add(self, name: str, languages: tuple[str, str], entries: Sequence[Entry], owner: str) -> Stored:
        """Store a glossary; may be called by several threads.

        Raises `RefusalError` for one that is not right, or one too many.
        """
        if not name or not is_unicode(name):
            raise RefusalError(400, "Invalid glossary: it has no name")
        if not 0 < len(entries) <= self._limits.entries:
            raise RefusalError(
                400, f"Invalid glossary: {len(entries)} entries: 1 to {self._limits.entries} are allowed"
            )
        created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        stored = Stored(str(uuid.uuid4()), name, *languages, created, owner, tuple(entries))
        _ = stored.glossary  # refuses what is not right
        with self._lock:
            total = sum(one.characters for one in self._known.values()) + stored.characters
            if len(self._known) >= self._limits.glossaries or total > self._limits.characters:
                raise RefusalError(456, "the server has no room for another glossary: delete one")
            if self._folder:
                with _storing():
                    write_json(self._folder / f"{stored.glossary_id}.json", asdict(stored))
            self._known[stored.glossary_id] = stored
        return stored

    def get(self, glossary_id: str, owner: str) -> Stored:
        """The glossary of that id; raises `RefusalError` where there is none of this owner."""
        found = self._known.get(glossary_id)
        if found is None or found.owner != owner:
            raise RefusalError(404, "Glossary not found")
        return found

    def all(self, owner: str) -> list[Stored]:
        """The glossaries of an owner, the oldest first."""
        return sorted((one for one in list(self._known.values()) if one.owner == owner), key=lambda one: one.created)

    def remove(self, glossary_id: str, owner: str) -> None:
        """Forget a glossary; raises `RefusalError` where there is none of this owner."""
        with self._lock:
            stored = self.get(glossary_id, owner)
            if self._folder:
                with _storing():
                    (self._folder / f"{stored.glossary_id}.json").unlink(missing_ok=True)
            del self._known[glossary_id]


@contextmanager
def _storing() -> Iterator[None]:
    """Raise `RefusalError` where a file cannot be written or deleted, and log why, which no client needs."""
    try:
        yield
    except (OSError, StorageError) as error:
        log.error("a glossary: %s", error)
        raise RefusalError(503, "the server cannot store glossaries now", 60) from error
