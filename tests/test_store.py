"""Tables that lie on the disk, and sets of hashes: the same content as in memory."""

import random

import numpy as np
import pyarrow as pa
import pytest

from translora.data import pairs, store
from translora.data.cleaning.hashes import HashSet
from translora.data.pairs import Corpus, Pair, joined
from translora.data.store import take_rows
from translora.errors import StorageError
from translora.io.files import cache_folder

MANY = [Pair(f"Quelle {i} \u00e4\U0001f642" * (i % 3), f"target {i}", f"{i // 70}.tsv", i + 1) for i in range(500)]


@pytest.fixture
def on_disk(monkeypatch):
    """Corpora of several chunks, from the first byte on the disk."""
    monkeypatch.setattr(store, "IN_MEMORY", 0)
    monkeypatch.setattr(pairs, "_CHUNK", 64)


def test_a_corpus_on_the_disk_is_that_in_memory(monkeypatch):
    whole = Corpus.of(MANY)
    assert whole.table.column("source").num_chunks == 1
    monkeypatch.setattr(store, "IN_MEMORY", 4_000)  # the first chunks stay in memory for a while
    monkeypatch.setattr(pairs, "_CHUNK", 64)
    spilled = Corpus.of(iter(MANY))
    assert spilled.table.column("source").num_chunks == 8
    assert spilled.table.schema == whole.table.schema
    assert list(spilled) == list(whole) == MANY
    assert spilled.content_hash() == whole.content_hash()
    assert spilled[-1] == MANY[-1]
    assert list(spilled + whole) == MANY * 2
    assert list(spilled.reversed().head(70)) == list(whole.reversed().head(70))
    assert list(joined(spilled, 0.5, 4, seed=3)) == list(joined(whole, 0.5, 4, seed=3))
    assert not list((cache_folder() / "pairs").iterdir())


@pytest.mark.parametrize("rows", [[], [499, 0, 0, 64, 63, 127, 300], list(range(60, 70)), list(range(500))])
def test_rows_are_taken_in_the_order_asked_for(on_disk, rows):
    assert list(Corpus.of(MANY).take(rows)) == [MANY[row] for row in rows]


def test_a_row_that_is_not_there():
    table = pa.concat_tables([pa.table({"a": [1, 2]}), pa.table({"a": [3]})])
    assert take_rows(table, [2, 0]).column("a").to_pylist() == [3, 1]
    with pytest.raises(IndexError):
        take_rows(table, [3])


def test_a_full_disk_is_named(on_disk, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.ipc, "new_file", full)
    with pytest.raises(StorageError, match=r"pairs: cannot be written \(No space left on device\): free some space"):
        Corpus.of(MANY)


def test_a_set_of_hashes_is_pythons_set():
    draw = random.Random(1)
    drawn = [draw.getrandbits(64) for _ in range(60_000)]
    values = [0, 256, 2**64 - 1, *drawn, *drawn[::3], 2**64 - 1]
    ours, theirs = HashSet(), set()
    for value in values:
        before = len(theirs)
        theirs.add(value or 256)  # the only two that are taken for one
        assert ours.add(value) == (len(theirs) > before)
    assert len(ours) == len(theirs)
    assert 11 < ours.nbytes / len(ours) < 21


def test_hashes_of_one_home_are_told_apart():
    """All collide until the table has grown far enough; none is lost."""
    values = np.arange(1, 400, dtype=object) * (2**40)
    ours = HashSet()
    assert all(ours.add(int(value)) for value in values)
    assert not any(ours.add(int(value)) for value in values)
