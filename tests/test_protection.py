"""Training with marks in place of placeholders: the same on both sides, counted, scored with protection."""

import dataclasses

import pytest

import translora
from translora.config import SourceConfig
from translora.data.pairs import Corpus, Pair
from translora.data.tokens import encode
from translora.errors import ConfigError
from translora.pipeline import tokenised
from translora.training.protection import marks_protector, protect_pairs
from translora.translation.protect import PIECES, Protector
from vocabularies import byte_level, corpus_lines

PAIRS = [
    Pair("%s von {b}: %s", "%s: {b} of %s", "f", 1),
    Pair("Guten Tag", "Good day", "f", 2),
    Pair("Datei %s", "File %d", "f", 3),
    Pair(" ".join(f"{{{i}}}" for i in range(33)), " ".join(f"{{{i}}}" for i in range(33)), "f", 4),
    Pair("nur hier {a}", "nothing", "f", 5),
]


def test_both_sides_have_the_same_marks_or_stay():
    made = protect_pairs(Corpus.of(PAIRS), Protector())
    assert list(made.corpus) == [Pair("<ph0> von <ph1>: <ph0>", "<ph0>: <ph1> of <ph0>", "f", 1), *PAIRS[1:]]
    assert (made.protected, made.left) == (1, 3)


def test_a_share_of_the_pairs_without_placeholders_gets_marks_at_places_that_mean_the_same():
    plain = [Pair("Seite 3 von Berlin", "Page 3 of Berlin", "f", 2), Pair("Guten Tag", "Good day", "f", 3)] * 200
    corpus = Corpus.of([PAIRS[0], *plain])
    made = protect_pairs(corpus, Protector(), 0.5, seed=1)
    assert list(made.corpus) == list(protect_pairs(corpus, Protector(), 0.5, seed=1).corpus)
    assert next(iter(made.corpus)).source == "<ph0> von <ph1>: <ph0>"
    assert made.protected == 1
    changed = [(old, new) for old, new in zip(plain, list(made.corpus)[1:], strict=True) if new != old]
    assert len(changed) == made.added
    assert 150 < made.added < 250
    found = set()
    for old, new in changed:
        sides = [Protector().found(text) for text in new[:2]]
        assert sides[0]
        assert sorted(sides[0]) == sorted(sides[1])
        found |= set(sides[0])
        kept = [PIECES.pattern.sub("", text).split() for text in new[:2]]
        for words, text in zip(kept, old[:2], strict=True):
            assert words == [word for word in text.split() if word in words]
            assert set(text.split()) - set(words) <= {"3", "Berlin"}
    assert len(found) == PIECES.count
    sources = {new.source for _, new in changed}
    assert {
        "Seite <ph0> von <ph1>",
        "Seite 3 von <ph0>Berlin<ph1>",
        "<ph0>Guten Tag<ph1>",
        "<ph0> Guten Tag",
    } <= sources


def test_a_vocabulary_without_pieces_is_refused():
    with pytest.raises(ConfigError, match="data.placeholders: the vocabulary of mine has no pieces <ph0>"):
        marks_protector(byte_level(corpus_lines()), "mine")


@pytest.fixture
def config(tiny_config, corpus_file, tmp_path):
    """Every pair holds the same two placeholders."""
    path = tmp_path / "marked.tsv"
    rows = [line.split("\t") for line in corpus_file.read_text(encoding="utf-8").splitlines()[:100]]
    path.write_text("".join(f"{{a}}: {source} %s\t{target} %s {{a}}\n" for source, target in rows), encoding="utf-8")
    data = dataclasses.replace(tiny_config.data, train=SourceConfig(path=str(path)), placeholders="protect")
    return dataclasses.replace(tiny_config, data=data)


def test_a_run_learns_and_is_scored_with_marks(config, capsys):
    run = translora.train(config)
    assert "data: placeholders of 60 training pairs are marks; 0 pairs whose sides" in " ".join(
        capsys.readouterr().err.split()
    )
    sources = run.translated("source")
    for label in ("before", "after"):
        assert all(Protector().kept(*pair) for pair in zip(sources, run.translated(label), strict=True))
    translator = run.translator()
    assert translator.scored_as == "auto"
    assert [one.text for one in translator.decode(sources)] == run.translated("after")
    references = run.translated("reference")
    assert translator.score(list(zip(sources, references, strict=True))).bleu == run.summary.scores_after.bleu
    (ids,) = [tokenised(translator.loaded, Corpus.of([Pair("{a} x", "y {a}")]), config).source_ids(0)]
    assert ids == next(encode(["<ph0> x"], translator.tokenizer, translator.prompt))
