r"""Leave out what would harm training: one pass over a stream of pairs, each with the first reason against it.

The rules are those of the field: Moses's `clean-corpus-n` (lengths and their ratio), Bicleaner's hard rules and
OpusFilter (identical sides, characters, languages, duplicates). Memory does not grow with the pairs, but for 8 bytes of
hash, in a set, of each pair that duplicates are looked for with.
"""

from __future__ import annotations

import hashlib
import html
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from translora.config import CleaningConfig
from translora.data.pairs import Pair
from translora.errors import ConfigError, DataError

Item = Pair | DataError
"""What a reader yields: a pair, or what is wrong with the line that should have been one."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\r\ufffd\ufffe\uffff]")
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]+);")
_NO_LETTER = re.compile(r"[\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+")
_OUTER = " .,;:!?\"'"
_SHOWN = 5
_LEAKED = "also in validation or test"
_GRAM, _NEAR = 4, 0.7
_FEWEST_LETTERS = 20
"""Shorter texts have no sure language."""
_SURE = 0.95


@dataclass
class Dropped:
    """The pairs that one rule left out."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    """Some of them, drawn evenly: where each came from, and its texts."""


class Cleaner:
    """The rules of a configuration, and what they left out so far."""

    def __init__(self, config: CleaningConfig, source: str, target: str, held_out: Iterable[Pair] = ()) -> None:
        """`source` and `target` are language codes, `held_out` the pairs of validation and test.

        Raises `ConfigError` for a language that cannot be identified, where that is asked for.
        """
        self._config = config
        self._rules = list(_rules(config, source, target, held_out))
        self._draw = random.Random(0)
        self.dropped: dict[str, Dropped] = {}
        self.kept = 0

    def keep(self, items: Iterable[Item]) -> Iterator[Pair]:
        """The pairs to train on, in order; raises `DataError` at an unreadable line, unless these are skipped."""
        return (item for item, reason in self.sort(items) if not reason and isinstance(item, Pair))

    def sort(self, items: Iterable[Item]) -> Iterator[tuple[Item, str]]:
        """Each item with the reason to leave it out, empty for what is kept; see `keep`."""
        for item in items:
            if isinstance(item, DataError):
                if self._config.bad_lines == "stop":
                    raise item
                reason = "unreadable line"
            else:
                if self._config.html == "unescape":
                    item = item._replace(source=html.unescape(item.source), target=html.unescape(item.target))
                reason = next((name for name, breaks in self._rules if breaks(item)), "")
            if reason:
                self._count(reason, item)
            else:
                self.kept += 1
            yield item, reason

    def apart_from(self, held_out: Iterable[Pair], pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Those of `pairs` that do not occur in `held_out`, which was drawn from the same pairs afterwards."""
        leakage = Leakage(held_out, self._config.leakage == "near")
        for pair in pairs:
            if leakage.holds(pair):
                self._count(_LEAKED, pair)
            else:
                yield pair

    @property
    def reasons(self) -> str:
        """What was left out so far, in words."""
        return ", ".join(f"{name}: {dropped.count:,}" for name, dropped in self.dropped.items()) or "none"

    def _count(self, reason: str, item: Item) -> None:
        dropped = self.dropped.setdefault(reason, Dropped())
        dropped.count += 1
        place = len(dropped.examples) if dropped.count <= _SHOWN else self._draw.randrange(dropped.count)
        if place < _SHOWN:
            dropped.examples[place : place + 1] = [_shown(item)]


def _shown(item: Item) -> str:
    if isinstance(item, DataError):
        return str(item)
    return f"{item.origin}: {_short(item.source)!r} | {_short(item.target)!r}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


Rule = Callable[[Pair], bool]


def _rules(config: CleaningConfig, source: str, target: str, held_out: Iterable[Pair]) -> Iterator[tuple[str, Rule]]:
    """The rules by name, the cheap ones first."""
    yield "empty side", has_empty_side
    if config.max_chars:
        yield f"over {config.max_chars} characters", lambda pair: max(map(len, pair[:2])) > config.max_chars
    if config.max_words:
        yield f"over {config.max_words} words", lambda pair: max(_words(pair)) > config.max_words
    if config.control == "drop":
        yield "control characters", has_control
    if config.identical == "drop":
        yield "identical sides", has_identical_sides
    if config.html == "drop":
        yield "HTML entities", has_entities
    if config.max_ratio:
        yield f"lengths over 1:{config.max_ratio:g}", lambda pair: length_ratio(pair) > config.max_ratio
    if config.language == "drop":
        yield "another language", Languages(source, target).differ
    yield _LEAKED, Leakage(held_out, config.leakage == "near").holds
    if config.duplicates != "keep":
        yield "duplicate", Duplicates(config.duplicates == "normalised").seen


def has_empty_side(pair: Pair) -> bool:
    """Whether a side has no text."""
    return not (pair.source and pair.target)


def has_control(pair: Pair) -> bool:
    """Whether a side has characters that belong into no text."""
    return _CONTROL.search(pair.source) is not None or _CONTROL.search(pair.target) is not None


def has_entities(pair: Pair) -> bool:
    """Whether a side has HTML entities."""
    return any("&" in text and _ENTITY.search(text) is not None for text in pair[:2])


def has_identical_sides(pair: Pair) -> bool:
    """Whether nothing was translated."""
    return pair.source == pair.target


def length_ratio(pair: Pair) -> float:
    """The longer side less ten characters, as a multiple of the shorter: short texts differ without harm."""
    short, long = sorted(map(len, pair[:2]))
    return (long - 10) / max(1, short)


def _words(pair: Pair) -> tuple[int, int]:
    return len(pair.source.split()), len(pair.target.split())


def normalised(text: str) -> str:
    """`text` as duplicates and overlap compare it: NFKC, case folded, white space and outer punctuation gone."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.casefold().split()).strip(_OUTER)


class Duplicates:
    """Tells whether a pair came before, by the hash of its texts."""

    def __init__(self, by_normalised: bool) -> None:
        self._by_normalised = by_normalised
        self._hashes: set[int] = set()

    def seen(self, pair: Pair) -> bool:
        """Whether it came before; remembers it."""
        source, target = map(normalised, pair[:2]) if self._by_normalised else pair[:2]
        data = f"{source}\0{target}".encode("utf-8", "surrogatepass")
        value = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
        before = len(self._hashes)
        self._hashes.add(value)
        return len(self._hashes) == before


class Leakage:
    """Tells whether a side of a pair occurs on that side of validation or test, or nearly so."""

    def __init__(self, held_out: Iterable[Pair], near: bool) -> None:
        sides = zip(*((normalised(pair.source), normalised(pair.target)) for pair in held_out), strict=True)
        self._sides: list[NearTexts | set[str]] = [NearTexts(texts) if near else set(texts) for texts in sides]

    def holds(self, pair: Pair) -> bool:
        """Whether it does."""
        return any(normalised(text) in side for text, side in zip(pair[:2], self._sides, strict=False))


class NearTexts:
    """Normalised texts that another one nearly is: it has the same letters, or most of a text's sequences of words.

    The measure is that of n-gram overlap, by which training data is searched for test data: at least 70% of the word
    4-grams of a text here stand in the other one.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._letters = {_letters(text) for text in texts}
        self._sizes: list[int] = []
        self._places: dict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            grams = _grams(text)
            self._sizes.append(len(grams))
            for gram in grams:
                self._places[gram].append(number)

    def __contains__(self, text: str) -> bool:
        if _letters(text) in self._letters:
            return True
        shared = Counter(number for gram in _grams(text) for number in self._places.get(gram, ()))
        return any(count >= _NEAR * self._sizes[number] for number, count in shared.items())


def _letters(text: str) -> str:
    """The letters of a normalised text alone; all of it where there are none."""
    return _NO_LETTER.sub("", text) or text


def _grams(text: str) -> set[str]:
    words = _WORD.findall(text)
    return {" ".join(words[start : start + _GRAM]) for start in range(len(words) - _GRAM + 1)}


class Languages:
    """Tells whether a text is surely not in the language that it should be in."""

    def __init__(self, source: str, target: str) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        known = set(self._identifier.labels)
        self._codes = [code.replace("_", "-").split("-")[0].lower() for code in (source, target)]
        for code in self._codes:
            if code not in known:
                raise ConfigError(f"language {code!r} cannot be identified: set data.cleaning.language to keep")

    def differ(self, pair: Pair) -> bool:
        """Whether either side does."""
        return any(self._other(text, code) for text, code in zip(pair[:2], self._codes, strict=True))

    def _other(self, text: str, code: str) -> bool:
        if sum(map(str.isalpha, text)) < _FEWEST_LETTERS:
            return False
        found, probability = self._identifier.classify(text)
        return bool(found != code and probability >= _SURE)
