"""Work in shards: the same result as one pass, whatever the order; results are taken up, damaged ones done again."""

import random
import re

import numpy as np
import pytest

from translora.config import CleaningConfig, SourceConfig
from translora.data.check import Extra, as_dict, check_corpus
from translora.data.cleaning.corpus import CleanJob, dropped_file
from translora.data.cleaning.hashes import HashSet, repeated
from translora.data.pairs import Pair
from translora.data.readers.sources import read
from translora.errors import DataError, StorageError
from translora.io.files import cache_folder
from translora.scale.corpora import check_in_shards, clean_in_shards
from translora.scale.shards import result_of


class Loop:
    """One worker here, which does the shards in a random order, and fails at one where it is told so."""

    def __init__(self, fails_at=None):
        self.fails_at, self.done = fails_at, []

    def each(self, work, shards):
        function = work.make()
        waiting = list(shards)
        random.Random(0).shuffle(waiting)
        for shard in waiting:
            if shard.number == self.fails_at:
                raise KeyboardInterrupt
            self.done.append(shard.number)
            yield shard, result_of(function, shard)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Pairs of all kinds, good and bad, many of which come again, in random order."""
    good = [pair[:2] for pair in read(SourceConfig(path="mini", limit=500), "de", "en")]
    bad = [
        ("", "x"),
        ("Kaffee", "Kaffee"),
        ("a\0b", "x"),
        ("a &amp; b", "a &amp; b!"),
        ("ja", "well " * 20),
        ("x" * 5001, "y" * 5001),
    ]
    draw = random.Random(1)
    pairs = [draw.choice(good) if draw.random() < 0.8 else draw.choice(bad) for _ in range(700)]
    pairs += [(source.upper(), target) for source, target in draw.choices(good, k=60)]
    pairs += [(f"{source} Ende", f"{target} End") for source, target in draw.choices(good, k=60)]
    draw.shuffle(pairs)
    lines = [f"{source}\t{target}\n".encode() for source, target in pairs]
    for place in (30, 31, 500):
        lines.insert(place, b"schl\xf6cht\tbad\n")
    lines.insert(77, b"nur eine Spalte\n")
    path = tmp_path_factory.mktemp("shards") / "corpus.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(lines))
    return SourceConfig(path=str(path))


THOROUGH = CleaningConfig(bad_lines="skip", duplicates="normalised", identical="drop", leakage="near")
HELD_OUT = SourceConfig(path="mini", split="test", limit=30)
RULES = [
    THOROUGH,
    CleaningConfig(bad_lines="skip", duplicates="exact", html="unescape"),
    CleaningConfig(bad_lines="skip", duplicates="keep", html="drop"),
    CleaningConfig(bad_lines="skip", duplicates="near"),
]


@pytest.mark.parametrize("rows", [50, 97, 10_000])
def test_check_finds_the_same(corpus, rows):
    held_out = list(read(HELD_OUT, "de", "en")) + [
        Pair(*pair[:2]) for pair in read(SourceConfig(path="mini", limit=3), "de", "en")
    ]
    engine = Loop()
    extra = Extra(held_out, languages=rows == 97, near=rows != 50)
    alone = check_corpus(corpus, "de", "en", THOROUGH, extra)
    found = check_in_shards(corpus, ("de", "en"), THOROUGH, extra, engine, rows)
    assert as_dict([found]) == as_dict([alone])
    assert list(found.problems) == list(alone.problems)
    assert len(found.problems) > 8
    assert ("near duplicate" in found.problems) == extra.near
    if extra.near:
        assert found.problems["near duplicate"].count > found.problems["duplicate, normalised"].count + 20
    assert len(engine.done) == -(-824 // rows)
    assert not list((cache_folder() / "shards").glob("*"))


@pytest.mark.parametrize("rules", RULES, ids=["thorough", "exact", "keep", "near"])
@pytest.mark.parametrize("ending", [".tsv", ".jsonl.gz"])
def test_clean_writes_the_same(corpus, tmp_path, rules, ending):
    files = []
    for rows in (None, 41, 10_000):
        job = CleanJob(corpus, "de", "en", rules, tmp_path / f"{rows}{ending}", [HELD_OUT])
        cleaner = clean_in_shards(job, Loop(), rows) if rows else job.run()
        files.append(
            (
                cleaner.kept,
                list(cleaner.dropped.items()),
                job.output.read_bytes(),
                dropped_file(job.output).read_bytes(),
            )
        )
    assert files[0] == files[1] == files[2]
    near = dict(files[0][1]).get("near duplicate")
    assert (near is not None) == (rules.duplicates == "near")
    if near and ending == ".tsv":
        told = re.findall(rb"^near duplicate of \S+:(\d+)\t\S+:(\d+)\t", files[0][3], re.MULTILINE)
        assert len(told) == near.count > 200
        assert all(int(earlier) < int(line) for earlier, line in told)
    assert not list(tmp_path.glob("*.shards"))


def test_an_interrupted_start_is_taken_up_and_damaged_results_are_done_again(corpus, tmp_path, caplog):
    caplog.set_level("INFO", "translora")
    job = CleanJob(corpus, "de", "en", THOROUGH, tmp_path / "out.tsv")
    with pytest.raises(KeyboardInterrupt):
        clean_in_shards(job, Loop(fails_at=2), 100)
    shards = sorted((tmp_path / "out.tsv.shards").glob("*.arrow"))
    assert len(shards) >= 3
    assert not job.output.exists()
    shards[0].write_bytes(shards[0].read_bytes()[:-7])
    engine = Loop()
    clean_in_shards(job, engine, 100)
    assert f"{shards[0]}: damaged" in caplog.text
    assert sorted(engine.done) == sorted({*range(9)} - {int(path.stem) for path in shards[1:]})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out.dropped.tsv", "out.tsv"]
    alone = CleanJob(corpus, "de", "en", THOROUGH, tmp_path / "alone.tsv")
    alone.run()
    assert job.output.read_bytes() == alone.output.read_bytes()


def test_results_of_other_rules_or_rows_are_not_taken_up(corpus, tmp_path):
    output = tmp_path / "out.tsv"
    with pytest.raises(KeyboardInterrupt):
        clean_in_shards(CleanJob(corpus, "de", "en", THOROUGH, output), Loop(fails_at=2), 100)
    engine = Loop()
    clean_in_shards(CleanJob(corpus, "de", "en", RULES[1], output), engine, 100)
    assert sorted(engine.done) == [*range(9)]


def test_mistakes_are_those_of_one_process(corpus, tmp_path):
    job = CleanJob(corpus, "de", "en", CleaningConfig(), tmp_path / "out.tsv")
    with pytest.raises(DataError, match=r"corpus.tsv:31: not UTF-8"):
        clean_in_shards(job, Loop(), 10)
    (tmp_path / "cut.csv").write_text('gut,good\nja,yes\n"offen,x\n')
    cut = SourceConfig(path=str(tmp_path / "cut.csv"))
    alone = check_corpus(cut, "de", "en", THOROUGH)
    assert as_dict([check_in_shards(cut, ("de", "en"), THOROUGH, Extra(), Loop(), 1)]) == as_dict([alone])
    with pytest.raises(DataError, match="not CSV"):
        clean_in_shards(CleanJob(cut, "de", "en", THOROUGH, tmp_path / "out.tsv"), Loop(), 1)
    (tmp_path / "other.tsv.shards").write_text("mine")
    with pytest.raises(StorageError, match=r"other.tsv.shards: cannot be written"):
        clean_in_shards(CleanJob(corpus, "de", "en", THOROUGH, tmp_path / "other.tsv"), Loop())


@pytest.mark.parametrize("bucket", [7, 1 << 22])
def test_repeated_tells_what_a_set_tells(monkeypatch, bucket):
    monkeypatch.setattr("translora.data.cleaning.hashes._BUCKET", bucket)
    draw = random.Random(3)
    values = [draw.choice([0, 256, draw.randrange(40), draw.randrange(1 << 64)]) for _ in range(300)]
    known = HashSet()
    told = [not known.add(value) for value in values]
    parts = [np.array(part, dtype=np.uint64) for part in (values[:100], [], values[100:101], values[101:])]
    found = repeated(parts)
    assert [len(part) for part in found] == [len(part) for part in parts]
    assert np.concatenate(found).tolist() == told
    assert repeated([]) == []
