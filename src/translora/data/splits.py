"""Train, validation and test: read or cut by seed, and kept apart."""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from translora.config import Config, SourceConfig
from translora.data.cleaning.rules import Cleaner, Dropped
from translora.data.given import PREFIX
from translora.data.pairs import Corpus, joined
from translora.data.readers.sources import read_corpus, read_items
from translora.errors import DataError
from translora.io import console


@dataclass(frozen=True)
class Splits:
    """The three splits, and the pairs that cleaning left out of train."""

    train: Corpus
    validation: Corpus
    test: Corpus
    dropped: dict[str, Dropped]
    """The training pairs that cleaning left out, by reason."""

    def hashes(self) -> dict[str, str]:
        """The content hash of each split."""
        return {f"{name} pairs": getattr(self, name).content_hash() for name in ("train", "validation", "test")}


def read_splits(config: Config, given: Mapping[str, Corpus] | None = None) -> Splits:
    """Read the splits that the recipe names, cut the others from train by seed, and clean train.

    A split in `given` (`train`, `validation`, `test`) is taken from there. Validation and test are scored as they are.
    With `method: none` no training pairs are needed. Raises `DataError` where a split is missing or would be empty.
    """
    data, given = config.data, given or {}
    test, validation = _held_out("test", config, given), _held_out("validation", config, given)
    if config.method == "none" and test is not None:
        return Splits(Corpus.of([]), validation or Corpus.of([]), test, {})
    if not data.train.path:
        raise DataError("data.train.path is not given: name a file, a folder, a hub data set, or mini")
    _say_same(validation, test)
    held_out = [pair for split in (validation, test) if split is not None for pair in split]
    cleaner = Cleaner(data.cleaning, config.source, config.target, held_out)
    items = given.get("train") or read_items(_readable("train", config), config.source, config.target)
    train = Corpus.of(cleaner.keep(items))
    if not len(train):
        raise DataError(f"{data.train.path}: no training pairs left (left out: {cleaner.reasons}): see data.cleaning")
    train, validation, test = _cut(train, validation, test, config, cleaner)
    if data.join_share:
        train = train + joined(train, data.join_share, data.join_most, data.seed or config.seed)
    return Splits(train, validation, test, cleaner.dropped)


def _held_out(name: str, config: Config, given: Mapping[str, Corpus]) -> Corpus | None:
    """The pairs of validation or test; None where they must be cut from train."""
    if name in given:
        return given[name]
    source = _readable(name, config)
    return read_corpus(source, config.source, config.target) if source.path else None


def _say_same(validation: Corpus | None, test: Corpus | None) -> None:
    """Say so where pairs are in validation and in test: the best step is then chosen by pairs that are scored."""
    if validation is None or test is None:
        return
    known = {pair[:2] for pair in test}
    both = [pair for pair in validation if pair[:2] in known]
    if both:
        console.notice(
            f"data: {len(both):,} of {len(validation):,} validation pairs are test pairs too, such as "
            f"{both[0].origin}: the best step is chosen by them, so that the scores are too good: name other files"
        )


def _readable(name: str, config: Config) -> SourceConfig:
    """Where the pairs of a split are read from; raises `DataError` where they were given in Python."""
    source: SourceConfig = getattr(config.data, name)
    if source.path.startswith(PREFIX):
        raise DataError(f"data.{name}: these pairs were given in Python: call translora.train again, with {name}=...")
    return source


def _cut(
    train: Corpus, validation: Corpus | None, test: Corpus | None, config: Config, cleaner: Cleaner
) -> tuple[Corpus, Corpus, Corpus]:
    """All three splits: missing ones are drawn from `train`, and the rest of it remains for training."""
    data = config.data
    sizes = (0 if validation is not None else data.validation_size, 0 if test is not None else data.test_size)
    if sum(sizes) >= len(train):
        raise DataError(
            f"{data.train.path}: {len(train)} pairs are too few to cut {sizes[0]} for validation and {sizes[1]} for "
            f"test: lower data.validation_size and data.test_size, or name these splits"
            + (f" (left out: {cleaner.reasons})" if cleaner.dropped else "")
        )
    drawn, kept = [Corpus.of([]), Corpus.of([])], train
    if sum(sizes):
        order = array("q", range(len(train)))
        random.Random(data.seed or config.seed).shuffle(order)
        drawn = [train.take(sorted(part)) for part in (order[: sizes[0]], order[sizes[0] : sum(sizes)])]
        out = set(order[: sum(sizes)])
        rest = (pair for number, pair in enumerate(train) if number not in out)
        kept = Corpus.of(cleaner.apart_from([*drawn[0], *drawn[1]], rest))
    if not len(kept):
        raise DataError(f"{data.train.path}: every training pair occurs in validation or test: give other splits")
    return kept, drawn[0] if validation is None else validation, drawn[1] if test is None else test
