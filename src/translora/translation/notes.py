"""What there is to say of lines that were translated, by line number, collected over parts."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from translora.config import DecodingConfig
from translora.data.characters import ADVICE, shown, unknown_in_sources
from translora.io import console
from translora.translation.kept import Reading
from translora.translation.numbers import lost_numbers
from translora.translation.result import Translation, cut_numbers, first_of, say_cuts


class Notes:
    """Lines with characters that the vocabulary lacks, that lost placeholders or numbers, that were split or cut."""

    def __init__(
        self, label: str, flag: str, model: str, tokenizer: PreTrainedTokenizerBase, most: int, first: int = 0
    ) -> None:
        """Lines of more than `most` tokens are split; `first` lines were done before; `flag` raises the limit."""
        self._label, self._flag, self._model, self._tokenizer, self._most = label, flag, model, tokenizer, most
        self._lines = first
        self._decoding = DecodingConfig()
        self._unknown: list[int] = []
        self._letters: dict[str, None] = {}
        self._split: list[int] = []
        self._many: list[int] = []
        self._repaired: list[int] = []
        self._numbers: list[int] = []
        self._cuts: dict[str, list[int]] = {}

    def add(self, readings: Sequence[Reading], found: Sequence[Translation], decoding: DecodingConfig) -> None:
        """Note what happened to the next lines: how each was read, and what was found."""
        numbers, letters = unknown_in_sources([one.text for one in readings], self._tokenizer)
        self._unknown += [self._lines + number for number in numbers]
        self._letters |= dict.fromkeys(letters)
        self._split += [self._lines + i for i, one in enumerate(readings, 1) if len(one.pieces) > one.parts]
        self._many += [self._lines + i for i, one in enumerate(readings, 1) if one.parts > 1]
        self._repaired += [self._lines + i for i, one in enumerate(found, 1) if one.placeholders == "repair"]
        self._numbers += [
            self._lines + i
            for i, (one, translation) in enumerate(zip(readings, found, strict=True), 1)
            if lost_numbers(one.plain, translation.text)
        ]
        for kind, cut in cut_numbers(found).items():
            self._cuts.setdefault(kind, []).extend(self._lines + number for number in cut)
        self._decoding = decoding
        self._lines += len(readings)

    def say(self) -> None:
        """Say it, in one line per kind."""
        if self._unknown:
            console.notice(
                f"{self._label}: {first_of(self._unknown)} has characters that the vocabulary of {self._model} lacks "
                f"({shown(list(self._letters))}): the model reads them as <unk>: {ADVICE}"
            )
        if self._split:
            console.notice(
                f"{self._label}: {first_of(self._split)} has more than {self._most} tokens, as many as training took: "
                f"translated sentence by sentence"
            )
        if self._many:
            console.notice(
                f"{self._label}: {first_of(self._many)} has more different placeholders than the model has marks for: "
                f"translated in parts"
            )
        if self._repaired:
            console.notice(
                f"{self._label}: the model lost a placeholder or a tag of {first_of(self._repaired)}: the text between "
                f"them was translated apart, and all are there: read it over"
            )
        if self._numbers:
            console.notice(
                f"{self._label}: {first_of(self._numbers)} has a number that its translation lacks: read it over"
            )
        say_cuts(self._cuts, self._decoding, self._label, self._flag)
