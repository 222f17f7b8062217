import json

import pytest
import tokenizers
import transformers

import translora
from translora import mini
from translora.config import CleaningConfig
from translora.data.placeholders import keep_text_tokens, loses_spaces, text_tokens, texts_of
from translora.data.tokens import control_tokens, encode
from translora.models.tokenizer import load_tokenizer
from vocabularies import bpe, byte_level, corpus_lines, unigram

ADDED = ["[NAME]", "{", "}"]
TEXTS = [
    "Hallo [NAME], {0}",
    "Hallo[NAME] , { 0 }",
    "[NAME] kommt",
    "Hallo [NAME] [NAME]n",
    "Hallo [NAME]",
    "{[NAME]}",
]


@pytest.fixture(scope="module")
def lines():
    return corpus_lines()


def embedded(lines):
    return transformers.AutoTokenizer.from_pretrained(mini.MODEL)


def byt5(lines):
    return transformers.ByT5Tokenizer()


@pytest.mark.parametrize("special", [True, False], ids=["special", "ordinary"])
@pytest.mark.parametrize("kind", [unigram, bpe, byte_level, embedded, byt5])
def test_added_tokens_go_in_and_come_out(kind, special, lines, tmp_path):
    kind(lines).save_pretrained(tmp_path)
    plain = transformers.AutoTokenizer.from_pretrained(tmp_path)
    added = transformers.AutoTokenizer.from_pretrained(tmp_path)
    added.add_tokens(ADDED, special_tokens=special)
    if special:
        added.add_special_tokens({"additional_special_tokens": ADDED})
    added.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)

    assert text_tokens(tokenizer) == ADDED
    rows = list(encode(TEXTS, tokenizer))
    assert texts_of(rows, tokenizer) == TEXTS
    assert [tokenizer.decode(row, skip_special_tokens=True) for row in rows] == TEXTS
    names = [token for row in rows for token in row if token == tokenizer.convert_tokens_to_ids("[NAME]")]
    assert len(names) == "".join(TEXTS).count("[NAME]")
    assert list(encode(lines, tokenizer)) == list(encode(lines, plain))
    assert not loses_spaces(tokenizer)

    tokenizer.save_pretrained(tmp_path / "again")
    assert list(encode(TEXTS, load_tokenizer(tmp_path / "again"))) == rows


def test_a_tokenizer_without_added_tokens_is_left_as_it_is(lines):
    tokenizer = unigram(lines)
    rules = tokenizer.backend_tokenizer.to_str()
    assert keep_text_tokens(tokenizer) is tokenizer
    assert tokenizer.backend_tokenizer.to_str() == rules


def test_control_tokens_are_dropped_wherever_they_stand(lines):
    tokenizer = unigram(lines)
    ids = tokenizer.convert_tokens_to_ids
    row = [ids("<pad>"), *tokenizer("Hallo")["input_ids"], ids("<extra_id_0>"), ids("<unk>"), ids("<pad>")]
    assert texts_of([row, [], [ids("</s>")]], tokenizer) == ["Hallo", "", ""]


def test_sentinels_with_a_mark_before_them_are_control_tokens(lines):
    """mT5's are such pieces of its vocabulary; a text that spells one is text."""
    raw = json.loads(unigram(lines).backend_tokenizer.to_str())
    raw["model"]["vocab"].append(["▁<extra_id_0>", 0.0])
    raw["added_tokens"] = []
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(json.dumps(raw)),
        pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
    )  # fmt: skip
    number = tokenizer.convert_tokens_to_ids("▁<extra_id_0>")
    assert "▁<extra_id_0>" in control_tokens(tokenizer)
    assert tokenizer("<extra_id_0>")["input_ids"][0] == number
    assert number not in next(encode(["<extra_id_0>"], tokenizer))


def test_control_tokens_are_found_again_after_one_is_added(lines):
    tokenizer = bpe(lines)
    before = control_tokens(tokenizer)
    tokenizer.add_tokens(["<2fr>"])
    assert control_tokens(tokenizer) == sorted([*before, "<2fr>"])


def test_the_tokenizer_lies_beside_an_adapter_for_those_who_load_it_alone(lines, tmp_path):
    base, pairs = tmp_path / "base", [(text, f"{text} {i}") for i, text in enumerate(TEXTS * 2)]
    tokenizer = unigram(lines)
    tokenizer.add_tokens(ADDED, special_tokens=True)
    tokenizer.save_pretrained(base)
    shape = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_heads": 2, "num_layers": 2, "decoder_start_token_id": 0}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=len(tokenizer), **shape))
    model.save_pretrained(base)
    config = translora.Config(
        model=str(base), output=str(tmp_path / "run"),
        data=translora.DataConfig(validation_size=2, test_size=2, cleaning=CleaningConfig(duplicates="keep")),
        training=translora.TrainingConfig(max_steps=2), decoding=translora.DecodingConfig(max_tokens=4),
    )  # fmt: skip
    run = translora.train(config, train=pairs, quiet=True)
    rows = list(encode(TEXTS, run.translator().tokenizer))
    alone = transformers.AutoTokenizer.from_pretrained(run.adapter)
    assert alone(TEXTS)["input_ids"] == rows
    assert alone.batch_decode(rows, skip_special_tokens=True) == TEXTS
    assert "token_type_ids" not in alone("a")
    again = translora.train(config, train=pairs, quiet=True, overwrite=True)
    assert sorted(path.name for path in again.adapter.iterdir()) == sorted(
        ["README.md", "adapter_config.json", "adapter_model.safetensors", "shortlist.json", "tokenizer.json",
         "tokenizer_config.json", "translora.json"]
    )  # fmt: skip
