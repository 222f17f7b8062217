"""Segments with their ratings, for a reviewer: written as JSON lines as they come, counted, the worst kept.

Knows segments and ratings; how they are shown is `translora.report.review`'s.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TextIO

from translora.translation.quality import FLAGS, Flag, Origin, Rater, Rating
from translora.translation.result import Translation
from translora.translation.tally import TermTally

MOST = 2_000
"""Segments that are kept, the worst of all."""


@dataclass(frozen=True)
class Place:
    """Where a segment is."""

    file: str
    segment: int
    """Its number in the file, from 1."""
    line: int = 0
    """The line that it begins in, from 1; 0 where the format has none."""
    note: str = ""
    """The place inside the document, such as a key."""

    def __str__(self) -> str:
        where = f":{self.line}" if self.line else f", segment {self.segment}"
        return f"{self.file}{where}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Row:
    """A translated segment."""

    place: Place
    source: str
    translation: str
    rating: Rating

    @property
    def badness(self) -> tuple[bool, float, int]:
        """What rows are ordered by, the worst highest: flags or none, confidence, the number of flags."""
        rating = self.rating
        return bool(rating.flags), -(rating.confidence or 0.0), len(rating.flags)

    def json(self) -> str:
        """The row as one line of JSON."""
        rating = self.rating
        confidence = None if rating.confidence is None else round(rating.confidence, 4)
        return json.dumps(
            {
                "file": self.place.file, "segment": self.place.segment, "line": self.place.line,
                "note": self.place.note, "source": self.source, "translation": self.translation,
                "origin": rating.origin, "confidence": confidence, "flags": list(rating.flags),
                "terms": [use.as_dict() for use in rating.terms],
            },
            ensure_ascii=False,
        )  # fmt: skip


@dataclass
class Totals:
    """Counts of all segments."""

    segments: int = 0
    flagged: int = 0
    flags: Counter[Flag] = field(default_factory=Counter)
    origins: Counter[Origin] = field(default_factory=Counter)
    terms: TermTally = field(default_factory=TermTally)
    """The terms of a glossary."""

    def words(self) -> str:
        """The counts in one line."""
        kinds = ", ".join(f"{name} {self.flags[name]:,}" for name in FLAGS if self.flags[name])
        return f"{self.flagged:,} of {self.segments:,} translated segments have flags" + (f": {kinds}" if kinds else "")


class Review:
    """Takes the translated segments of one start of the program, and rates each."""

    def __init__(self, rater: Rater, stream: TextIO | None = None, most: int = MOST) -> None:
        """Rows go to `stream` as lines of JSON, where one is given; the `most` worst are kept."""
        self._rater, self._stream, self._most = rater, stream, most
        self.totals = Totals()
        self.terms = TermTally()
        self._order = count(0, -1)
        self._worst: list[tuple[tuple[bool, float, int], int, Row]] = []

    def add(
        self,
        place: Place,
        source: str,
        translation: str,
        parts: Sequence[Translation],
        apart: bool = False,
        earlier: bool = False,
    ) -> Rating:
        """Rate a segment, and take it; see `Rater.rate`."""
        rating = self._rater.rate(source, translation, parts, apart, earlier)
        row = Row(place, source, translation, rating)
        self.terms.add(str(place), rating.terms)
        self.totals.segments += 1
        self.totals.flagged += bool(rating.flags)
        self.totals.flags.update(rating.flags)
        self.totals.origins[rating.origin] += 1
        self.totals.terms.add(str(place), rating.terms)
        if self._stream is not None:
            self._stream.write(row.json() + "\n")
        entry = row.badness, next(self._order), row
        if len(self._worst) < self._most:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)
        return rating

    def worst(self) -> list[Row]:
        """The rows that were kept, the worst first; of equals in the order in which they came."""
        return [row for _, _, row in sorted(self._worst, reverse=True)]
