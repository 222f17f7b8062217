import random

import pytest
import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers

import translora
from translora import mini
from translora.cli import program as cli
from translora.data.characters import shown, unknown_in_pairs, unknown_in_sources
from translora.data.pairs import Pair
from translora.data.placeholders import keep_text_tokens
from vocabularies import bpe, byte_level, corpus_lines, unigram


@pytest.fixture(scope="module")
def lines():
    return corpus_lines()


@pytest.fixture
def tokenizer(lines):
    return unigram(lines)


@pytest.mark.parametrize("kind", [unigram, bpe])
def test_just_the_pairs_with_unk_are_found(kind, lines):
    tokenizer, draw = kind(lines), random.Random(0)
    texts = [line[:20] + "".join(draw.sample("eñ{ ő日éx", draw.randrange(3))) for line in lines]
    pairs = [Pair(source, target) for source, target in zip(texts[::2], texts[1::2], strict=False)]
    unknown = [[tokenizer.unk_token_id in tokenizer(text)["input_ids"] for text in pair[:2]] for pair in pairs]
    found = unknown_in_pairs(pairs, tokenizer)
    assert found.total == len(pairs)
    assert 0 < found.pairs == sum(map(any, unknown)) < len(pairs)
    assert (found.sources, found.targets) == tuple(map(sum, zip(*unknown, strict=True)))
    assert set(found.characters) == {"ñ", "{", "ő", "日"} | ({"é"} - set("".join(lines)))
    assert found.distinct == len(found.characters)


@pytest.mark.parametrize(
    "kind", [byte_level, lambda lines: transformers.ByT5Tokenizer(),
             lambda lines: transformers.AutoTokenizer.from_pretrained(mini.MODEL)],
    ids=["byte-level", "byt5", "byte fallback"],
)  # fmt: skip
def test_vocabularies_of_bytes_lack_nothing(kind, lines):
    pairs = [Pair("ñ {ő} 日本 🙂 e\u0301 \u00a0\u200b", "<b>çà</b> ½")]
    assert unknown_in_pairs(pairs, kind(lines)).pairs == 0


def test_a_letter_and_its_marks_count_as_one(tokenizer):
    """Decomposed text is composed before it is cut: the accent alone is unknown, the letter with it is not."""
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    assert unknown_in_sources(["u\u0308ben u\u0308ben", "\u1112\u1161\u11ab", "x\u0308"], tokenizer) == (
        [2, 3],
        ["\u1112\u1161\u11ab", "x\u0308"],
    )
    tokenizer.backend_tokenizer.normalizer = None
    assert unknown_in_sources(["u\u0308ben"], tokenizer) == ([1], ["u\u0308"])


def test_what_a_vocabulary_without_unk_leaves_out_is_found(lines):
    raw = tokenizers.Tokenizer(models.BPE(vocab={"</s>": 0, "▁": 1, "a": 2}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>")
    assert unknown_in_sources(["a a", "a b", "\u00a0\u200b"], tokenizer) == ([2], ["b"])


def test_added_tokens_have_their_characters(tokenizer):
    tokenizer.add_tokens(["<b>", "{"])
    tokenizer = keep_text_tokens(tokenizer)
    assert unknown_in_sources(["{0 <b>", "<i>", "0}"], tokenizer) == ([2, 3], ["<", ">", "}"])


def test_each_character_is_tokenised_once(lines, monkeypatch):
    class Counting(transformers.T5Tokenizer):
        tokenised = 0

        def __call__(self, *args, text=None, text_target=None, **settings):
            Counting.tokenised += len(text or text_target)
            return super().__call__(*args, text=text, text_target=text_target, **settings)

    tokenizer = Counting(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("e", -3.0)], extra_ids=0)
    found = unknown_in_pairs([Pair(line, line) for line in lines] * 3, tokenizer)
    assert found.pairs == found.total
    assert Counting.tokenised == 2 * len(set("".join(lines)))


def test_characters_that_cannot_be_seen_are_shown_by_number():
    assert shown(["{", "\u200d", "x\u0308"]) == "{, U+200D, x\u0308"
    assert shown([chr(number) for number in range(97, 109)], 300) == "a, b, c, d, e, f, g, h, i, j and 290 more"


@pytest.fixture(scope="module")
def folder(lines, tmp_path_factory):
    """A model of random weights with the vocabulary that lacks braces."""
    folder = tmp_path_factory.mktemp("short")
    tokenizer = unigram(lines)
    shape = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_heads": 2, "num_layers": 2, "decoder_start_token_id": 0}
    transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=len(tokenizer), **shape)).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def pairs(lines):
    short = [line[:12] for line in lines[:9]]
    return [("{0} " + short[0], short[1]), (short[2], "nő {1}"), *zip(short[3:], short[3:], strict=True)]


LACKS = r"have characters that the vocabulary of \S+ lacks \({, }, ő\): the model reads them as <unk> and never writes"


def test_train_says_it_before_it_computes(folder, pairs, tmp_path, caplog):
    config = translora.Config(
        model=str(folder), target="hu", method="none", output=str(tmp_path / "run"),
        data=translora.DataConfig(validation_size=2, test_size=3),
        decoding=translora.DecodingConfig(max_tokens=4, beams=1),
    )  # fmt: skip
    run = translora.train(config, train=pairs)
    messages = [record.getMessage() for record in caplog.records]
    said = [i for i, message in enumerate(messages) if "2 of 8 pairs (25.0%; sources: 1, targets: 1)" in message]
    assert said < [i for i, message in enumerate(messages) if message.startswith("canary")]
    caplog.clear()
    assert run.summary.unknown_characters.characters == {"{": 2, "}": 2, "ő": 1}
    assert "vocabulary lacks ({, }, ő)" in run.report.read_text(encoding="utf-8")


def test_translate_says_it(folder, caplog):
    translora.Translator.from_pretrained(folder).translate(["Hallo", "{0}", "{1}"], max_tokens=2)
    said = [record.getMessage() for record in caplog.records]
    assert any("line 2 (and 1 more) has characters that the vocabulary of" in one and "({, })" in one for one in said)
    caplog.clear()
    translora.Translator.from_pretrained(folder).translate("Hallo", max_tokens=2)
    assert not any("vocabulary" in record.getMessage() for record in caplog.records)


def test_data_check_says_it(folder, pairs, tmp_path, capsys):
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "check", str(file), "--model", str(folder), "--source", "de", "--target", "hu"])
    assert ended.value.code == 0
    printed = capsys.readouterr()
    assert f"{file}:2 ({{, }}, ő)" in printed.out
    assert "2 of 8 pairs (25.0%; sources: 1, targets: 1) have characters" in printed.err
