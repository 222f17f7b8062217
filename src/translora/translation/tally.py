"""Counts of a glossary's terms over many texts: how many occurred, how many were honoured, and where not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from translora.io import console
from translora.translation.terms import Term, TermUse

_SHOWN = 8
_PLACES = 20
"""Places that are kept of each term."""


def together(uses: Iterable[TermUse]) -> tuple[TermUse, ...]:
    """The uses of each term as one."""
    found = dict[Term, TermUse]()
    for use in uses:
        before = found.get(use.term, TermUse(use.term, 0, 0))
        found[use.term] = TermUse(use.term, before.occurred + use.occurred, before.honoured + use.honoured)
    return tuple(found.values())


@dataclass
class TermTally:
    """The terms that were met, the most frequent misses first where they are shown."""

    used: dict[Term, TermUse] = field(default_factory=dict)
    places: dict[Term, list[str]] = field(default_factory=dict)
    """Where terms were missed first, as `file:line`."""

    def add(self, place: str, uses: Iterable[TermUse]) -> None:
        """The terms of the text at `place`."""
        for use in uses:
            (self.used[use.term],) = together([self.used.get(use.term, TermUse(use.term, 0, 0)), use])
            found = self.places.setdefault(use.term, [])
            if use.missed and len(found) < _PLACES:
                found.append(place)

    @property
    def occurred(self) -> int:
        """How often terms occurred."""
        return sum(use.occurred for use in self.used.values())

    @property
    def honoured(self) -> int:
        """How many of these the translations honour."""
        return sum(use.honoured for use in self.used.values())

    @property
    def missed(self) -> list[TermUse]:
        """The terms that were not honoured everywhere, those that were missed most first."""
        return sorted((use for use in self.used.values() if use.missed), key=lambda use: -use.missed)

    def as_dict(self) -> dict[str, Any]:
        """The counts, in all and by term, for JSON."""
        return {
            "occurred": self.occurred,
            "honoured": self.honoured,
            "terms": [
                {**use.as_dict(), "missed_at": self.places[use.term]}
                for use in sorted(self.used.values(), key=lambda use: (-use.missed, -use.occurred))
            ],
        }

    def words(self) -> str:
        """The counts in words."""
        if not self.used:
            return "none of its terms occurred"
        share = self.honoured / self.occurred
        return f"{self.honoured:,} of {self.occurred:,} terms honoured ({share:.1%})"

    def say(self, label: str) -> None:
        """Say in one line how many terms were honoured, and in one line for each of the worst where they were not."""
        console.notice(f"{label}: glossary: {self.words()}")
        for use in self.missed[:_SHOWN]:
            places = self.places[use.term]
            shown = ", ".join(places[:3]) + (", ..." if use.missed > 3 else "")
            entry = f"{use.term.origin}: " if use.term.origin else ""
            console.notice(f"{entry}{use.term} was not honoured in {use.missed:,} of {use.occurred:,} places: {shown}")
        if (more := len(self.missed) - _SHOWN) > 0:
            console.notice(f"{label}: glossary: {more:,} more terms were not honoured everywhere")
