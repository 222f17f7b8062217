"""The one type for a sentence pair, and the corpus that holds many. Knows no file format and no tokenizer."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple, TypeVar

import pyarrow as pa

from translora.data.store import Store, take_rows
from translora.errors import DataError


class Pair(NamedTuple):
    """A source sentence, its translation, and where they came from."""

    source: str
    target: str
    file: str = ""
    line: int = 0
    """Counted from 1; for formats without lines, the record."""

    @property
    def origin(self) -> str:
        """`file:line`, for messages."""
        return f"{self.file}:{self.line}"


Item = Pair | DataError
"""An item of a reader: a pair, or the error of a line that should have been one."""

_SCHEMA = pa.schema(
    [
        ("source", pa.large_string()),
        ("target", pa.large_string()),
        ("file", pa.dictionary(pa.int32(), pa.string())),
        ("line", pa.int64()),
    ]
)
_STORED = _SCHEMA.set(2, pa.field("file", pa.int32()))
"""The same with the numbers of the files in place of their names."""
_CHUNK = 50_000
_CHUNK_OUT = 5_000
_SIDES: tuple[Literal["source", "target"], ...] = ("source", "target")

Each = TypeVar("Each")


def chunks(items: Iterable[Each], size: int) -> Iterator[list[Each]]:
    """Lists of `size` of the items, in order; the last one may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


class Corpus:
    """An immutable sequence of pairs in an Arrow table (columns source, target, file, line)."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Corpus:
        """Collect pairs, a chunk at a time; many of them lie on the disk, not in memory.

        Raises `StorageError` where the disk is full.
        """
        numbers: dict[str, int] = {}
        with Store(_STORED) as store:
            for chunk in chunks(pairs, _CHUNK):
                source, target, files, lines = zip(*chunk, strict=True)
                codes = [numbers.setdefault(file, len(numbers)) for file in files]
                store.add(pa.record_batch([source, target, codes, lines], schema=_STORED))
            source, target, codes, lines = store.table().columns
        names = pa.array(list(numbers), type=pa.string())
        named = [pa.DictionaryArray.from_arrays(part, names) for part in codes.chunks]
        file = pa.chunked_array(named, type=_SCHEMA.field("file").type)
        return cls(pa.table([source, target, file, lines], schema=_SCHEMA))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Pair]:
        for batch in self.table.to_batches(max_chunksize=_CHUNK_OUT):
            yield from map(Pair._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))

    def __getitem__(self, index: int) -> Pair:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = self.table.slice(index % len(self), 1)
        return Pair(*(column[0].as_py() for column in row.columns))

    def __add__(self, other: Corpus) -> Corpus:
        return Corpus(pa.concat_tables([self.table, other.table]).unify_dictionaries())

    def texts(self, side: Literal["source", "target"]) -> Iterator[str]:
        """The sentences of one side, of which few are held as Python objects at a time."""
        for batch in self.table.select([side]).to_batches(max_chunksize=_CHUNK_OUT):
            yield from batch.column(0).to_pylist()

    @property
    def sources(self) -> list[str]:
        """All source sentences."""
        return list(self.table.column("source").to_pylist())

    @property
    def targets(self) -> list[str]:
        """All target sentences."""
        return list(self.table.column("target").to_pylist())

    def take(self, indices: Sequence[int]) -> Corpus:
        """The pairs at `indices`, in that order."""
        return Corpus(take_rows(self.table, indices))

    def head(self, count: int) -> Corpus:
        """The first `count` pairs, or all where there are fewer."""
        return Corpus(self.table.slice(0, count))

    def sample(self, count: int, seed: int) -> Corpus:
        """`count` pairs drawn by `seed` (all where there are fewer), in corpus order."""
        drawn = random.Random(seed).sample(range(len(self)), min(count, len(self)))
        return self.take(sorted(drawn))

    def reversed(self) -> Corpus:
        """The same pairs from target to source."""
        source, target, *origin = self.table.columns
        return Corpus(pa.table([target, source, *origin], schema=self.table.schema))

    def content_hash(self) -> str:
        """SHA-256 of the texts and their order; where they came from does not count."""
        digest = hashlib.sha256()
        for side in _SIDES:
            for text in self.texts(side):
                data = text.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(4, "little") + data)
        return digest.hexdigest()


def joined(corpus: Corpus, share: float, most: int, seed: int) -> Corpus:
    """Examples of two to `most` random pairs of `corpus` put together, `share` of its size in number.

    A model trained on short sentences alone never meets a long one; joining gives it length without other data
    (Kondo et al. 2021, "Sentence Concatenation Approach to Data Augmentation for NMT").
    """
    draw = random.Random(seed)
    count = round(share * len(corpus))

    def examples() -> Iterator[Pair]:
        for first in range(1, count + 1, _CHUNK_OUT):
            numbers = range(first, min(first + _CHUNK_OUT, count + 1))
            chosen = [[draw.randrange(len(corpus)) for _ in range(draw.randint(2, most))] for _ in numbers]
            taken = iter(corpus.take([index for indices in chosen for index in indices]))
            for number, indices in zip(numbers, chosen, strict=True):
                parts = list(islice(taken, len(indices)))
                yield Pair(" ".join(p.source for p in parts), " ".join(p.target for p in parts), "joined", number)

    return Corpus.of(examples())
