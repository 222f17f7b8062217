"""Characters that a tokenizer's vocabulary lacks: they become `<unk>`, which a model cannot read and never writes.

Each distinct character is tokenised once. Vocabularies of bytes, or with bytes to fall back to, lack none.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from translora.data.pairs import Pair
from translora.data.placeholders import text_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN = 10
_KEPT = 100
_JAMO = ("\u1160", "\u11ff")
"""The vowels and finals of Korean syllables in their decomposed form."""
_MARKS = "▁Ġ"
"""The marks that tokenizers write for a space."""
ADVICE = "use a model that has every character, such as google/mt5-small or google/byt5-small"


@dataclass(frozen=True)
class UnknownCharacters:
    """How many pairs hold characters that a vocabulary lacks, and which."""

    total: int = 0
    """Pairs looked at."""
    pairs: int = 0
    """Pairs with such a character on either side."""
    sources: int = 0
    targets: int = 0
    distinct: int = 0
    """How many different characters the vocabulary lacks."""
    characters: dict[str, int] = field(default_factory=dict)
    """The pairs that hold each, the most frequent first; 100 at most."""

    def told(self, model: str) -> str:
        """The fault and its remedy, in one line."""
        effects = [*(["reads them as <unk>"] if self.sources else []), *(["never writes them"] if self.targets else [])]
        counts = f"{self.pairs / self.total:.1%}; sources: {self.sources:,}, targets: {self.targets:,}"
        return (
            f"{self.pairs:,} of {self.total:,} pairs ({counts}) have characters that the vocabulary of {model} lacks "
            f"({self.listed}): the model {' and '.join(effects)}: {ADVICE}"
        )

    @property
    def listed(self) -> str:
        """The most frequent characters, for people."""
        return shown(self.characters, self.distinct)


def shown(characters: Collection[str], distinct: int = 0) -> str:
    """The first ten of `characters`, by code points where they cannot be seen, and how many more there are.

    `distinct` is their number, if it is higher than that of `characters`.
    """
    first = [*characters][:_SHOWN]
    others = max(distinct, len(characters)) - len(first)
    more = f" and {others:,} more" if others else ""
    return ", ".join(text if text.isprintable() else _code_points(text) for text in first) + more


def _code_points(text: str) -> str:
    return " ".join(f"U+{ord(letter):04X}" for letter in text)


@dataclass
class CharacterCounts:
    """The counts of `UnknownCharacters` while they grow, all characters among them."""

    total: int = 0
    pairs: int = 0
    sources: int = 0
    targets: int = 0
    characters: Counter[str] = field(default_factory=Counter)

    def merge(self, other: CharacterCounts) -> None:
        """Add the counts of other pairs."""
        self.total += other.total
        self.pairs += other.pairs
        self.sources += other.sources
        self.targets += other.targets
        self.characters.update(other.characters)

    def ranked(self) -> UnknownCharacters:
        """The counts, with the most frequent characters."""
        ranked = sorted(self.characters.items(), key=lambda item: (-item[1], item[0]))
        return UnknownCharacters(self.total, self.pairs, self.sources, self.targets, len(ranked), dict(ranked[:_KEPT]))


class CharacterCheck:
    """Counts the pairs with characters that the vocabulary of a tokenizer lacks."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._source, self._target = _Side(tokenizer, "text"), _Side(tokenizer, "text_target")
        self.counts = CharacterCounts()

    def add(self, pair: Pair) -> list[str]:
        """Count one pair; returns the characters of it that the vocabulary lacks, sorted."""
        here, there = self._source.lacks(pair.source), self._target.lacks(pair.target)
        counts = self.counts
        counts.total += 1
        counts.sources += bool(here)
        counts.targets += bool(there)
        if not (found := here | there):
            return []
        counts.pairs += 1
        counts.characters.update(found)
        return sorted(found)

    @property
    def result(self) -> UnknownCharacters:
        """The counts so far."""
        return self.counts.ranked()


def unknown_in_pairs(pairs: Iterable[Pair], tokenizer: PreTrainedTokenizerBase) -> UnknownCharacters:
    """The characters of `pairs` that the vocabulary of `tokenizer` lacks."""
    check = CharacterCheck(tokenizer)
    for pair in pairs:
        check.add(pair)
    return check.result


def unknown_in_sources(lines: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[str]]:
    """The numbers, from 1, of the `lines` with characters that the vocabulary lacks, and these, the frequent first."""
    side = _Side(tokenizer, "text")
    found = {number: side.lacks(line) for number, line in enumerate(lines, 1)}
    counts = Counter(letter for letters in found.values() for letter in sorted(letters))
    return [number for number, letters in found.items() if letters], [letter for letter, _ in counts.most_common()]


class _Side:
    """The characters that the vocabulary of the sources, or of the targets, has; each is tried once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, argument: str) -> None:
        self._tokenizer, self._argument = tokenizer, argument
        self._tried: set[str] = set()
        self._lost: set[str] = set()
        self._combining: set[str] = set()
        self._added = re.compile("|".join(map(re.escape, text_tokens(tokenizer))) or "(?!)")

    def lacks(self, text: str) -> set[str]:
        """The characters of `text` that become `<unk>`; a letter and the marks that combine with it count as one."""
        letters = set(text)
        self._try(letters)
        if self._lost.isdisjoint(letters):
            return set()
        text = self._added.sub(" ", text)
        units = set(text) if self._combining.isdisjoint(text) else set(_units(text))
        self._try(units)
        return units & self._lost

    def _try(self, units: set[str]) -> None:
        new = sorted(units - self._tried)
        if not new:
            return
        self._tried.update(new)
        self._combining.update(unit for unit in new if len(unit) == 1 and _combines(unit))
        rows = self._tokenizer(**{self._argument: new}, add_special_tokens=False)["input_ids"]
        self._lost.update(unit for unit, row in zip(new, rows, strict=True) if self._is_lost(unit, row))

    def _is_lost(self, unit: str, row: list[int]) -> bool:
        """Whether `unit` became `<unk>`, or nothing, as in a vocabulary without `<unk>`."""
        if self._tokenizer.unk_token_id in row:
            return True
        written = unit.isprintable() and not unit.isspace()
        return written and not "".join(self._tokenizer.convert_ids_to_tokens(row)).strip(_MARKS)


def _combines(letter: str) -> bool:
    """Whether `letter` combines with the one before it."""
    return unicodedata.category(letter).startswith("M") or _JAMO[0] <= letter <= _JAMO[1]


def _units(text: str) -> Iterable[str]:
    """The letters of `text`, each with the marks that combine with it."""
    unit = ""
    for letter in text:
        if unit and not _combines(letter):
            yield unit
            unit = ""
        unit += letter
    if unit:
        yield unit
