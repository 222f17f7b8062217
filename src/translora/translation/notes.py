"""What there is to say of lines that were translated, by line number, collected over parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from translora.config import DecodingConfig
from translora.data.characters import ADVICE, shown, unknown_in_sources
from translora.io import console
from translora.translation.kept import Reading
from translora.translation.numbers import lost_numbers
from translora.translation.result import Translation, cut_numbers, first_of, say_cuts
from translora.translation.segments import ENDLESS

_KINDS = ("unknown", "split", "endless", "many", "repaired", "numbers")
"""What is noted by the numbers of lines; limits that translations reached are apart."""


class Notes:
    """Lines with characters that the vocabulary lacks, that lost placeholders or numbers, that were split or cut."""

    def __init__(
        self, label: str, flag: str, model: str, tokenizer: PreTrainedTokenizerBase, most: int, first: int = 0
    ) -> None:
        """Lines of more than `most` tokens are split; `first` lines were done before; `flag` raises the limit."""
        self._label, self._flag, self._model, self._tokenizer, self._most = label, flag, model, tokenizer, most
        self._lines = first
        self._decoding = DecodingConfig()
        self._letters: dict[str, None] = {}
        self._numbers: dict[str, list[int]] = {kind: [] for kind in _KINDS}
        self._cuts: dict[str, list[int]] = {}

    def add(self, readings: Sequence[Reading], found: Sequence[Translation], decoding: DecodingConfig) -> None:
        """Note what happened to the next lines: how each was read, and what was found."""
        unknown, letters = unknown_in_sources([one.text for one in readings], self._tokenizer)
        numbers = {
            "unknown": unknown,
            "split": [i for i, one in enumerate(readings, 1) if one.sentences > one.parts],
            "endless": [i for i, one in enumerate(readings, 1) if len(one.pieces) > one.sentences],
            "many": [i for i, one in enumerate(readings, 1) if one.parts > 1],
            "repaired": [i for i, one in enumerate(found, 1) if one.placeholders == "repair"],
            "numbers": [
                i
                for i, (one, translation) in enumerate(zip(readings, found, strict=True), 1)
                if lost_numbers(one.plain, translation.text)
            ],
        }
        cuts = cut_numbers(found)
        self.merge({"lines": len(readings), "letters": letters, "numbers": numbers, "cuts": cuts}, decoding)

    @property
    def state(self) -> dict[str, Any]:
        """All that was noted, for `merge` in another process; it is fit for JSON."""
        return {
            "lines": self._lines,
            "letters": list(self._letters),
            "numbers": self._numbers,
            "cuts": self._cuts,
        }

    def merge(self, state: Mapping[str, Any], decoding: DecodingConfig) -> None:
        """Note what happened to the next lines, whose numbers in `state` begin with 1."""
        for kind, numbers in state["numbers"].items():
            self._numbers[kind] += [self._lines + number for number in numbers]
        for kind, cut in state["cuts"].items():
            self._cuts.setdefault(kind, []).extend(self._lines + number for number in cut)
        self._letters |= dict.fromkeys(state["letters"])
        self._decoding = decoding
        self._lines += state["lines"]

    def renumber(self, order: Sequence[int]) -> None:
        """Give the lines that were noted, which were translated in `order`, their places, counted from 0 there."""
        for found in (self._numbers, self._cuts):
            for kind, numbers in found.items():
                found[kind] = sorted(order[number - 1] + 1 for number in numbers)

    def say(self) -> None:
        """Say it, in one line per kind."""
        for kind, numbers in self._numbers.items():
            if numbers:
                console.notice(f"{self._label}: {self._words(first_of(numbers))[kind]}")
        say_cuts(self._cuts, self._decoding, self._label, self._flag)

    def _words(self, lines: str) -> dict[str, str]:
        """What is said of `lines`, such as `line 3 (and 2 more)`, by kind."""
        return {
            "unknown": f"{lines} has characters that the vocabulary of {self._model} lacks "
            f"({shown(list(self._letters))}): the model reads them as <unk>: {ADVICE}",
            "split": f"{lines} has more than {self._most} tokens, as many as training took: "
            "translated sentence by sentence",
            "endless": f"{lines} has a sentence of more than {ENDLESS * self._most} tokens: it was cut at commas or "
            "spaces and translated in parts: read it over",
            "many": f"{lines} has more different placeholders than the model has marks for: translated in parts",
            "repaired": f"the model lost a placeholder or a tag of {lines}: the text between them was translated "
            "apart, and all are there: read it over",
            "numbers": f"{lines} has a number that its translation lacks: read it over",
        }
