import dataclasses
import random
import re

import pytest

from translora.config import Config, DataConfig, SourceConfig
from translora.data import pairs, store
from translora.data.cleaning.leakage import normalised
from translora.data.readers.sources import read_corpus
from translora.data.splits import read_splits
from translora.errors import DataError


def config(path, **data):
    return Config(data=DataConfig(train=SourceConfig(path=str(path)), **data))


def test_splits_are_cut_by_seed_and_kept_apart(corpus_file):
    first = read_splits(config(corpus_file, validation_size=30, test_size=40))
    assert (len(first.validation), len(first.test)) == (30, 40)
    assert len(first.train) + sum(dropped.count for dropped in first.dropped.values()) == 300 - 70
    held_out = {normalised(text) for text in first.test.sources + first.validation.sources}
    assert not held_out & {normalised(text) for text in first.train.sources}
    again = read_splits(config(corpus_file, validation_size=30, test_size=40))
    assert again.test.sources == first.test.sources
    other = read_splits(dataclasses.replace(config(corpus_file, validation_size=30, test_size=40), seed=2))
    assert other.test.sources != first.test.sources


def test_splits_on_the_disk_are_those_in_memory_and_of_a_plain_shuffle(tmp_path, monkeypatch):
    (tmp_path / "a.tsv").write_text("".join(f"Satz {i * i}\tsentence {i * i}\n" for i in range(400)))
    wanted = config(tmp_path / "a.tsv", validation_size=30, test_size=40, join_share=0.3)
    whole = read_splits(wanted)
    monkeypatch.setattr(store, "IN_MEMORY", 0)
    monkeypatch.setattr(pairs, "_CHUNK", 50)
    spilled = read_splits(wanted)
    assert spilled.train.table.column("source").num_chunks > 2
    assert spilled.hashes() == whole.hashes()
    assert [list(part) for part in (spilled.train, spilled.test)] == [list(part) for part in (whole.train, whole.test)]
    order = list(range(400))
    random.Random(wanted.seed).shuffle(order)
    lines = [pair.line - 1 for pair in whole.train if pair.file != "joined"]
    assert [pair.line - 1 for pair in whole.validation] == sorted(order[:30])
    assert [pair.line - 1 for pair in whole.test] == sorted(order[30:70])
    assert lines == sorted(order[70:])


def test_overlap_is_reported_with_its_place(tmp_path):
    (tmp_path / "train.tsv").write_text("a\tb\nc\td\n")
    (tmp_path / "test.tsv").write_text("C.\tx\n")
    sources = {split: SourceConfig(path=str(tmp_path / "test.tsv")) for split in ("validation", "test")}
    splits = read_splits(config(tmp_path / "train.tsv", **sources))
    dropped = splits.dropped["also in validation or test"]
    assert (dropped.count, dropped.examples) == (1, [f"{tmp_path}/train.tsv:2: 'c' | 'd'"])
    assert splits.train.sources == ["a"]


def test_what_is_cut_from_train_does_not_occur_in_it(tmp_path):
    lines = [f"Satz {i % 40}{'.' * (i // 40)}\tsentence {i}\n" for i in range(80)]
    (tmp_path / "a.tsv").write_text("".join(lines))
    splits = read_splits(config(tmp_path / "a.tsv", validation_size=5, test_size=5))
    held_out = {normalised(text) for text in splits.test.sources + splits.validation.sources}
    assert not held_out & {normalised(text) for text in splits.train.sources}
    assert len(splits.train) + splits.dropped["also in validation or test"].count == 70


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n", "1 pairs are too few to cut 500"),
        ("a\tb\n" * 3000, r"1 pairs are too few .* name these splits \(left out: duplicate: 2,?999\)"),
        ("\tb\n", r"no training pairs left \(left out: empty side: 1\)"),
    ],
)
def test_too_little_data(tmp_path, text, message):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_splits(config(tmp_path / "a.tsv"))


def test_pairs_of_validation_that_are_scored_are_said(tmp_path, capsys):
    for name, lines in (("train", range(20)), ("valid", range(20, 26)), ("test", range(24, 30))):
        (tmp_path / f"{name}.tsv").write_text("".join(f"Satz {i}\tsentence {i}\n" for i in lines))
    held_out = {
        name: SourceConfig(path=str(tmp_path / f"{file}.tsv"))
        for name, file in (("validation", "valid"), ("test", "test"))
    }
    read_splits(config(tmp_path / "train.tsv", **held_out))
    said = " ".join(capsys.readouterr().err.split())
    assert "2 of 6 validation pairs are test pairs too, such as" in said
    assert "valid.tsv:5: the best step is chosen by them" in said


def test_no_training_data_is_named():
    with pytest.raises(DataError, match=r"data.train.path is not given"):
        read_splits(Config())


def test_the_embedded_splits_do_not_overlap():
    splits = read_splits(
        Config(
            data=DataConfig(
                train=SourceConfig(path="mini"),
                validation=SourceConfig(path="mini", split="validation"),
                test=SourceConfig(path="mini", split="test"),
            )
        )
    )
    assert (len(splits.validation), len(splits.test)) == (1000, 1000)
    assert (len(splits.train), splits.dropped) == (23_739, {})


def test_no_embedded_pair_holds_two_variants_of_a_text():
    glued = re.compile("CommandCtrl|OptionAlt|BefehlStrg|PreferencesTools|EinstellungenExtras")
    for split in ("train", "validation", "test"):
        for pair in read_corpus(SourceConfig(path="mini", split=split), "de", "en"):
            assert not glued.search(pair.source + pair.target)
