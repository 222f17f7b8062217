"""Pairs that are given in Python instead of a path: tuples, records, frames of pandas, data sets of `datasets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Corpus, Item, Pair
from translora.data.readers.rows import make_pair
from translora.errors import DataError

PREFIX = "python:"
"""The beginning of the path of given pairs in a configuration; their hash follows."""


def given_corpus(pairs: Any, source: str, target: str, name: str) -> Corpus:
    """The corpus of pairs that were given as `name`, in the order given.

    `pairs` is a sequence of (source, target), of records with the language codes as keys (or `translation`, as data
    sets have them), a frame of pandas or a data set of `datasets` with such columns, or a corpus.

    Raises `DataError`, naming the item, where it is not a pair of texts, and where there are none.
    """
    if isinstance(pairs, Corpus):
        return pairs
    corpus = Corpus.of(_pairs(_items(pairs, source, target, name)))
    if not len(corpus):
        raise DataError(f"{name}: no sentence pairs in it")
    return corpus


def given_source(corpus: Corpus) -> SourceConfig:
    """The source that stands for given pairs in a configuration: other pairs have another hash, so another recipe."""
    return SourceConfig(path=f"{PREFIX}{corpus.content_hash()[:16]}")


def _pairs(items: Iterable[Item]) -> Iterator[Pair]:
    for item in items:
        if isinstance(item, DataError):
            raise item
        yield item


def _items(pairs: Any, source: str, target: str, name: str) -> Iterator[Item]:
    for number, row in enumerate(_rows(pairs, name), 1):
        if isinstance(row, Mapping):
            yield _record(row, source, target, name, number)
        elif isinstance(row, tuple | list) and len(row) == 2:
            yield make_pair(row[0], row[1], name, number)
        else:
            yield DataError(f"{name}:{number}: {_shown(row)} is no pair: give (source, target), two texts")


def _record(row: Mapping[Any, Any], source: str, target: str, name: str, number: int) -> Item:
    inner = row.get("translation")
    record = inner if isinstance(inner, Mapping) else row
    missing = [code for code in (source, target) if code not in record]
    if missing:
        return DataError(
            f"{name}:{number}: no column {' and '.join(missing)}; it has {', '.join(map(str, record))[:200]}: "
            f"name the two columns by the language codes {source} and {target}"
        )
    return make_pair(record[source], record[target], name, number)


def _rows(pairs: Any, name: str) -> Iterable[Any]:
    """The rows of whatever holds them: mappings, or pairs."""
    if hasattr(pairs, "itertuples"):  # a frame
        return (dict(zip(pairs.columns, row, strict=True)) for row in pairs.itertuples(index=False, name=None))
    if isinstance(pairs, Mapping):
        splits = ", ".join(map(str, pairs))[:200]
        raise DataError(f"{name}: a mapping of {splits}: give one of them, or a list of pairs")
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise DataError(f"{name}: {_shown(pairs)} holds no pairs: give a list of (source, target)")
    return pairs


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}"
