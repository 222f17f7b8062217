"""Translation memories: pairs whose translations are taken as they are where the very same text comes again.

Two texts are the same where they differ in white space alone: each run of it counts as one space, and none at the ends.
Case, punctuation and tags count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Pair
from translora.errors import DataError
from translora.io import console
from translora.io.files import one_line
from translora.translation.protect import Protector
from translora.translation.similar import Similar


def same_text(text: str) -> str:
    """`text` as memories compare it: with one space for each run of white space, and none at the ends."""
    return " ".join(text.split())


@dataclass
class Memory:
    """Translations by their texts."""

    name: str = ""
    """The files, as they were named."""
    targets: dict[str, str] = field(default_factory=dict)
    """The translation of each text, which is in the form of `same_text`."""
    asked: int = 0
    matched: int = 0
    given: int = 0
    several: int = 0
    """How many texts came with another translation before: the last of a file counts, and the first of the files."""

    @classmethod
    def read(cls, files: Sequence[Path], source: str, target: str) -> Memory:
        """The pairs of `files`, in any format that training reads, inline tags kept; says how many they are.

        Raises `DataError` for a file that cannot be read, and where it has no pair of the two languages.
        """
        from translora.data.readers.sources import read

        memory = cls(", ".join(map(str, files)))
        for file in files:
            memory.add(read(SourceConfig(path=str(file), codes="keep"), source, target), file)
        words = f"; {memory.several:,} of them have several: the last one is taken" if memory.several else ""
        console.notice(f"memory: {len(memory.targets):,} different texts with a translation{words}")
        return memory

    def add(self, pairs: Iterable[Pair], file: Path) -> None:
        """Add the pairs of `file`; raises `DataError` where there are none."""
        own: dict[str, str] = {}
        for pair in pairs:
            text = same_text(pair.source)
            if text and pair.target.strip():
                self.several += own.get(text, pair.target) != pair.target
                own[text] = pair.target
        if not own:
            raise DataError(f"{file}: no pair of a text and its translation in it: name another translation memory")
        self.targets = own | self.targets

    def __len__(self) -> int:
        return len(self.targets)

    def get(self, text: str) -> str | None:
        """The translation of a text; None where the memory has none."""
        return self.targets.get(same_text(text))

    def matches(self, lines: Sequence[str]) -> dict[int, str]:
        """The translations that the memory has, each as one line, by the places of the lines; they are counted."""
        found = {i: one_line(known) for i, line in enumerate(lines) if (known := self.get(line)) is not None}
        self.asked += len(lines)
        self.matched += len(found)
        return found

    def count(self, asked: int, matched: int, given: int) -> None:
        """Add the counts of lines that another process was asked for."""
        self.asked += asked
        self.matched += matched
        self.given += given

    def similar(self, line: str, least: float) -> str | None:
        """The translation of the text that is most like `line`, as one line; None where none is like it enough.

        Texts with placeholders and tags are passed over. Raises `ConfigError` where RapidFuzz is not installed.
        """
        index, texts = self._index
        match = index.best(line, least)
        self.given += match is not None
        return one_line(self.targets[texts[match.number]]) if match else None

    @cached_property
    def _index(self) -> tuple[Similar, list[str]]:
        """What finds fuzzy matches, and the texts among which it does."""
        found = Protector().found
        texts = [text for text, target in self.targets.items() if not found(text) and not found(target)]
        return Similar(texts), texts

    def say(self, label: str) -> None:
        """Say how many lines were taken from the memory, and how many matches the model got, since the last time."""
        given = f"; {self.given:,} others were translated with a fuzzy match" if self.given else ""
        console.notice(f"{label}: {self.matched:,} of {self.asked:,} lines are exact matches of {self.name}{given}")
        self.asked = self.matched = self.given = 0

    @property
    def content_hash(self) -> str:
        """A hash of all texts and their translations."""
        digest = hashlib.sha256()
        for text, translation in sorted(self.targets.items()):
            digest.update(f"{len(text)} {len(translation)} {text}{translation}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
