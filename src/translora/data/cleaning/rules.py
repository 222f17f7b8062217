r"""Leave out pairs that would harm training: one pass over a stream of pairs, each with the first reason against it.

The rules are those of the field: Moses's `clean-corpus-n` (lengths and their ratio), Bicleaner's hard rules and
OpusFilter (identical sides, characters, languages, duplicates). Memory does not grow with the pairs, except for the
hashes by which duplicates are found: 11 to 17 bytes for each different pair, or about 200 for near ones.
"""

from __future__ import annotations

import html
import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from translora.config import CleaningConfig
from translora.data.cleaning.identify import Languages
from translora.data.cleaning.leakage import Duplicates, Leakage
from translora.data.cleaning.minhash import signatures
from translora.data.cleaning.near import CHUNK, NearDuplicates
from translora.data.pairs import Item, Pair, chunks
from translora.errors import DataError

_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\r\ufffd\ufffe\uffff]")


_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]+);")


_SHOWN = 5


_LEAKED = "also in validation or test"
UNREADABLE, DUPLICATE, NEAR = "unreadable line", "duplicate", "near duplicate"
"""The first and the last reasons: one is known before there is a pair, the others look at all pairs before it."""


@dataclass
class Dropped:
    """The pairs that one rule left out."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    """Some of them, drawn evenly: where each came from, and its texts; of near duplicates also the earlier place."""


class Cleaner:
    """The rules of a configuration, and the pairs that they left out so far."""

    def __init__(
        self,
        config: CleaningConfig,
        source: str,
        target: str,
        held_out: Iterable[Pair] = (),
        duplicates: Duplicates | None = None,
    ) -> None:
        """`source` and `target` are language codes, `held_out` the pairs of validation and test.

        `duplicates` tells which pairs came before, in place of one that has seen none.

        Raises `ConfigError` for a language that cannot be identified, where that is asked for.
        """
        self._config = config
        duplicates = duplicates or Duplicates(config.duplicates == "normalised")
        self._rules = list(_rules(config, source, target, held_out, duplicates))
        self._near = NearDuplicates() if config.duplicates == "near" else None
        self._draw = random.Random(0)
        self.dropped: dict[str, Dropped] = {}
        self.kept = 0

    def keep(self, items: Iterable[Item]) -> Iterator[Pair]:
        """The pairs to train on, in order; raises `DataError` at an unreadable line, unless these are skipped."""
        return (item for item, reason in self.sort(items) if not reason and isinstance(item, Pair))

    def sort(self, items: Iterable[Item]) -> Iterator[tuple[Item, str]]:
        """Each item with the reason to leave it out, empty for one that is kept; see `keep`.

        The reason for a near duplicate also names the place of the earlier pair.
        """
        judged = self._judged(items)
        for item, reason, earlier in self._apart(judged, self._near) if self._near else judged:
            if reason:
                reason = self.leave_out(reason, item, earlier)
            else:
                self.kept += 1
            yield item, reason

    def _judged(self, items: Iterable[Item]) -> Iterator[tuple[Item, str, str]]:
        """Each item with the reason against it that is found by the rules, near duplicates apart."""
        for item in self.readable(items):
            if isinstance(item, DataError):
                reason = UNREADABLE
            else:
                if self._config.html == "unescape":
                    item = _unescaped(item)
                reason = next((name for name, breaks in self._rules if breaks(item)), "")
            yield item, reason, ""

    @staticmethod
    def _apart(judged: Iterable[tuple[Item, str, str]], near: NearDuplicates) -> Iterator[tuple[Item, str, str]]:
        """The same, with near duplicates told and the place of the earlier pair; reads ahead by a chunk."""
        for chunk in chunks(judged, CHUNK):
            pairs = [item for item, reason, _ in chunk if not reason and isinstance(item, Pair)]
            found = iter(near.find(signatures(pairs), pairs))
            for item, reason, _ in chunk:
                earlier = "" if reason else next(found)
                yield item, NEAR if earlier else reason, earlier

    def readable(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; raises `DataError` at an unreadable line, unless these are skipped."""
        for item in items:
            if isinstance(item, DataError) and self._config.bad_lines == "stop":
                raise item
            yield item

    def apart_from(self, held_out: Iterable[Pair], pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Those of `pairs` that do not occur in `held_out`, which was drawn from the same pairs afterwards."""
        leakage = Leakage(held_out, self._config.leakage == "near")
        for pair in pairs:
            if leakage.holds(pair):
                self.leave_out(_LEAKED, pair)
            else:
                yield pair

    @property
    def reasons(self) -> str:
        """The reasons so far, with their counts, in words."""
        return ", ".join(f"{name}: {dropped.count:,}" for name, dropped in self.dropped.items()) or "none"

    def leave_out(self, reason: str, item: Item, earlier: str = "") -> str:
        """Count an item that is left out, and perhaps keep it as an example; returns the reason for its row.

        `earlier` is the place of the pair that it is nearly like.
        """
        dropped = self.dropped.setdefault(reason, Dropped())
        dropped.count += 1
        place = len(dropped.examples) if dropped.count <= _SHOWN else self._draw.randrange(dropped.count)
        if place < _SHOWN:
            dropped.examples[place : place + 1] = [_shown(item) + (f" (like {earlier})" if earlier else "")]
        return f"{reason} of {earlier}" if earlier else reason


def _shown(item: Item) -> str:
    if isinstance(item, DataError):
        return str(item)
    return f"{item.origin}: {_short(item.source)!r} | {_short(item.target)!r}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


Rule = Callable[[Pair], bool]


def _rules(
    config: CleaningConfig, source: str, target: str, held_out: Iterable[Pair], duplicates: Duplicates
) -> Iterator[tuple[str, Rule]]:
    """The rules by name, the cheap ones first, and that of duplicates last: it remembers only what is kept."""
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
    if config.html == "unescape":  # as the pairs are by then
        held_out = map(_unescaped, held_out)
    yield _LEAKED, Leakage(held_out, config.leakage == "near").holds
    if config.duplicates not in ("keep", "near"):
        yield DUPLICATE, duplicates.seen


def _unescaped(pair: Pair) -> Pair:
    """`pair` without HTML entities."""
    return pair._replace(source=html.unescape(pair.source), target=html.unescape(pair.target))


def has_empty_side(pair: Pair) -> bool:
    """Whether a side has no text: nothing, or only invisible characters, such as `&nbsp;` or a zero-width space."""
    return any(_is_blank(text) for text in pair[:2])


def _is_blank(text: str) -> bool:
    if text[:1].isalnum():  # the quick way for nearly all texts
        return False
    plain = html.unescape(text) if "&" in text else text
    return all(character.isspace() or unicodedata.category(character) == "Cf" for character in plain)


def has_control(pair: Pair) -> bool:
    """Whether a side has characters that belong in no text."""
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
