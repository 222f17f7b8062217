"""The faults of a corpus, line by line: `translora data check`. Looks for everything that a recipe can leave out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translora.config import CleaningConfig, SourceConfig
from translora.data.characters import CharacterCheck, UnknownCharacters, shown
from translora.data.cleaning.identify import Languages
from translora.data.cleaning.leakage import Duplicates, Leakage
from translora.data.cleaning.rules import has_control, has_empty_side, has_entities, has_identical_sides, length_ratio
from translora.data.pairs import Pair
from translora.data.readers.lines import DAMAGED, LONGEST, open_binary
from translora.data.readers.remarks import Remark, kept_remarks
from translora.data.readers.sources import format_of, read_items
from translora.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FATAL = "cannot be read further"
"""The problem behind which nothing more is known."""
_SHOWN = 5
_LINE_INSIDE = re.compile("[\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_MARK = b"\xef\xbb\xbf"
_TEXT_FORMATS = ("tsv", "csv", "jsonl", "text")
_STOPS, _LEFT_OUT, _STAYS = "stops training", "left out", "stays"


@dataclass(frozen=True)
class Extra:
    """Checks that need more than the corpus itself."""

    held_out: Iterable[Pair] = ()
    """Pairs that must not occur in it."""
    languages: bool = False
    """Whether the language of each side is identified."""
    tokenizer: PreTrainedTokenizerBase | None = None
    """The tokenizer whose vocabulary must have every character."""


@dataclass
class Finding:
    """One kind of problem."""

    count: int = 0
    places: list[str] = field(default_factory=list)
    """The first of them, as `file:line` or with the fault."""
    consequence: str = _STAYS
    """The effect in training, with the recipe's cleaning."""

    def add(self, place: str) -> None:
        """One more."""
        self.count += 1
        if len(self.places) < _SHOWN:
            self.places.append(place)


@dataclass
class Findings:
    """All that is wrong with one source."""

    path: str
    pairs: int = 0
    """Pairs that could be read."""
    problems: dict[str, Finding] = field(default_factory=dict)

    def add(self, name: str, place: str, consequence: str) -> None:
        """One more of a kind."""
        self.problems.setdefault(name, Finding(consequence=consequence)).add(place)

    unknown: UnknownCharacters | None = None
    """The characters that a model's vocabulary lacks, where one was named."""

    def add_remark(self, remark: Remark) -> None:
        """Add the remark of a reader."""
        found = self.problems.setdefault(remark.kind, Finding(consequence=_consequence(remark.left_out)))
        found.add(remark.place)
        found.count += remark.count - 1

    @property
    def stops(self) -> int:
        """How many places there are at which training would stop."""
        return sum(problem.count for problem in self.problems.values() if problem.consequence == _STOPS)


def check_corpus(
    config: SourceConfig,
    source: str,
    target: str,
    rules: CleaningConfig,
    extra: Extra | None = None,
) -> Findings:
    """Read one source to its end, or to where nothing more can be read, and count its faults.

    Raises `DataError` where there is no such file, and `ConfigError` for a language that cannot be identified.
    """
    findings = Findings(config.path)
    _check_bytes(config, findings)
    extra = extra or Extra()
    tests = list(_tests(rules, source, target, extra))
    vocabulary = CharacterCheck(extra.tokenizer) if extra.tokenizer else None
    remarks: list[Remark] = []
    try:
        with kept_remarks() as remarks:
            for item in read_items(config, source, target):
                if isinstance(item, DataError):
                    findings.add("unreadable line", str(item), _STOPS if rules.bad_lines == "stop" else _LEFT_OUT)
                    continue
                findings.pairs += 1
                for name, consequence, found in tests:
                    if found(item):
                        findings.add(name, item.origin, consequence)
                if vocabulary and (letters := vocabulary.add(item)):
                    findings.add("characters that the vocabulary lacks", f"{item.origin} ({shown(letters)})", _STAYS)
    except DataError as error:
        findings.add(FATAL, str(error), _STOPS)
    if not findings.pairs and not findings.problems:
        findings.add("no sentence pairs", config.path, _STOPS)
    for remark in remarks:
        findings.add_remark(remark)
    findings.unknown = vocabulary.result if vocabulary else None
    return findings


def _tests(
    rules: CleaningConfig, source: str, target: str, extra: Extra
) -> Iterator[tuple[str, str, Callable[[Pair], bool]]]:
    """The checks of each pair: name, effect in training, and test."""
    chars, ratio = rules.max_chars or CleaningConfig().max_chars, rules.max_ratio or CleaningConfig().max_ratio
    yield "empty side", _LEFT_OUT, has_empty_side
    yield "control characters", _consequence(rules.control == "drop"), has_control
    yield "line ends inside", _STAYS, lambda pair: any(_LINE_INSIDE.search(text) for text in pair[:2])
    yield "HTML entities", _consequence(rules.html == "drop"), has_entities
    yield "identical sides", _consequence(rules.identical == "drop"), has_identical_sides
    yield (
        f"over {chars} characters",
        _consequence(bool(rules.max_chars)),
        lambda pair: max(map(len, pair[:2])) > chars,
    )
    yield (
        f"lengths over 1:{ratio:g}",
        _consequence(bool(rules.max_ratio)),
        lambda pair: length_ratio(pair) > ratio,
    )
    yield "duplicate", _consequence(rules.duplicates != "keep"), Duplicates(False).seen
    yield "duplicate, normalised", _consequence(rules.duplicates == "normalised"), Duplicates(True).seen
    pairs = list(extra.held_out)
    if pairs:
        yield "also in validation or test", _LEFT_OUT, Leakage(pairs, near=False).holds
        yield (
            "nearly in validation or test",
            _consequence(rules.leakage == "near"),
            Leakage(pairs, near=True).holds,
        )
    if extra.languages:
        yield "another language", _consequence(rules.language == "drop"), Languages(source, target).differ


def _consequence(left_out: bool) -> str:
    return _LEFT_OUT if left_out else _STAYS


def _check_bytes(config: SourceConfig, findings: Findings) -> None:
    """Count the marks that reading removes without a word: byte order marks and Windows' line ends."""
    if format_of(config) not in _TEXT_FORMATS:
        return
    for name in filter(None, (config.path, config.target_path)):
        windows = False
        with open_binary(Path(name)) as stream, suppress(*DAMAGED):  # read_items says what is wrong
            number = 1
            while line := stream.readline(LONGEST):
                for _ in range(line.startswith(_MARK) + line.count(b"\t" + _MARK)):
                    findings.add("byte order mark (ignored)", f"{name}:{number}", _STAYS)
                windows = windows or line.endswith(b"\r\n")
                number += line.endswith(b"\n")
        if windows:
            findings.add("Windows line ends (ignored)", name, _STAYS)


def as_dict(findings: list[Findings]) -> dict[str, Any]:
    """The findings for machines."""
    return {
        found.path: {
            "pairs": found.pairs,
            **({"unknown_characters": asdict(found.unknown)} if found.unknown else {}),
            "problems": {
                name: {"count": problem.count, "places": problem.places, "consequence": problem.consequence}
                for name, problem in found.problems.items()
            },
        }
        for found in findings
    }
