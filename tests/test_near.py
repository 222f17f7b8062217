"""Near duplicates: the estimate against exact Jaccard, what is found by similarity, and the same in any chunks."""

import random
from itertools import pairwise

import numpy as np
import pytest

from translora.config import CleaningConfig, Config, DataConfig, SourceConfig
from translora.data.check import Extra, check_corpus
from translora.data.cleaning import minhash, near
from translora.data.cleaning.minhash import BANDS, alike, found_by_bands, signatures, similarity
from translora.data.cleaning.near import NearDuplicates
from translora.data.cleaning.rules import Cleaner
from translora.data.pairs import Pair
from translora.data.splits import read_splits

WORDS = [f"{first}{last}" for first in "bdfghklmnprst" for last in ("aro", "elin", "ister", "o", "und", "ei", "ük")]
LONG = (
    "Klicken Sie in der Symbolleiste auf das Symbol Speichern, um die Datei sofort zu sichern",
    "On the toolbar, click the Save icon in order to store the file at once",
)


def text(draw, words=20):
    return " ".join(draw.choices(WORDS, k=words))


def edited(draw, pair, edits):
    """The pair with that many words of each side replaced."""
    sides = []
    for side in pair[:2]:
        words = side.split()
        for place in draw.sample(range(len(words)), edits):
            words[place] = draw.choice(WORDS)
        sides.append(" ".join(words))
    return Pair(*sides)


def jaccard(some, other):
    """The exact mean of both sides' similarities, of plain words."""
    means = []
    for one, two in zip(some[:2], other[:2], strict=True):
        one, two = ({*words, *pairwise(words)} for words in (one.split(), two.split()))
        means.append(len(one & two) / len(one | two))
    return sum(means) / 2


def found(pairs):
    return [earlier for _, earlier in NearDuplicates().each(pairs)]


def test_the_estimate_and_what_is_found_follow_the_exact_similarity():
    draw = random.Random(5)
    by_edits = {}
    for edits in (0, 1, 2, 3, 5, 8):
        firsts = [Pair(text(draw), text(draw)) for _ in range(300)]
        seconds = [edited(draw, pair, edits) for pair in firsts]
        exact = np.array([jaccard(*two) for two in zip(firsts, seconds, strict=True)])
        guess = similarity(signatures(firsts), signatures(seconds))
        assert abs(guess - exact).mean() < 0.045
        assert abs((guess - exact).mean()) < 0.01
        by_edits[edits] = exact.mean(), np.mean([bool(one) for one in found([*firsts, *seconds])[300:]])
    exact, hits = zip(*by_edits.values(), strict=True)
    assert sorted(exact, reverse=True) == list(exact)
    assert hits[0] == 1
    assert exact[1] > 0.84
    assert hits[1] > 0.9
    assert 0.68 < exact[2] < 0.8
    assert 0.01 < hits[2] < 0.4
    assert max(hits[3:]) < 0.01
    assert [round(found_by_bands(one), 3) for one in (0.5, 0.7, 0.8, 0.9)] == [0.097, 0.693, 0.966, 1.0]


def reference(pairs, most):
    """The first kept pair that each one is near to, told one pair at a time."""
    rows = signatures(pairs)
    told, groups = [], {}
    for number, row in enumerate(rows):
        keys = list(enumerate(row.tolist()))
        others = sorted({other for key in keys for other in groups.get(key, ())})
        told.append(next((pairs[o].origin for o in others if alike(rows[[o]], rows[[number]])[0]), ""))
        for key in keys if not told[-1] else ():
            group = groups.setdefault(key, [])
            if len(group) < most:
                group.append(number)
    return told


@pytest.mark.parametrize("most", [2, 32])
def test_what_is_found_does_not_depend_on_chunks_or_tables(monkeypatch, most):
    monkeypatch.setattr(near, "ALIKE", most)
    draw = random.Random(most)
    seeds = [Pair(text(draw, 12), text(draw, 12)) for _ in range(6)]
    pairs = [edited(draw, draw.choice(seeds), draw.choice([0, 1, 2, 4])) for _ in range(250)]
    pairs = [pair._replace(file=draw.choice("ab"), line=line) for line, pair in enumerate(pairs)]
    expected = reference(pairs, most)
    assert 50 < sum(map(bool, expected)) < 220
    for first, size in ((1 << 13, 5000), (8, 9)):
        monkeypatch.setattr(near, "_FIRST", first)
        monkeypatch.setattr(near, "CHUNK", size)
        monkeypatch.setattr(near, "_AT_ONCE", size)
        assert found(pairs) == expected


CASES = [
    (("Ja.", "Yes."), ("ja", "YES!"), True),  # also what `normalised` finds
    (("Ja.", "Yes."), ("Ja.", "Sure."), False),
    (("Ja.", "Yes."), ("Nein.", "Yes."), False),
    (LONG, (LONG[0] + " jetzt", LONG[1] + " now"), True),
    (LONG, (LONG[0], "Something else altogether"), False),
    (("Ganz etwas anderes", LONG[1]), LONG, False),
    ((LONG[0], "ok"), (LONG[0], "well"), False),  # the sides count alike, whatever their lengths
    (("Version 1.2", "Version 1.2"), ("Version 1.3", "Version 1.3"), False),
    ((f"{LONG[0]} 7", f"{LONG[1]} 7"), (f"{LONG[0]} 8", f"{LONG[1]} 8"), True),
    (("5 < 6", "5 < 6"), ("5 > 6", "5 > 6"), False),
    (("...", "--"), ("!", "?"), True),  # no words: `normalised` has nothing left of them either
    (("...", "Wait"), ("!", "Stop"), False),
    (("☃", "snow"), ("☂", "snow"), False),
    (
        ("他昨天下午去了北京大学图书馆看书写作业。", LONG[1]),
        ("他昨天下午去了北京大学图书馆看书写作业了", LONG[1]),
        True,
    ),
    (("他昨天去了北京大学图书馆看书。", "x"), ("我明天要去上海博物馆看展览。", "x"), False),
    (("ฉันไปตลาดเพื่อซื้อผลไม้เมื่อวานนี้", LONG[1]), ("ฉันไปตลาดเพื่อซื้อผลไม้เมื่อวานนี้ครับ", LONG[1]), True),
    (("कि", "that"), ("की", "that"), False),  # they differ in a combining mark
    (("\u0301Äpfel\n\tund Birnen", "x"), ("a\u0308pfel und birnen", "x"), True),
    (("\ud800", "x"), ("\udfff", "x"), True),
]


@pytest.mark.parametrize(("first", "second", "like"), CASES)
def test_cases(first, second, like):
    pairs = [Pair(*LONG[::-1], "a", 1), Pair(*first, "a", 2), Pair(*second, "a", 3)]
    assert found(pairs) == ["", "", "a:2" if like else ""]
    assert found([pairs[0], pairs[2], pairs[1]]) == ["", "", "a:3" if like else ""]


def test_signatures_are_the_same_in_any_company_and_version(monkeypatch):
    draw = random.Random(0)
    pairs = [
        Pair("", ""),
        Pair(*LONG),
        Pair("", "x"),
        *(Pair(text(draw, 3), "Zeile\nzwei") for _ in range(40)),
        Pair("1", ""),
    ]
    rows = signatures(pairs)
    assert rows.shape == (44, BANDS)
    assert (rows == np.concatenate([signatures([pair]) for pair in pairs])).all()
    monkeypatch.setattr(minhash, "_BLOCK", 200)
    assert (rows == signatures(pairs)).all()
    assert signatures([]).shape == (0, BANDS)
    assert rows[1, :3].tolist() == [1309164428, 1436509173, 2157542902]


def test_long_texts_are_cut_into_pieces(monkeypatch):
    monkeypatch.setattr(minhash, "_BLOCK", 100)
    draw = random.Random(2)
    long = [text(draw, 60) for _ in range(2)]
    pieces = Pair(long[0], "x", "a", 1), Pair("und " + long[0], "x", "a", 2), Pair(long[1], "x", "a", 3)
    assert found(pieces) == ["", "a:1", ""]


def test_a_dropped_pair_names_the_first_kept_one_that_it_is_like():
    draw = random.Random(3)
    first = Pair(text(draw, 40), text(draw, 40))
    chain = [first]
    while jaccard(first, chain[-1]) > 0.6:
        chain.append(edited(draw, chain[-1], 1))
    pairs = [pair._replace(file="a", line=line) for line, pair in enumerate([*chain, Pair("", "x"), chain[0]], start=1)]
    cleaner = Cleaner(CleaningConfig(duplicates="near"), "de", "en")
    reasons = [reason for _, reason in cleaner.sort(pairs)]
    kept = [line for line, reason in enumerate(reasons, start=1) if not reason]
    assert len(kept) > 1  # what is like a dropped pair, but like no kept one, stays
    assert reasons[1] == reasons[-1] == "near duplicate of a:1"
    assert reasons[-2] == "empty side"
    assert {int(reason.rpartition(":")[2]) for reason in reasons if reason.startswith("near")} <= set(kept)
    assert cleaner.dropped["near duplicate"].count == len(pairs) - len(kept) - 1
    assert all("(like a:" in example for example in cleaner.dropped["near duplicate"].examples)


def test_a_training_leaves_them_out_and_the_check_counts_them(tmp_path):
    draw = random.Random(4)
    firsts = [(text(draw), text(draw)) for _ in range(30)]
    lines = [*firsts, *((f"{source} jetzt", f"{target} now") for source, target in firsts[:20]), ("nur eine Spalte",)]
    (tmp_path / "a.tsv").write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    source = SourceConfig(path=str(tmp_path / "a.tsv"))
    rules = CleaningConfig(duplicates="near", bad_lines="skip")
    config = Config(data=DataConfig(train=source, cleaning=rules, validation_size=2, test_size=2))
    splits = read_splits(config)
    assert len(splits.train) == 26
    assert splits.dropped["near duplicate"].count == 20
    near_ones = check_corpus(source, "de", "en", rules, Extra(near=True)).problems["near duplicate"]
    assert (near_ones.count, near_ones.consequence) == (20, "left out")
    assert near_ones.places[0] == f"{source.path}:31 (like {source.path}:1)"
    kept = check_corpus(source, "de", "en", CleaningConfig(), Extra(near=True))
    assert kept.problems["near duplicate"].consequence == "stays"
    assert "near duplicate" not in check_corpus(source, "de", "en", CleaningConfig()).problems
