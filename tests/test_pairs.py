import pytest

from translora.data.pairs import Corpus, Pair, joined


@pytest.fixture
def corpus():
    return Corpus.of(Pair(f"s{i}", f"t{i}", "f.tsv", i + 1) for i in range(10))


def test_a_corpus_gives_back_its_pairs(corpus):
    assert len(corpus) == 10
    assert list(corpus)[3] == corpus[3] == Pair("s3", "t3", "f.tsv", 4)
    assert corpus[-1].origin == "f.tsv:10"
    assert corpus.sources[:2] == ["s0", "s1"]
    assert [pair.target for pair in corpus.take([5, 1])] == ["t5", "t1"]
    assert len(corpus + corpus.head(3)) == 13
    with pytest.raises(IndexError):
        corpus[10]


def test_the_hash_follows_text_and_order_alone(corpus):
    same = Corpus.of(Pair(pair.source, pair.target, "elsewhere", 1) for pair in corpus)
    assert same.content_hash() == corpus.content_hash()
    assert corpus.take([1, 0]).content_hash() != corpus.take([0, 1]).content_hash()
    swapped = Corpus.of(Pair(pair.target, pair.source) for pair in corpus)
    assert swapped.content_hash() != corpus.content_hash()


def test_an_empty_corpus():
    empty = Corpus.of([])
    assert len(empty) == 0
    assert list(empty) == []


def test_joined_examples_keep_both_sides_together(corpus):
    examples = joined(corpus, share=2.0, most=3, seed=1)
    assert len(examples) == 20
    for pair in examples:
        assert pair.source.replace("s", "t") == pair.target
        assert 2 <= len(pair.source.split()) <= 3
    assert list(examples) == list(joined(corpus, share=2.0, most=3, seed=1))
    assert list(examples) != list(joined(corpus, share=2.0, most=3, seed=2))


def test_a_reversed_corpus_has_its_sides_swapped_and_its_places(corpus):
    assert list(corpus.reversed())[3] == Pair("t3", "s3", "f.tsv", 4)
    assert list(corpus.reversed().reversed()) == list(corpus)
    assert len(corpus + corpus.reversed()) == 20
