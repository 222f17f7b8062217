"""Training pairs with the translations of terms written into their sources, so that a model learns to use them.

After Dinu et al. 2019, "Training Neural Machine Translation to Apply Terminology Constraints".
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from translora.config import Config
from translora.data.pairs import Corpus, Pair
from translora.errors import ConfigError, DataError
from translora.io import console
from translora.training.term_list import term_pairs
from translora.translation.glossary import read_glossary, without_conflicts
from translora.translation.kept import term_marks
from translora.translation.protect import Protector
from translora.translation.terms import Glossary, TermMarks

AUTO = "auto"
"""The value of `data.glossary` that makes a list of terms from the training pairs."""
_MOST = 3
"""Terms that are written into one source."""
_SWAPPED = 0.7
"""The share of these whose translation is another term's."""


@dataclass(frozen=True)
class TermedPairs:
    """Pairs, and how many of them have a term."""

    corpus: Corpus
    annotated: int
    """Pairs that have the translation of a term in their source now."""
    found: int
    """Pairs that hold a term and its translation."""


def training_glossary(config: Config, train: Corpus) -> Glossary | None:
    """The terms that `data.glossary` names, None where it names none.

    Raises `DataError` for a file that cannot be read, and where `auto` finds no term in the pairs.
    """
    wanted, languages = config.data.glossary, (config.source, config.target)
    if not wanted or config.method == "none":
        return None
    if wanted != AUTO:
        return read_glossary(Path(wanted), *languages)
    terms = without_conflicts((one.term for one in term_pairs(train, *languages, config.seed)), say=False)
    if not terms:
        raise DataError(
            f"data.glossary: no term occurs often enough in the {len(train):,} training pairs: name a file instead"
        )
    return Glossary(terms, *languages)


def with_terms(corpus: Corpus, glossary: Glossary, tokenizer: PreTrainedTokenizerBase, config: Config) -> Corpus:
    """`corpus` as `annotate_pairs` makes it, with a notice of how many pairs that are.

    Raises `ConfigError` where no spelling of an annotation survives the tokenizer.
    """
    marks = term_marks(tokenizer)
    if marks is None:
        raise ConfigError(f"data.glossary: the vocabulary of {config.model} has no signs to mark translations of terms")
    made = annotate_pairs(corpus, glossary, marks, config.data.glossary_share, config.data.seed or config.seed)
    console.notice(
        f"data: {made.found:,} training pairs hold one of {len(glossary):,} terms and its translation; the sources of "
        f"{made.annotated:,} have the translation written into them"
    )
    return made.corpus


def annotate_pairs(corpus: Corpus, glossary: Glossary, marks: TermMarks, share: float, seed: int) -> TermedPairs:
    """Write translations into the sources of a `share` of the pairs whose two sides hold a term, drawn by `seed`.

    Up to three terms of a pair are taken; a pair that holds the marks itself stays as it is. Of most of them the
    translation is replaced, in the source and in the target, by that of another term of as many words: a model that
    could guess it would learn to pass over what is written.
    """
    draw, protector = random.Random(seed), Protector()
    annotated = found = 0

    def pairs() -> Iterator[Pair]:
        nonlocal annotated, found
        for pair in corpus:
            uses = _uses(pair, glossary, marks, protector)
            found += bool(uses)
            if uses and draw.random() < share:
                chosen = sorted(draw.sample(uses, min(len(uses), draw.randint(1, _MOST))))
                pair = _annotated(pair, chosen, glossary, marks, draw)
                annotated += 1
            yield pair

    return TermedPairs(Corpus.of(pairs()), annotated, found)


class _Use(NamedTuple):
    """A term of a pair."""

    end: int
    """Where it ends in the source."""
    target: tuple[int, int]
    """Where its translation is in the target."""
    term: int


def _uses(pair: Pair, glossary: Glossary, marks: TermMarks, protector: Protector) -> list[_Use]:
    """The terms of the source whose translation is in the target, each of which has a place of its own there."""
    if marks.in_text(pair.source) or marks.in_text(pair.target):
        return []
    matches = glossary.found(pair.source, protector.spans(pair.source))
    if not matches:
        return []
    places: dict[int, list[tuple[int, int]]] = {}
    for match in glossary.translations([match.term for match in matches], pair.target):
        places.setdefault(match.term, []).append((match.start, match.end))
    return [_Use(match.end, places[match.term].pop(0), match.term) for match in matches if places.get(match.term)]


def _annotated(pair: Pair, uses: Sequence[_Use], glossary: Glossary, marks: TermMarks, draw: random.Random) -> Pair:
    """The pair with the translations of `uses` in its source, or those of other terms on both sides."""
    target, written = pair.target, list[tuple[int, str]]()
    others = _by_length(glossary)
    for use in sorted(uses, key=lambda one: -one.target[0]):  # from the end, so that places stay
        translation = glossary.terms[use.term].target[0]
        if draw.random() < _SWAPPED:
            translation = draw.choice(others[len(translation.split())])
            start, end = use.target
            target = target[:start] + _cased_as(target[start:end], translation) + target[end:]
        written.append((use.end, translation))
    return pair._replace(source=marks.annotated(pair.source, sorted(written)), target=target)


@lru_cache(maxsize=1)
def _by_length(glossary: Glossary) -> dict[int, list[str]]:
    """The translations of all terms, by their number of words."""
    found: dict[int, list[str]] = {}
    for term in glossary.terms:
        found.setdefault(len(term.target[0].split()), []).append(term.target[0])
    return found


def _cased_as(text: str, translation: str) -> str:
    """`translation` with a capital where `text`, of which more is in lower case, begins with one."""
    return translation[:1].upper() + translation[1:] if text[:1].isupper() and text != text.upper() else translation
