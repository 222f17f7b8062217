"""Translation memories: pairs whose translations are taken as they are where the very same text comes again.

Two texts are the same where they differ in white space alone: each run of it counts as one space, and none at the ends.
Case, punctuation and tags count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Pair
from translora.errors import DataError
from translora.io import console
from translora.io.files import one_line


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
            memory._add(read(SourceConfig(path=str(file), codes="keep"), source, target), file)
        words = f"; {memory.several:,} of them have several: the last one is taken" if memory.several else ""
        console.notice(f"memory: {len(memory.targets):,} different texts with a translation{words}")
        return memory

    def _add(self, pairs: Iterable[Pair], file: Path) -> None:
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

    def say(self, label: str) -> None:
        """Say how many lines were taken from the memory since the last time."""
        console.notice(f"{label}: {self.matched:,} of {self.asked:,} lines are exact matches of {self.name}")
        self.asked = self.matched = 0

    @property
    def content_hash(self) -> str:
        """A hash of all texts and their translations."""
        digest = hashlib.sha256()
        for text, translation in sorted(self.targets.items()):
            digest.update(f"{len(text)} {len(translation)} {text}{translation}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
