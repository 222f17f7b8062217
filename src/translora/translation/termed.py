"""Translations that follow a glossary: annotated for models that were trained so, then the candidate that honours most.

Nothing is forced: what was not honoured is counted. What translates is handed in as an `Engine`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from translora.config import DecodingConfig
from translora.translation.kept import Engine
from translora.translation.protect import Span
from translora.translation.result import Translation
from translora.translation.terms import Glossary, Match, TermMarks, TermUse

_BEAMS = 8
"""Of the search for a translation that honours more terms."""
_MOST_KEPT = 4096
"""Texts whose terms are remembered while their translations are compared."""


class Terminology:
    """A glossary, for texts that one model translates."""

    def __init__(
        self, glossary: Glossary, marks: TermMarks | None, hidden: Callable[[str], Sequence[Span]] = lambda text: ()
    ) -> None:
        """`marks` are those that the model was trained with, if it was; in the spans `hidden` of a text is no term."""
        self._glossary, self._marks, self._hidden = glossary, marks, hidden
        self._matches = lru_cache(_MOST_KEPT)(self._found)
        self._kept = lru_cache(_MOST_KEPT)(self._strings)

    def engine(self, engine: Engine) -> Engine:
        """`engine`, following the glossary."""

        def work(
            texts: Sequence[str], decoding: DecodingConfig, advance: Callable[[int], None], scores: bool
        ) -> list[Translation]:
            first = engine.work(self.sent(texts), decoding, advance, scores)
            return self.checked(texts, first, engine, decoding, scores)

        def candidates(texts: Sequence[str], decoding: DecodingConfig, scores: bool) -> list[list[Translation]]:
            every = engine.candidates(self.sent(texts), decoding, scores)
            return [self._ranked(text, several) for text, several in zip(texts, every, strict=True)]

        return Engine(work, candidates)

    def sent(self, texts: Sequence[str]) -> list[str]:
        """The texts as the model reads them."""
        return [self._annotated(text) for text in texts]

    def checked(
        self,
        texts: Sequence[str],
        first: Sequence[Translation],
        engine: Engine,
        decoding: DecodingConfig,
        scores: bool = False,
    ) -> list[Translation]:
        """A translation of each of `texts`, of which the model gave `first` for what was `sent`.

        Where that misses a term, a wider search of `engine` looks for one that honours more.
        """
        found = [self._clean(one) for one in first]
        lost = [i for i, text in enumerate(texts) if self._missed(text, found[i].text)]
        if lost:
            wide = replace(decoding, beams=max(_BEAMS, decoding.beams))
            every = engine.candidates([self._annotated(texts[i]) for i in lost], wide, scores)
            for i, several in zip(lost, every, strict=True):
                others = [one for one in map(self._clean, several) if self._keeps(texts[i], one.text)]
                best = self._ranked(texts[i], [found[i], *others])[0]
                found[i] = replace(best, alternatives=found[i].alternatives)
        return found

    def uses(self, text: str, translation: str) -> tuple[TermUse, ...]:
        """The terms of a text, and how often each was honoured."""
        wanted = self._wanted(text)
        kept = self._glossary.honoured(wanted, translation)
        terms = self._glossary.terms
        return tuple(TermUse(terms[number], times, kept[number]) for number, times in Counter(wanted).items())

    def _found(self, text: str) -> tuple[Match, ...]:
        """The terms of a text, looked up once for all its translations."""
        return tuple(self._glossary.found(text, self._hidden(text)))

    def _strings(self, text: str) -> Counter[str]:
        """The placeholders of a text, counted."""
        return Counter(text[start:end] for start, end in self._hidden(text))

    def _wanted(self, text: str) -> list[int]:
        return [match.term for match in self._matches(text)]

    def _annotated(self, text: str) -> str:
        if self._marks is None or self._marks.in_text(text):
            return text
        matches = self._matches(text)
        return self._marks.annotated(text, [(one.end, self._glossary.terms[one.term].target[0]) for one in matches])

    def _clean(self, one: Translation) -> Translation:
        if self._marks is None:
            return one
        return replace(one, text=self._marks.clean(one.text), alternatives=tuple(map(self._clean, one.alternatives)))

    def _missed(self, text: str, translation: str) -> int:
        wanted = self._wanted(text)
        return len(wanted) - self._glossary.honoured(wanted, translation).total() if wanted else 0

    def _ranked(self, text: str, several: Sequence[Translation]) -> list[Translation]:
        """The translations that miss the fewest terms first, else in their order."""
        return sorted(map(self._clean, several), key=lambda one: self._missed(text, one.text))

    def _keeps(self, text: str, translation: str) -> bool:
        """Whether a translation has the placeholders of its text."""
        return self._kept(text) == self._strings(translation)


def with_uses(lines: Sequence[str], found: Sequence[Translation], terms: Terminology | None) -> list[Translation]:
    """The translations of `lines` with the terms that each has; without `terms` as they are."""
    if terms is None:
        return list(found)
    return [replace(one, terms=terms.uses(line, one.text)) for line, one in zip(lines, found, strict=True)]
