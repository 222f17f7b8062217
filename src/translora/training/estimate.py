"""How long a run takes, and how much of it fits a given time: arithmetic on rates that were measured elsewhere."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from translora.errors import ConfigError

LEAST_STEPS = 20
"""The fewest steps, and the fewest pairs of validation and test, that a run is shortened to."""
LEAST_PAIRS = 50
_HELD_OUT_SHARE = 0.5
"""The largest share of the time that validation and test get where they must be shortened."""
_RESERVE = 0.1
"""The share of the time that is left for what was not measured, such as a program that starts meanwhile."""


class Rates(NamedTuple):
    """How long this machine takes, in seconds."""

    train: float
    """Per source and target token of a training step."""
    search: float
    """Per source token of a test pair that is translated."""
    greedy: float
    """Per source token of a validation pair that is translated."""
    loss: float
    """Per source and target token of a validation pair, for its loss."""
    score: float = 0.0
    """Per test pair, for the scores and the report."""


@dataclass(frozen=True)
class Work:
    """What is left of a run."""

    steps: Sequence[int]
    """The source and target tokens of each step that is left, in order."""
    validates: Sequence[bool]
    """Whether a validation follows each of these steps."""
    validation_sources: int
    """Source tokens of the validation pairs that are translated."""
    validation_tokens: int
    """Source and target tokens of all validation pairs."""
    validation_pairs: int
    test_sources: int
    """Source tokens of all test pairs."""
    test_pairs: int
    translations: int = 2
    """How often the test pairs are still to be translated: before and after training, or after it alone."""

    @property
    def whole(self) -> Size:
        """All that is left."""
        return Size(len(self.steps), self.validation_pairs, self.test_pairs)


class Size(NamedTuple):
    """How much of the work is done."""

    steps: int
    validation_pairs: int
    test_pairs: int


class Estimate(NamedTuple):
    """The time of a run in seconds."""

    training: float
    validating: float
    translating: float
    scoring: float
    validations: int
    translations: int

    @property
    def total(self) -> float:
        """The seconds of everything."""
        return self.training + self.validating + self.translating + self.scoring

    @property
    def words(self) -> str:
        """One line, without a full stop."""
        parts = []
        if self.training:
            times = "1 validation" if self.validations == 1 else f"{self.validations} validations"
            parts += [f"training {clock(self.training)}", f"{times} {clock(self.validating)}"]
        if self.translations:
            twice = " twice" if self.translations == 2 else ""
            parts.append(f"translating the test set{twice} {clock(self.translating)}")
        if self.scoring:
            parts.append(f"scores and report {clock(self.scoring)}")
        return f"about {rounded(self.total)} on this machine: {', '.join(parts)}"


def estimate(work: Work, rates: Rates, size: Size) -> Estimate:
    """The time of `size` of the work. Of pairs that are left out, the others are taken to be as long on average."""
    validations = _validations(work, size.steps)
    share = size.validation_pairs / max(1, work.validation_pairs)
    once = share * (rates.greedy * work.validation_sources + rates.loss * work.validation_tokens)
    test = size.test_pairs / max(1, work.test_pairs) * rates.search * work.test_sources
    return Estimate(
        training=rates.train * sum(work.steps[: size.steps]),
        validating=validations * once,
        translating=work.translations * test,
        scoring=rates.score * size.test_pairs,
        validations=validations,
        translations=work.translations,
    )


def _validations(work: Work, steps: int) -> int:
    """How many validations the first `steps` steps have; one follows the last step in any case."""
    return sum(work.validates[: steps - 1]) + 1 if steps else 0


def shortened(work: Work, rates: Rates, seconds: float) -> Size:
    """The largest part of the work that takes `seconds` at most: fewer steps first of all.

    Validation and test keep all their pairs unless they alone would take more than half of the time; then they are
    shortened alike.

    Raises `ConfigError` where not even the least of all fits.
    """
    most = (1 - _RESERVE) * seconds
    if estimate(work, rates, work.whole).total <= most:
        return work.whole
    least = Size(*map(min, work.whole, (LEAST_STEPS, LEAST_PAIRS, LEAST_PAIRS)))
    if (needs := estimate(work, rates, least).total) > most:
        raise ConfigError(
            f"minutes: the shortest run takes about {rounded(needs / (1 - _RESERVE))} more on this machine, and "
            f"{rounded(max(0.0, seconds))} are left: raise it"
        )
    once = estimate(work, rates, Size(1, *work.whole[1:]))
    held_out = once.total - once.training
    share = min(1.0, _HELD_OUT_SHARE * most / held_out) if held_out else 1.0
    pairs = [max(floor, int(share * count)) for floor, count in zip(least[1:], work.whole[1:], strict=True)]

    def needed(steps: int) -> float:
        return estimate(work, rates, Size(steps, *pairs)).total

    fits = bisect.bisect_right(range(len(work.steps) + 1), most, key=needed) - 1
    return Size(max(least.steps, fits), *pairs) if fits >= least.steps else least


def evenly(count: int, total: int) -> list[int]:
    """`count` of the numbers from 0 to `total` - 1, evenly spaced; all of them where there are not more."""
    count = min(count, total)
    return [number * total // count for number in range(count)]


def rounded(seconds: float) -> str:
    """A time in words: seconds to ten below a minute and a half, else minutes, to a half below ten."""
    if seconds < 90:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    minutes = round(seconds / 30) / 2 if seconds < 600 else round(seconds / 60)
    return f"{minutes:g} minutes"


def clock(seconds: float) -> str:
    """A time as minutes and seconds."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"
