import dataclasses

import pytest

from translora.config import Config, DataConfig, SourceConfig
from translora.data.pairs import Corpus, Pair
from translora.data.splits import normalised, read_splits, without_overlap
from translora.errors import DataError


def corpus(*sides):
    return Corpus.of(Pair(de, en, "f", i + 1) for i, (de, en) in enumerate(sides))


def config(path, **data):
    return Config(data=DataConfig(train=SourceConfig(path=str(path)), **data))


def test_splits_are_cut_by_seed_and_kept_apart(corpus_file):
    first = read_splits(config(corpus_file, validation_size=30, test_size=40))
    assert (len(first.validation), len(first.test)) == (30, 40)
    assert len(first.train) + first.overlap == 300 - 70
    held_out = {normalised(text) for text in first.test.sources + first.validation.sources}
    assert not held_out & {normalised(text) for text in first.train.sources}
    again = read_splits(config(corpus_file, validation_size=30, test_size=40))
    assert again.test.sources == first.test.sources
    other = read_splits(dataclasses.replace(config(corpus_file, validation_size=30, test_size=40), seed=2))
    assert other.test.sources != first.test.sources


def test_overlap_is_found_on_either_side_whatever_the_spelling():
    train = corpus(("Ja.", "Yes."), ("Nein", "No"), ("Hallo!", "Hi there"), ("Neu", "New"))
    test = corpus(("JA", "Sure"), ("Servus", "hi  there!"))
    kept, dropped = without_overlap(train, [test])
    assert kept.sources == ["Nein", "Neu"]
    assert dropped.sources == ["Ja.", "Hallo!"]


def test_overlap_is_reported_with_its_place(tmp_path):
    (tmp_path / "train.tsv").write_text("a\tb\nc\td\n")
    (tmp_path / "test.tsv").write_text("C.\tx\n")
    sources = {split: SourceConfig(path=str(tmp_path / "test.tsv")) for split in ("validation", "test")}
    splits = read_splits(config(tmp_path / "train.tsv", **sources))
    assert (splits.overlap, splits.overlap_examples) == (1, (f"{tmp_path}/train.tsv:2",))
    assert splits.train.sources == ["a"]


def test_empty_sides_are_counted_and_dropped(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb\n\tx\nc\t \nd\te\nf\tg\n")
    splits = read_splits(config(tmp_path / "a.tsv", validation_size=1, test_size=1))
    assert splits.empty == 2
    assert len(splits.train) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\tb\n", "1 pairs are too few to cut 500"), ("\tb\n", "no training pair has text on both sides")],
)
def test_too_little_data(tmp_path, text, message):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_splits(config(tmp_path / "a.tsv"))


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
    assert len(splits.train) + splits.overlap == 23_732
