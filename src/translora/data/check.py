"""The faults of a corpus, line by line: `translora data check`. Looks for everything that a recipe can leave out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from translora.config import CleaningConfig, SourceConfig
from translora.data.characters import CharacterCheck, CharacterCounts, UnknownCharacters, shown
from translora.data.cleaning.identify import Languages
from translora.data.cleaning.leakage import Duplicates, Leakage
from translora.data.cleaning.minhash import Rows, signatures
from translora.data.cleaning.near import CHUNK, NearDuplicates
from translora.data.cleaning.rules import (
    NEAR,
    has_control,
    has_empty_side,
    has_entities,
    has_identical_sides,
    length_ratio,
)
from translora.data.pairs import Item, Pair
from translora.data.readers.lines import DAMAGED, LONGEST, open_binary
from translora.data.readers.remarks import Remark, kept_remarks
from translora.data.readers.sources import format_of, read_items
from translora.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FATAL = "cannot be read further"
"""The problem behind which nothing more is known."""
DUPLICATES = {"duplicate": False, "duplicate, normalised": True}
"""The two ways in which a pair may have come before, and whether its texts are compared in their normalised form."""
SHOWN = 5
"""Places that are kept of each kind of problem."""
_LINE_INSIDE = re.compile("[\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_MARK = b"\xef\xbb\xbf"
_TEXT_FORMATS = ("tsv", "csv", "jsonl", "text")
_STOPS, _LEFT_OUT, _STAYS = "stops training", "left out", "stays"
_LAST = 1000
"""The number of the check for near duplicates, behind all others."""
_BEFORE = (-1, 0)
"""The place in the order of findings of one that belongs to no row."""


@dataclass(frozen=True)
class Extra:
    """Checks that need more than the corpus itself."""

    held_out: Iterable[Pair] = ()
    """Pairs that must not occur in it."""
    languages: bool = False
    """Whether the language of each side is identified."""
    near: bool = False
    """Whether near duplicates are counted, in half as much time again and 180 to 240 bytes for each different pair."""
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
    order: tuple[int, int] = _BEFORE
    """The row of the first of them, from 0, and the number of the check that found it."""

    def add(self, place: str) -> None:
        """One more."""
        self.count += 1
        if len(self.places) < SHOWN:
            self.places.append(place)


@dataclass
class Findings:
    """All that is wrong with one source."""

    path: str
    pairs: int = 0
    """Pairs that could be read."""
    problems: dict[str, Finding] = field(default_factory=dict)

    unknown: UnknownCharacters | None = None
    """The characters that a model's vocabulary lacks, where one was named."""

    def add(self, name: str, place: str, consequence: str, order: tuple[int, int] = _BEFORE) -> None:
        """One more of a kind; see `Finding.order`."""
        self.problems.setdefault(name, Finding(consequence=consequence, order=order)).add(place)

    def merge(self, later: Findings, row: int) -> None:
        """Add the findings of later rows of the same source, the first of which has the number `row`."""
        self.pairs += later.pairs
        for name, found in later.problems.items():
            order = found.order[0] + row, found.order[1]
            own = self.problems.setdefault(name, Finding(consequence=found.consequence, order=order))
            own.count += found.count
            own.places += found.places[: max(0, SHOWN - len(own.places))]

    def sort(self) -> None:
        """Put the problems into the order in which they were first found."""
        self.problems = dict(sorted(self.problems.items(), key=lambda item: item[1].order))

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
    extra = extra or Extra()
    checks = PairChecks(config.path, rules, (source, target), extra)
    findings, near = checks.findings, NearFindings(checks.findings, rules)
    check_bytes(config, findings)
    with closing_remarks(findings):
        try:
            for row, item in enumerate(read_items(config, source, target)):
                checks.add(item)
                if extra.near and isinstance(item, Pair):
                    near.add(row, item)
        finally:
            near.close()
    findings.unknown = checks.unknown
    return findings


@contextmanager
def closing_remarks(findings: Findings) -> Iterator[None]:
    """Read a source inside the block: at its end, what ended the reading and the remarks of its reader are added."""
    remarks: list[Remark] = []
    try:
        with kept_remarks() as remarks:
            yield
    except DataError as error:
        findings.add(FATAL, str(error), _STOPS)
    if not findings.pairs and not findings.problems:
        findings.add("no sentence pairs", findings.path, _STOPS)
    for remark in remarks:
        findings.add_remark(remark)


class Check(NamedTuple):
    """A check of each pair."""

    name: str
    consequence: str
    """The effect in training."""
    found: Callable[[Pair], bool]


class PairChecks:
    """The checks of each pair of one source, and their findings so far."""

    def __init__(
        self,
        path: str,
        rules: CleaningConfig,
        languages: tuple[str, str],
        extra: Extra,
        duplicates: type[Duplicates] = Duplicates,
    ) -> None:
        """`duplicates` tells which pairs came before.

        Raises `ConfigError` for a language that cannot be identified, where that is asked for.
        """
        self.findings = Findings(path)
        self.duplicates = {name: duplicates(normalised) for name, normalised in DUPLICATES.items()}
        self.tests = [*_tests(rules, *languages, extra, self.duplicates)]
        self.vocabulary = CharacterCheck(extra.tokenizer) if extra.tokenizer else None
        self._unreadable = _STOPS if rules.bad_lines == "stop" else _LEFT_OUT
        self._rows = 0

    def begin(self) -> None:
        """Forget all findings, for other rows of the same source."""
        self.findings = Findings(self.findings.path)
        self._rows = 0
        for one in self.duplicates.values():
            one.clear()
        if self.vocabulary:
            self.vocabulary.counts = CharacterCounts()

    def add(self, item: Item) -> None:
        """Check one pair, or count one line that cannot be read."""
        row = self._rows
        self._rows += 1
        if isinstance(item, DataError):
            self.findings.add("unreadable line", str(item), self._unreadable, (row, -1))
            return
        self.findings.pairs += 1
        for number, test in enumerate(self.tests):
            if test.found(item):
                self.findings.add(test.name, item.origin, test.consequence, (row, number))
        if self.vocabulary and (letters := self.vocabulary.add(item)):
            place = f"{item.origin} ({shown(letters)})"
            self.findings.add("characters that the vocabulary lacks", place, _STAYS, (row, len(self.tests)))

    @property
    def unknown(self) -> UnknownCharacters | None:
        """The characters that the vocabulary lacks, where there is one."""
        return self.vocabulary.result if self.vocabulary else None


class NearFindings:
    """Adds the near duplicates of one source to its findings, behind all other problems of the same row."""

    def __init__(self, findings: Findings, rules: CleaningConfig) -> None:
        self._findings = findings
        self._consequence = _consequence(rules.duplicates == "near")
        self._near = NearDuplicates()
        self._waiting: list[tuple[int, Pair]] = []

    def add(self, row: int, pair: Pair) -> None:
        """The pair of a row; it is looked at with those of other rows."""
        self._waiting.append((row, pair))
        if len(self._waiting) == CHUNK:
            self._look()

    def add_signatures(self, rows: Sequence[int], pairs: Sequence[Pair], signed: Rows) -> None:
        """The pairs of some rows by their signatures; their texts are not looked at."""
        for row, pair, earlier in zip(rows, pairs, self._near.find(signed, pairs), strict=True):
            if earlier:
                place = f"{pair.origin} (like {earlier})"
                self._findings.add(NEAR, place, self._consequence, (row, _LAST))

    def close(self) -> None:
        """Look at the pairs that still wait, and put all findings into their order."""
        self._look()
        self._findings.sort()

    def _look(self) -> None:
        rows, pairs = [row for row, _ in self._waiting], [pair for _, pair in self._waiting]
        self._waiting = []
        self.add_signatures(rows, pairs, signatures(pairs))


def _tests(
    rules: CleaningConfig, source: str, target: str, extra: Extra, duplicates: Mapping[str, Duplicates]
) -> Iterator[Check]:
    """The checks of each pair."""
    chars, ratio = rules.max_chars or CleaningConfig().max_chars, rules.max_ratio or CleaningConfig().max_ratio
    yield Check("empty side", _LEFT_OUT, has_empty_side)
    yield Check("control characters", _consequence(rules.control == "drop"), has_control)
    yield Check("line ends inside", _STAYS, lambda pair: any(_LINE_INSIDE.search(text) for text in pair[:2]))
    yield Check("HTML entities", _consequence(rules.html == "drop"), has_entities)
    yield Check("identical sides", _consequence(rules.identical == "drop"), has_identical_sides)
    yield Check(
        f"over {chars} characters",
        _consequence(bool(rules.max_chars)),
        lambda pair: max(map(len, pair[:2])) > chars,
    )
    yield Check(
        f"lengths over 1:{ratio:g}",
        _consequence(bool(rules.max_ratio)),
        lambda pair: length_ratio(pair) > ratio,
    )
    for (name, one), left_out in zip(
        duplicates.items(),
        (rules.duplicates != "keep", rules.duplicates in ("normalised", "near")),
        strict=True,
    ):
        yield Check(name, _consequence(left_out), one.seen)
    pairs = list(extra.held_out)
    if pairs:
        yield Check("also in validation or test", _LEFT_OUT, Leakage(pairs, near=False).holds)
        yield Check(
            "nearly in validation or test",
            _consequence(rules.leakage == "near"),
            Leakage(pairs, near=True).holds,
        )
    if extra.languages:
        yield Check("another language", _consequence(rules.language == "drop"), Languages(source, target).differ)


def _consequence(left_out: bool) -> str:
    return _LEFT_OUT if left_out else _STAYS


def check_bytes(config: SourceConfig, findings: Findings) -> None:
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
