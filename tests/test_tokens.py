import shutil
import tracemalloc

import numpy as np
import pytest
from transformers import AutoTokenizer, T5Tokenizer

from translora import mini
from translora.data import tokens
from translora.data.pairs import Corpus, Pair
from translora.data.tokens import IGNORED, encode, tokenise
from translora.io.files import cache_folder


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(mini.MODEL)


@pytest.fixture
def corpus():
    return Corpus.of([Pair("Guten Morgen!", "Good morning!"), Pair("Ja, das ist ein langer Satz.", "Yes.")])


def test_each_side_is_what_the_tokenizer_says(corpus, tokenizer):
    tokens = tokenise(corpus, tokenizer, "<2en> ", 64)
    for i, pair in enumerate(corpus):
        assert tokens.source_ids(i) == tokenizer("<2en> " + pair.source)["input_ids"]
        assert tokens.target_ids(i) == tokenizer(pair.target)["input_ids"]
    assert tokens.source_ids(0)[0] == tokenizer.convert_tokens_to_ids("<2en>")


def test_a_batch_is_padded_and_its_padding_marked(corpus, tokenizer):
    tokens = tokenise(corpus, tokenizer, "", 64)
    batch = tokens.batch(tokens.all_indices())
    short = len(tokens.source_ids(0))
    assert batch.input_ids.shape == batch.attention_mask.shape == (2, len(tokens.source_ids(1)))
    assert batch.input_ids[0, short:].eq(tokenizer.pad_token_id).all()
    assert batch.attention_mask.sum(1).tolist() == tokens.source_lengths.tolist()
    assert (batch.labels != IGNORED).sum(1).tolist() == tokens.target_lengths.tolist()
    assert batch.target_tokens == tokens.target_lengths.sum()


def test_truncation_keeps_the_end_token_and_is_counted(corpus, tokenizer):
    limit = len(tokenizer(corpus[0].source)["input_ids"])
    tokens = tokenise(corpus, tokenizer, "", limit)
    assert tokens.truncated_sources == 1
    assert tokens.source_ids(1)[:-1] == tokenizer(corpus[1].source)["input_ids"][: limit - 1]
    assert tokens.source_ids(1)[-1] == tokenizer.eos_token_id


def test_tokens_are_cached_by_content(corpus, tokenizer):
    folder = cache_folder() / "tokens"
    tokenise(corpus, tokenizer, "a prompt of this test ", 64)
    files = set(folder.iterdir())
    tokenise(corpus, tokenizer, "a prompt of this test ", 64)
    assert set(folder.iterdir()) == files
    tokenise(corpus, tokenizer, "another prompt ", 64)
    assert len(set(folder.iterdir())) == len(files) + 1


def test_a_pair_takes_no_more_than_its_ids(tokenizer):
    """Neither texts nor rows are held as Python objects."""

    def peak(pairs):
        corpus = Corpus.of(Pair(f"Seite {i}", f"Page {i}") for i in range(pairs))
        tracemalloc.start()
        try:
            return len(tokenise(corpus, tokenizer, "", 64)), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    (few, least), (many, most) = peak(6_000), peak(12_000)
    assert (most - least) / (many - few) < 150


def test_tokens_of_several_batches_are_those_of_one(tokenizer, monkeypatch):
    corpus = Corpus.of(Pair(f"Seite {i} " * (i % 9), f"Page {i}" * (i % 4)) for i in range(100))
    whole = tokenise(corpus, tokenizer, "<2en> ", 12)
    assert whole.table.column("source").num_chunks == 1
    monkeypatch.setattr(tokens, "_ROWS", 7)
    shutil.rmtree(cache_folder() / "tokens")
    parts = tokenise(corpus, tokenizer, "<2en> ", 12)
    assert parts.table.column("source").num_chunks == 15
    assert parts.table.combine_chunks() == whole.table.combine_chunks()
    assert parts.truncated_sources == whole.truncated_sources > 0
    assert parts.truncated_targets == whole.truncated_targets
    for one, other in ((parts, whole), (parts + whole, whole + parts)):
        assert (one.source_lengths == other.source_lengths).all()
        chosen = np.array([99, 0, 6, 7, 55, len(one) - 1])
        mine, theirs = one.batch(chosen), other.batch(chosen)
        assert mine.input_ids.equal(theirs.input_ids)
        assert mine.labels.equal(theirs.labels)
        assert one.take(chosen).table.combine_chunks() == other.take(chosen).table.combine_chunks()


def test_an_empty_corpus(tokenizer):
    assert len(tokenise(Corpus.of([]), tokenizer, "", 64)) == 0


@pytest.mark.parametrize("text", ["Größe „x“ – 5 € …", "日本語 🙂", "tabs\tand  spaces"])
def test_the_embedded_tokenizer_loses_nothing_but_runs_of_space(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == " ".join(text.split())


@pytest.mark.parametrize("token", ["</s>", "<pad>", "<2de>", "<2en>"])
def test_text_that_spells_a_special_token_stays_text(tokenizer, token):
    (ids,) = encode([f"ein {token} Ende"], tokenizer, "<2en> ")
    special = tokenizer.convert_tokens_to_ids(["</s>", "<pad>", "<2de>", "<2en>"])
    assert [i for i in ids if i in special] == tokenizer.convert_tokens_to_ids(["<2en>", "</s>"])
    assert tokenizer.decode(ids, skip_special_tokens=True).split()[-1] == "Ende"


def test_two_corpora_become_one_with_the_sum_of_what_was_cut(corpus, tokenizer):
    limit = len(tokenizer(corpus[0].source)["input_ids"])
    first, second = tokenise(corpus, tokenizer, "", limit), tokenise(corpus.head(1), tokenizer, "<2en> ", 64)
    both = first + second
    assert len(both) == 3
    assert [both.source_ids(i) for i in range(3)] == [*map(first.source_ids, range(2)), second.source_ids(0)]
    assert [both.target_ids(i) for i in range(3)] == [*map(first.target_ids, range(2)), second.target_ids(0)]
    assert both.truncated_sources == first.truncated_sources + second.truncated_sources == 1
    assert both.batch(both.all_indices()).input_ids.shape[0] == 3


def test_sentinels_that_are_pieces_stay_text():
    """As in mT5, whose vocabulary has them after the mark of a space."""
    pieces = [
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        "a",
        "b",
        "<",
        ">",
        "_",
        "e",
        "x",
        "t",
        "r",
        "i",
        "d",
        "0",
        "▁<extra_id_0>",
    ]
    tokenizer = T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0)
    mark = tokenizer.convert_tokens_to_ids("▁<extra_id_0>")
    assert mark in tokenizer("a <extra_id_0> b")["input_ids"]
    (ids,) = encode(["a <extra_id_0> b"], tokenizer)
    assert mark not in ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a < extra_id_0> b"
