"""Training pairs with the translations of terms written into their sources, so that a model learns to use them.

After Dinu et al. 2019, "Training Neural Machine Translation to Apply Terminology Constraints".
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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

    Up to three terms of a pair are taken; a pair that holds the marks itself stays as it is.
    """
    draw, protector = random.Random(seed), Protector()
    annotated = found = 0

    def pairs() -> Iterator[Pair]:
        nonlocal annotated, found
        for pair in corpus:
            places = _used(pair, glossary, marks, protector)
            found += bool(places)
            if places and draw.random() < share:
                chosen = sorted(draw.sample(places, min(len(places), draw.randint(1, _MOST))))
                pair = pair._replace(source=marks.annotated(pair.source, chosen))
                annotated += 1
            yield pair

    return TermedPairs(Corpus.of(pairs()), annotated, found)


def _used(pair: Pair, glossary: Glossary, marks: TermMarks, protector: Protector) -> list[tuple[int, str]]:
    """Where the source has a term whose translation is in the target, and that translation."""
    if marks.in_text(pair.source) or marks.in_text(pair.target):
        return []
    matches = glossary.found(pair.source, protector.spans(pair.source))
    if not matches:
        return []
    kept = glossary.honoured([match.term for match in matches], pair.target)
    places = []
    for match in matches:
        if kept[match.term]:
            kept[match.term] -= 1
            places.append((match.end, glossary.terms[match.term].target[0]))
    return places
