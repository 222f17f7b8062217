"""The quality of a translation at a glance: how sure the model was, and flags that say what a reviewer should look at.

Knows texts and their translations; knows no model and no format. Flags are hints: a text that is right may have one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from translora.data.cleaning.identify import Languages
from translora.errors import ConfigError
from translora.translation.interface import accelerator, skeleton
from translora.translation.numbers import lost_numbers
from translora.translation.protect import Protector
from translora.translation.result import Translation
from translora.translation.tally import together
from translora.translation.terms import TermUse

Flag = Literal["empty", "copy", "language", "placeholder", "apart", "number", "term", "repetition", "length", "cut"]
FLAGS: dict[Flag, str] = {
    "empty": "nothing was written",
    "copy": "the text was left as it is",
    "language": "not in the target language",
    "placeholder": "a placeholder or a tag is lost, or was made up",
    "apart": "texts between tags or placeholders were translated apart",
    "number": "a number is lost",
    "term": "a term of the glossary was not used as it says",
    "repetition": "words repeat themselves",
    "length": "much longer or shorter than the text",
    "cut": "cut at its limit",
}
"""What each flag means, the gravest first."""
Origin = Literal["model", "memory", "earlier"]
"""Where a translation came from: `earlier` is a start of the program that was interrupted."""

_COPIED_LETTERS = 12
"""A text of fewer letters in one word may be a name."""
_MOST_TIMES, _MORE = 2.5, 20
"""A translation is long from this many times its text, plus so many letters; and the other way round."""
_WIDE = 2.5
"""Letters that a character of Chinese, Japanese or Korean counts for."""
_WORDS = re.compile(r"\w+")
_LOOP = re.compile(r"(?<!\S)(\S+(?: \S+){0,7}?)(?: \1){2,}(?!\S)")
_TWICE = re.compile(r"(?<!\S)(\S+(?: \S+){3,11}?) \1(?!\S)")
_STAMMER = re.compile(r"([^\W\d_]{1,8}?)\1{4,}")


@dataclass(frozen=True)
class Rating:
    """What is known of the quality of one translation."""

    confidence: float | None = None
    """The mean natural log-probability per token that the model chose, from minus infinity to 0; of several lines the
    lowest. None where the model chose nothing, or an earlier start did."""
    flags: tuple[Flag, ...] = ()
    origin: Origin = "model"
    terms: tuple[TermUse, ...] = ()
    """The terms of a glossary that the text has, and how many of them were honoured."""


def comment_of(rating: Rating) -> str:
    """A rating in one line, for a comment in a document."""
    parts = [] if rating.confidence is None else [f"confidence {rating.confidence:.2f}"]
    parts += ["from the translation memory"] if rating.origin == "memory" else []
    return "; ".join([*parts, *(f"{flag}: {FLAGS[flag]}" for flag in rating.flags)]) or "no confidence"


class Rater:
    """Rates translations of one pair of languages."""

    def __init__(self, source: str, target: str, patterns: Sequence[str] = ()) -> None:
        """`patterns` are the user's own placeholders. Texts of languages that py3langid lacks get no `language` flag.

        Raises `ConfigError` for a pattern that is no regular expression.
        """
        self._protector = Protector(patterns=patterns)
        try:
            self._languages: Languages | None = Languages(source, target)
        except ConfigError:
            self._languages = None

    def rate(
        self, source: str, text: str, parts: Sequence[Translation], apart: bool = False, earlier: bool = False
    ) -> Rating:
        """The rating of `text` as the translation of `source`; `parts` are the translations of its lines.

        `apart` says that its inline tags had to be put back.
        """
        scores = [one.score for one in parts if one.score is not None]
        from_memory = bool(parts) and all(one.origin == "memory" for one in parts)
        return Rating(
            min(scores, default=None),
            self._flags(source, text, parts, apart),
            "memory" if from_memory else "earlier" if earlier else "model",
            together(use for one in parts for use in one.terms),
        )

    def _kept(self, source: str, text: str) -> bool:
        """Whether what must survive is there; of messages with branches, which are translated, the skeleton is."""
        if accelerator(source) >= 0 and text.count("&") != 1:
            return False
        sides = [skeleton(one) for one in (source, text)]
        return self._protector.kept(*sides)

    def _flags(self, source: str, text: str, parts: Sequence[Translation], apart: bool) -> tuple[Flag, ...]:
        before, after = self._protector.without(source), self._protector.without(text)
        empty = _letters(source) > 0 and not text.strip()
        copied = not empty and is_copy(before, after)
        lost = not empty and not self._kept(source, text)
        wrong = not empty and not copied and self._languages is not None and self._languages.target_differs(after)
        found: dict[Flag, bool] = {
            "empty": empty,
            "copy": copied,
            "language": wrong,
            "placeholder": lost,
            "apart": apart or any(one.placeholders == "repair" for one in parts),
            "number": not empty and bool(lost_numbers(before, after)),
            "term": any(use.missed for one in parts for use in one.terms),
            "repetition": repeats(after) and not repeats(before),
            "length": not empty and not copied and _is_odd_length(before, after),
            "cut": any(one.cut for one in parts),
        }
        return tuple(flag for flag in FLAGS if found[flag])


def is_copy(source: str, text: str) -> bool:
    """Whether a text of two words, or of one long word, was left as it is; a shorter one may be a name."""
    words = [word for word in _WORDS.findall(source) if any(map(str.isalpha, word))]
    long = len(words) > 1 or _letters(source) >= _COPIED_LETTERS
    return long and _plain(source) == _plain(text)


def repeats(text: str) -> bool:
    """Whether words follow themselves three times, four words or more twice, or letters inside a word five times."""
    words = " ".join(text.casefold().split())
    return any(
        any(map(str.isalpha, found[1])) for pattern in (_LOOP, _TWICE, _STAMMER) for found in pattern.finditer(words)
    )


def _is_odd_length(source: str, text: str) -> bool:
    before, after = _size(source), _size(text)
    return max(before, after) > _MOST_TIMES * min(before, after) + _MORE


def _size(text: str) -> float:
    """The length of a text in letters of an alphabet."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + (_WIDE - 1) * wide


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
