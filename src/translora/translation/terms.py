"""Terms in texts: where they stand, whatever their inflection, and what a glossary makes of them.

Knows texts; knows nothing of models and files.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from translora.errors import ConfigError
from translora.io.files import sha256
from translora.languages import UNSPACED, subtags

_TOKEN = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+|[^\w\s]")
"""A word, or a sign; in scripts that put no spaces between words, each character."""
_STEMMERS = {
    "ar": "arabic", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english", "eo": "esperanto",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "st": "sesotho", "sv": "swedish", "ta": "tamil",
    "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
"""Snowball's algorithms, by language."""

_MOST_KEPT = 100_000
"""Stems, and sets of terms, that are remembered."""


class Token(NamedTuple):
    """A word or a sign of a text, and where it stands."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Term:
    """What a source term is to be called in the target language."""

    source: tuple[str, ...]
    """The term, and other forms of it."""
    target: tuple[str, ...]
    """Its translation, and others that do as well."""
    case: bool = False
    """Whether upper and lower case must be as they are here."""
    exact: bool = False
    """Whether only these forms count, and not others of the same stem."""
    origin: str = ""
    """`file:line`, for messages."""

    def __str__(self) -> str:
        return f"{self.source[0]} = {self.target[0]}"


@dataclass(frozen=True)
class TermUse:
    """A term of one text, or of many."""

    term: Term
    occurred: int
    """How often it is in the source."""
    honoured: int
    """How many of these the translation has as the glossary says."""

    @property
    def missed(self) -> int:
        """How many it has not."""
        return self.occurred - self.honoured

    def as_dict(self) -> dict[str, str | int]:
        """The counts, for JSON."""
        return {
            "source": self.term.source[0], "target": self.term.target[0],
            "occurred": self.occurred, "honoured": self.honoured,
        }  # fmt: skip


class Match(NamedTuple):
    """A term in a text."""

    start: int
    end: int
    term: int
    """Its number in the glossary."""


def tokens_of(text: str) -> list[Token]:
    """The words and signs of a text."""
    return [Token(match[0], *match.span()) for match in _TOKEN.finditer(text)]


@cache
def stemmer(language: str) -> Callable[[str], str]:
    """What gives the stem of a lower-case word by Snowball's rules; the word itself where they do not know `language`.

    Raises `ConfigError` where the library is not installed.
    """
    name = _STEMMERS.get(subtags(language).language)
    try:
        import snowballstemmer
    except ImportError as error:
        raise ConfigError("a glossary needs snowballstemmer: pip install 'translora[glossary]'") from error
    if name is None or name not in snowballstemmer.algorithms():
        return str.casefold
    rules, lock, known = snowballstemmer.stemmer(name), threading.Lock(), dict[str, str]()

    def stem(word: str) -> str:
        found = known.get(word)
        if found is None:
            if len(known) > _MOST_KEPT:
                known.clear()
            with lock:  # a stemmer has one buffer
                found = known[word] = rules.stemWord(word.lower())
        return found

    return stem


class _Form(NamedTuple):
    words: tuple[str, ...]
    term: int
    case: bool
    exact: bool


class _Index:
    """Finds forms of terms in texts of one language."""

    def __init__(self, language: str, forms: Iterable[tuple[int, str, Term]]) -> None:
        self._stem = stemmer(language)
        self._forms: dict[str, list[_Form]] = {}
        for number, text, term in forms:
            words = tuple(token.text for token in tokens_of(text))
            if words:
                self._forms.setdefault(self._stem(words[0]), []).append(_Form(words, number, term.case, term.exact))
        for found in self._forms.values():
            found.sort(key=lambda one: (-len(one.words), not one.case, not one.exact, one.term))

    def matches(self, text: str, tokens: Sequence[Token]) -> list[Match]:
        """The terms in `text`, none within another: at each place the longest."""
        found, place = list[Match](), 0
        while place < len(tokens):
            fits = (
                one for one in self._forms.get(self._stem(tokens[place].text), ()) if self._fits(one, tokens, place)
            )
            form = next((one for one in fits if _together(text, tokens[place : place + len(one.words)])), None)
            if form is None:
                place += 1
                continue
            last = place + len(form.words)
            found.append(Match(tokens[place].start, tokens[last - 1].end, form.term))
            place = last
        return found

    def _fits(self, form: _Form, tokens: Sequence[Token], place: int) -> bool:
        there = tokens[place : place + len(form.words)]
        return len(there) == len(form.words) and all(
            self._same(form, word, token.text) for word, token in zip(form.words, there, strict=True)
        )

    def _same(self, form: _Form, word: str, other: str) -> bool:
        if word == other:
            return True
        if form.exact:
            return not form.case and word.casefold() == other.casefold()
        stem = self._stem(word)
        if stem != self._stem(other):
            return False
        return not form.case or word[: len(stem)] == other[: len(stem)]


def _together(text: str, tokens: Sequence[Token]) -> bool:
    """Whether nothing but white space stands between `tokens`."""
    return all(not text[one.end : next.start].strip() for one, next in pairwise(tokens))


class Glossary:
    """Terms of two languages, found in texts of either."""

    def __init__(self, terms: Sequence[Term], source: str, target: str) -> None:
        """`source` and `target` are the languages' codes."""
        self.terms = tuple(terms)
        self._source = _Index(source, ((i, form, term) for i, term in enumerate(terms) for form in term.source))
        self._targets: dict[frozenset[int], _Index] = {}
        self._target = target

    def __len__(self) -> int:
        return len(self.terms)

    def content_hash(self) -> str:
        """SHA-256 of the terms and their order; where they came from does not count."""
        return sha256(*(repr((one.source, one.target, one.case, one.exact)) for one in self.terms))

    def found(self, text: str, hidden: Sequence[tuple[int, int]] = ()) -> list[Match]:
        """The terms in a source text, in order; its parts `hidden` (start and end of each) belong to none."""
        tokens = tokens_of(text)
        if hidden:
            tokens = [one for one in tokens if not any(start <= one.start < end for start, end in hidden)]
        return self._source.matches(text, tokens)

    def translations(self, wanted: Sequence[int], text: str) -> list[Match]:
        """Where the translations of the terms `wanted` stand in a target text, none within another."""
        return self._index(frozenset(wanted)).matches(text, tokens_of(text))

    def honoured(self, wanted: Sequence[int], translation: str) -> Counter[int]:
        """How often each of the terms `wanted`, one number an occurrence, is translated by its translation."""
        counts = Counter(wanted)
        found = Counter(match.term for match in self.translations(wanted, translation))
        rivals = self._rivals(counts)
        kept: Counter[int] = Counter()
        for number, times in counts.items():
            for _ in range(times):
                taken = next((rival for rival in rivals[number] if found[rival]), None)
                if taken is not None:
                    found[taken] -= 1
                    kept[number] += 1
        return kept

    def _rivals(self, counts: Mapping[int, int]) -> dict[int, list[int]]:
        """For each of some terms those that have a translation in common with it, itself first."""
        forms = {number: {form.casefold() for form in self.terms[number].target} for number in counts}
        return {
            number: [number, *(other for other in counts if other != number and forms[other] & forms[number])]
            for number in counts
        }

    def _index(self, numbers: frozenset[int]) -> _Index:
        found = self._targets.get(numbers)
        if found is None:
            if len(self._targets) > _MOST_KEPT:
                self._targets.clear()
            forms = [(i, form, self.terms[i]) for i in sorted(numbers) for form in self.terms[i].target]
            found = self._targets[numbers] = _Index(self._target, forms)
        return found


@dataclass(frozen=True)
class TermMarks:
    """How a translation is written into a source text: after the term, between `before` and `after`."""

    before: str
    after: str

    def annotated(self, text: str, matches: Sequence[tuple[int, str]]) -> str:
        """`text` with a translation after each of some places, which are in order; see `clean`."""
        pieces, done = list[str](), 0
        for end, translation in matches:
            pieces += [text[done:end], f" {self.before} {translation} {self.after}"]
            done = end
        return "".join([*pieces, text[done:]])

    def clean(self, text: str) -> str:
        """`text` without annotations and marks, of which a translation should hold none."""
        if self.before not in text and self.after not in text:
            return text
        before, after = re.escape(self.before), re.escape(self.after)
        text = re.sub(rf" ?{before}(?:(?!{before}).)*?{after}", "", text)
        return re.sub(rf" ?(?:{before}|{after})", "", text).strip()

    def in_text(self, text: str) -> bool:
        """Whether `text` has one of the marks itself, so that it cannot be annotated."""
        return self.before in text or self.after in text
