"""Train, validation and test: read or cut by seed, and kept apart."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass

from translora.config import Config
from translora.data.pairs import Corpus, joined
from translora.data.sources import read_corpus
from translora.errors import DataError


@dataclass(frozen=True)
class Splits:
    """The three splits, and what was taken out to keep them apart."""

    train: Corpus
    validation: Corpus
    test: Corpus
    empty: int
    """Training pairs dropped because a side was empty."""
    overlap: int
    """Training pairs dropped because a side occurs in validation or test."""
    overlap_examples: tuple[str, ...]
    """Where the first of them came from, as `file:line`."""

    def hashes(self) -> dict[str, str]:
        """The content hash of each split."""
        return {f"{name} pairs": getattr(self, name).content_hash() for name in ("train", "validation", "test")}


def read_splits(config: Config) -> Splits:
    """Read what the recipe names, cut what it does not from train by seed, and remove overlap from train.

    Raises `DataError` where a split is missing or would be empty. With `method: none` no training pairs are needed.
    """
    data = config.data
    test = read_corpus(data.test, config.source, config.target) if data.test.path else None
    validation = read_corpus(data.validation, config.source, config.target) if data.validation.path else None
    if config.method == "none" and test is not None:
        return Splits(Corpus.of([]), validation or Corpus.of([]), test, 0, 0, ())
    if not data.train.path:
        raise DataError("data.train.path is not given: name a file, a folder, a hub data set, or mini")
    train, empty = _without_empty(read_corpus(data.train, config.source, config.target))
    sizes = (0 if validation is not None else data.validation_size, 0 if test is not None else data.test_size)
    if sum(sizes) >= len(train):
        raise DataError(
            f"{data.train.path}: {len(train)} pairs are too few to cut {sizes[0]} for validation and {sizes[1]} for "
            f"test: lower data.validation_size and data.test_size, or name these splits"
        )
    order = list(range(len(train)))
    seed = data.seed or config.seed
    random.Random(seed).shuffle(order)
    cut_validation, cut_test, rest = order[: sizes[0]], order[sizes[0] : sum(sizes)], sorted(order[sum(sizes) :])
    if validation is None:
        validation = train.take(sorted(cut_validation))
    if test is None:
        test = train.take(sorted(cut_test))
    kept, dropped = without_overlap(train.take(rest) if sum(sizes) else train, [validation, test])
    if not len(kept):
        raise DataError(f"{data.train.path}: every training pair occurs in validation or test: give other splits")
    if data.join_share:
        kept = kept + joined(kept, data.join_share, data.join_most, seed)
    return Splits(kept, validation, test, empty, len(dropped), tuple(pair.origin for pair in dropped.head(5)))


def normalised(text: str) -> str:
    """`text` as overlap compares it: NFKC, case folded, white space and outer punctuation gone."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).strip(" .,;:!?\"'")


def without_overlap(train: Corpus, held_out: list[Corpus]) -> tuple[Corpus, Corpus]:
    """Divide `train` into the pairs to keep and those that share a normalised source or target with `held_out`."""
    sources = {normalised(text) for corpus in held_out for text in corpus.sources}
    targets = {normalised(text) for corpus in held_out for text in corpus.targets}
    kept: list[int] = []
    dropped: list[int] = []
    for i, pair in enumerate(train):
        seen = normalised(pair.source) in sources or normalised(pair.target) in targets
        (dropped if seen else kept).append(i)
    return (train.take(kept), train.take(dropped)) if dropped else (train, Corpus.of([]))


def _without_empty(corpus: Corpus) -> tuple[Corpus, int]:
    kept = [i for i, pair in enumerate(corpus) if pair.source and pair.target]
    if not kept:
        raise DataError("no training pair has text on both sides")
    return (corpus if len(kept) == len(corpus) else corpus.take(kept)), len(corpus) - len(kept)
