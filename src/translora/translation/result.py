"""A translated text, and the limits that translations may run into: which were cut, and what to say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from translora.config import DecodingConfig
from translora.io import console
from translora.translation.terms import TermUse

_SPARE_TOKENS = 10

Placeholders = Literal["", "copied", "model", "retry", "repair"]
"""How the placeholders of a text came through; see `Translation.placeholders`."""


@dataclass(frozen=True, slots=True)
class Translation:
    """One translated text."""

    text: str
    score: float | None = None
    """The mean natural log-probability per token of the translation, the end token included where the model chose it,
    under teacher forcing; it needs a second pass, and is None where it was not asked for or the text is empty."""
    cut_by: Literal["", "max_tokens", "max_ratio"] = ""
    """The limit that ended the translation before the model did; empty where none did."""
    source_cut: bool = False
    """Whether the source was longer than the model's positions reach, and was cut there."""
    alternatives: tuple[Translation, ...] = ()
    """The next best translations, the best first, where they were asked for."""
    placeholders: Placeholders = ""
    """How what must survive did: with nothing but it in the text (`copied`), by the model, by a wider search or one
    sentence at a time (`retry`), or by translating the text between apart (`repair`); empty for a text that holds
    nothing of the kind."""
    terms: tuple[TermUse, ...] = ()
    """The terms of a glossary that the text has, and how many of them the translation honours."""
    origin: Literal["model", "memory"] = "model"
    """Whether the model translated the text, or a translation memory had it."""

    @property
    def cut(self) -> bool:
        """Whether the translation reached its limit."""
        return bool(self.cut_by)

    def __str__(self) -> str:
        return self.text


def limit_of(tokens: int, decoding: DecodingConfig) -> int:
    """The most tokens of a translation of a source of `tokens` tokens, the end token left out."""
    return min(decoding.max_tokens, math.ceil(decoding.max_ratio * tokens) + _SPARE_TOKENS)


def limit_name(tokens: int, decoding: DecodingConfig) -> Literal["max_tokens", "max_ratio"]:
    """Which of the two limits ends a translation of a source of `tokens` tokens."""
    return "max_tokens" if limit_of(tokens, decoding) == decoding.max_tokens else "max_ratio"


def cut_lines(translations: Sequence[Translation]) -> list[int]:
    """The numbers, from 1, of the translations that reached their limit."""
    return [number for number, one in enumerate(translations, 1) if one.cut]


def cut_numbers(translations: Sequence[Translation]) -> dict[str, list[int]]:
    """The numbers, from 1, of the translations that were cut, by the limit; of those whose source was, by `source`."""
    found: dict[str, list[int]] = {}
    for number, one in enumerate(translations, 1):
        for kind in filter(None, (one.cut_by, "source" if one.source_cut else "")):
            found.setdefault(kind, []).append(number)
    return found


def say_cut(translations: Sequence[Translation], decoding: DecodingConfig, label: str, flag: str) -> None:
    """Say in one line per kind how many of `translations` were cut, and which is the first; `flag` raises the limit."""
    say_cuts(cut_numbers(translations), decoding, label, flag)


def say_cuts(cuts: Mapping[str, list[int]], decoding: DecodingConfig, label: str, flag: str) -> None:
    """Say what `cut_numbers` found, in one line per kind."""
    for kind, words, advice in (
        ("max_tokens", f"reached decoding.max_tokens ({decoding.max_tokens})", f"raise it with {flag}"),
        ("max_ratio", f"ran to {decoding.max_ratio:g} times the source's tokens and ten", "such output repeats itself"),
    ):
        if found := cuts.get(kind):
            console.notice(f"{label}: the translation of {first_of(found)} {words} and is cut there: {advice}")
    if long := cuts.get("source"):
        console.notice(f"{label}: {first_of(long)} is longer than the model reads and is cut: split it")


def first_of(lines: list[int]) -> str:
    """The first of the numbers of some lines, and how many more there are, in words."""
    return f"line {lines[0]}" + (f" (and {len(lines) - 1:,} more)" if len(lines) > 1 else "")
