"""Exports against the models that they were made from: logits, texts, beam scores; and every way that one fails."""

import dataclasses
import json

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForSeq2SeqLM, ByT5Tokenizer, PreTrainedTokenizerFast

import forked
import translora
from test_fast_t5 import ARCHITECTURES, SHAPE
from translora.config import Config, DecodingConfig, LoraConfig, SourceConfig
from translora.data.pairs import Corpus, Pair
from translora.errors import ConfigError, DataError, ModelError
from translora.export import ctranslate2, merged, parity
from translora.export.job import Request, export
from translora.models.adapter import save_adapter
from translora.models.load import LoadedModel, base_hash, give_own_head, load
from translora.models.lora import attach, merged_copy
from translora.translation.decode import decode
from translora.translation.exported import MARKER, ExportedModel
from translora.translation.protect import Protector

SEEDS = {"flan-t5": 0, "madlad": 0, "mt5": 0, "byt5": 6}
SENTENCE = "der Typ einer Datei wird hier nicht angezeigt und kann auch nie mehr offen sein"
LINES = [" ".join(SENTENCE.split()[start : start + length]) for start in range(8) for length in (1, 3, 6)]
DECODING = DecodingConfig(beams=4, max_tokens=40, max_ratio=3.0)


def letters(madlad):
    """A tokenizer of one piece a letter."""
    special = ["<pad>", "</s>", "<unk>", *(["<2en>", "<2de>"] if madlad else [])]
    pieces = [*special, "▁", *"abcdefghijklmnopqrstuvwxyzDT:"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=special[3:],
    )  # fmt: skip


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, tmp_path_factory):
    """A model of random weights whose translations end by themselves now and then, in a folder."""
    model_class, config_class, options = ARCHITECTURES[request.param]
    tokenizer = ByT5Tokenizer(extra_ids=0) if request.param == "byt5" else letters(request.param == "madlad")
    torch.manual_seed(SEEDS.get(request.param, 3))
    model = model_class(config_class(**{**SHAPE, **options, "vocab_size": len(tokenizer)}))
    if request.param != "t5":
        give_own_head(model)
    head = model.get_output_embeddings().weight
    head.data[tokenizer.eos_token_id] *= 4
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def adapted(folder, targets):
    config = Config(model=str(folder), method="none", decoding=DECODING, device="cpu")
    loaded = load(config)
    if targets:
        torch.manual_seed(1)
        loaded.model = attach(loaded.model, LoraConfig(rank=3, targets=targets), str(folder), seed=1)
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name or "lora_embedding" in name:
                parameter.data.normal_(std=0.1)
    return loaded


@pytest.mark.parametrize("targets", ["", "q,v", "all-linear,embeddings"])
def test_ctranslate2_gives_the_same_texts_and_scores(model, targets, tmp_path):
    loaded = adapted(model, targets)
    loaded.model = merged_copy(loaded.model)
    ctranslate2.convert(loaded, tmp_path, "float32")
    exported = ExportedModel.load(tmp_path, loaded.prompt, "cpu")
    for beams in (1, 4):
        decoding = dataclasses.replace(DECODING, beams=beams)
        ours, theirs = (engine(LINES, decoding, scores=True) for engine in (by_torch(loaded), exported.decode))
        same = parity.require_same_texts(ours, theirs, "converting")
    assert same.lines >= len(LINES) / 2, same
    assert len({one.text for one in ours if not one.cut}) > 1


@pytest.mark.parametrize("guard", [{"no_repeat_ngram_size": 2}, {"repetition_penalty": 3.0}])
def test_ctranslate2_keeps_repetitions_away_as_translora_does(guard, tmp_path):
    loaded = load(Config(model="mini", device="cpu"))
    ctranslate2.convert(loaded, tmp_path, "float32")
    exported = ExportedModel.load(tmp_path, loaded.prompt, "cpu")
    lines = ["ha ha ha ha ha ha ha ha", "Nein, nein, nein, nein, nein, nein!"]
    free, guarded = DecodingConfig(max_tokens=40), DecodingConfig(max_tokens=40, **guard)
    texts = [[one.text for one in exported.decode(lines, decoding)] for decoding in (free, guarded)]
    assert texts[0] != texts[1]
    assert texts[1] == [one.text for one in decode(loaded, lines, guarded)]


def by_torch(loaded: LoadedModel):
    return lambda *given, **named: decode(loaded, *given, **named)


@pytest.mark.parametrize("model", ["t5", "flan-t5"], indirect=True)
def test_a_wrong_scale_of_the_head_does_not_pass(model, tmp_path, monkeypatch):
    loaded = adapted(model, "")
    scaled = ctranslate2.scales_output(loaded.model.config)
    monkeypatch.setattr(ctranslate2, "scales_output", lambda config: not scaled)
    ctranslate2.convert(loaded, tmp_path, "float32")
    exported = ExportedModel.load(tmp_path, loaded.prompt, "cpu")
    ours, theirs = (engine(LINES, DECODING, scores=True) for engine in (by_torch(loaded), exported.decode))
    with pytest.raises(ModelError, match=r"converting: line \d+ is .* \(score .*nothing was exported"):
        parity.require_same_texts(ours, theirs, "converting")


def test_merging_and_plain_transformers_keep_the_logits(model, tmp_path):
    loaded = adapted(model, "all-linear")
    pairs = Corpus.of([Pair(line, line) for line in LINES])
    before = parity.logits(loaded.model, loaded, pairs, 64)
    loaded.model = merged_copy(loaded.model)
    after = parity.logits(loaded.model, loaded, pairs, 64)
    assert 0 < parity.require_same_logits(before, after, "merging") < parity.LOGITS
    merged.save_merged(loaded, tmp_path)
    plain = merged.load_plain(tmp_path, loaded.model)
    scale = merged.scale_by_transformers(loaded.model, plain)
    assert (scale == 1) == (loaded.model.config.model_type != "umt5")
    parity.require_same_logits(parity.logits(plain, loaded, pairs, 64) / scale, after, "loading")
    with pytest.raises(ModelError, match="merging changed the logits by"):
        parity.require_same_logits(before, after * 1.001, "merging")
    with pytest.raises(ModelError, match="by nan"):
        parity.require_same_logits(before, after * float("nan"), "merging")


def test_embeddings_that_transformers_would_mix_up_are_not_merged(tiny_model, tmp_path):
    loaded = adapted(tiny_model, "embeddings")
    loaded.model = merged_copy(loaded.model)
    with pytest.raises(ModelError, match="use --format ctranslate2"):
        merged.save_merged(loaded, tmp_path)


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(adapted(tiny_model, "all-linear").model, folder, base_hash(Config(model=str(tiny_model))))
    return folder


def request(adapter, corpus_file, output, **fields):
    data = SourceConfig(path=str(corpus_file), limit=20)
    return Request(str(adapter), str(output), data=data, lines=10, **fields)


def test_a_merged_export_is_a_model_of_transformers_and_of_translora(adapter, corpus_file, tmp_path):
    output = export(request(adapter, corpus_file, tmp_path / "merged"))
    AutoModelForSeq2SeqLM.from_pretrained(output)
    lines = ["Guten Morgen!", "", "Das ist ein Satz."]
    by_adapter, by_export = (translora.Translator.from_pretrained(folder, max_tokens=9) for folder in (adapter, output))
    assert by_export.translate(lines) == by_adapter.translate(lines)
    assert by_export.config.source == "de"
    card = (output / "README.md").read_text()
    assert "merging the adapter: logits differ by" in card
    assert "loading with transformers alone: logits differ by" in card


def test_an_export_of_ctranslate2_is_read_like_a_run(adapter, corpus_file, tmp_path, capsys):
    output = export(request(adapter, corpus_file, tmp_path / "ct2", format="ctranslate2", compute="int8", max_loss=100))
    assert "int8: BLEU" in capsys.readouterr().err
    translator = translora.Translator.from_pretrained(output, max_tokens=9)
    lines = ["Guten Morgen!", "", "Das ist ein Satz."]
    found = translator.translate(lines, details=True)
    assert [one.text == "" for one in found][1]
    assert [one.cut_by for one in found] == ["max_tokens", "", "max_tokens"]
    assert found[0].score < 0
    marked = translator.translate("<b>{a}</b>: Guten Morgen, %s.", details=True)
    assert Protector().found(marked.text) == ["<b>", "{a}", "</b>", "%s"]
    translator.save_pretrained(tmp_path / "copy")
    assert translora.Translator.from_pretrained(tmp_path / "copy", max_tokens=9).translate(lines) == [
        one.text for one in found
    ]
    with pytest.raises(ModelError, match="CTranslate2 has this model"):
        _ = translator.model
    with pytest.raises(ConfigError, match="translates de to en, not en to de"):
        translora.Translator.from_pretrained(output, source="en", target="de")
    with pytest.raises(ConfigError, match="is an export: export the run"):
        export(request(output, corpus_file, tmp_path / "again"))
    done = forked.translora("translate", output, "--max-tokens", "9", text="\n".join(lines))
    assert done.stdout.splitlines() == [one.text for one in found]


def test_a_loss_of_bleu_past_the_limit_leaves_nothing_behind(adapter, corpus_file, tmp_path):
    with pytest.raises(ModelError, match=r"int8 costs .* BLEU, more than --max-loss -100: nothing was exported"):
        export(request(adapter, corpus_file, tmp_path / "ct2", format="ctranslate2", compute="int8", max_loss=-100))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_said_at_once(adapter, corpus_file, tmp_path, tiny_model):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for words, fields in (
        ("exists and is no export", {"output": mine}),
        ("--compute float17: use one of float32, int8", {"compute": "float17", "format": "ctranslate2"}),
        ("it is for --format ctranslate2", {"compute": "int8"}),
    ):
        fields = {"output": tmp_path / "out", **fields}
        with pytest.raises(ConfigError, match=words):
            export(request(adapter, corpus_file, **fields))
    with pytest.raises(ConfigError, match="no pairs to try the export on: name some with --data"):
        export(Request(str(tiny_model), str(tmp_path / "out")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_an_export_is_replaced_only_where_that_is_asked_for(adapter, corpus_file, tmp_path):
    output = export(request(adapter, corpus_file, tmp_path / "out"))
    with pytest.raises(ConfigError, match="add --overwrite"):
        export(request(adapter, corpus_file, output))
    export(request(adapter, corpus_file, output, format="ctranslate2", overwrite=True))
    assert json.loads((output / MARKER).read_text())["format"] == "ctranslate2"
    assert not (output / "model.safetensors").exists()


def test_a_damaged_export_is_one_line(adapter, corpus_file, tmp_path):
    output = export(request(adapter, corpus_file, tmp_path / "out", format="ctranslate2"))
    for name, error in ((MARKER, DataError), ("model.bin", ModelError), ("shared_vocabulary.json", ModelError)):
        whole = (output / name).read_bytes()
        for content in (b"", b"{", b"[1]", whole[:100]):
            (output / name).write_bytes(content)
            with pytest.raises(error, match="export the run again"):
                translora.Translator.from_pretrained(output)
        (output / name).write_bytes(whole)
