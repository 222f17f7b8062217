import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM

import translora
from translora import mini
from translora.config import Config
from translora.errors import ConfigError, ModelError
from translora.models import hardware
from translora.models.load import load


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "copy")


def test_the_embedded_model_is_small_float16_and_tied():
    translator = load(Config(method="none"))
    assert translator.prompt == "<2en> "
    assert sum(p.numel() for p in translator.model.parameters()) <= 12_000_000
    assert translator.dtype is torch.float32
    assert translator.model.lm_head.weight is translator.model.shared.weight


def test_a_head_of_its_own_stays_so_through_saving(tiny_model, tmp_path):
    model = load(Config(model=str(tiny_model))).model
    assert model.lm_head.weight is not model.shared.weight
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(again.lm_head.weight, again.shared.weight)
    assert again.encoder.embed_tokens.weight is again.shared.weight


def test_a_fresh_model_follows_the_seed_and_guesses(tiny_model):
    def weights(seed):
        config = Config(model=str(tiny_model), init="random", method="full", seed=seed)
        return load(config).model.state_dict()["lm_head.weight"]

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert weights(1).std() == pytest.approx(32**-0.5, rel=0.05)


def test_dropout_follows_the_recipe(tiny_model):
    config = Config(model=str(tiny_model))
    rates = {m.p for m in load(config).model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.0}
    training = dataclasses.replace(config.training, dropout=0.3)
    model = load(dataclasses.replace(config, training=training)).model
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    assert {m.dropout for m in model.modules() if hasattr(m, "key_value_proj_dim")} == {0.3}


def refused(config, message):
    with pytest.raises((ModelError, ConfigError), match=message) as caught:
        load(config)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_one_line(copy):
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    refused(Config(model=str(copy)), "cannot be loaded")


def test_missing_weights_are_named(copy):
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.final_layer_norm.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    refused(Config(model=str(copy)), "weights are missing .encoder.final_layer_norm.weight")


def test_a_foreign_architecture_and_a_broken_configuration(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "bart"}))
    refused(Config(model=str(copy)), "model type 'bart' is unknown")
    (copy / "config.json").write_text("{")
    refused(Config(model=str(copy)), "cannot be loaded")


def test_folders_that_are_no_models(tmp_path):
    refused(Config(model=str(tmp_path)), "no config.json in it")
    refused(Config(model=str(tmp_path / "gone")), "no such model folder")


def test_a_language_that_the_model_does_not_know(copy):
    refused(Config(model=str(copy), target="fr"), "does not know the language 'fr': it has de, en")


OTHERS = [("xx", "en"), ("fr", "en"), ("de", "fr"), *({("de", "en"), ("en", "de")} - {*mini.DIRECTIONS})]


@pytest.mark.parametrize(("source", "target"), mini.DIRECTIONS)
def test_the_embedded_model_translates_in_each_direction_that_it_was_trained_in(source, target):
    sentence = {"de": "Ich habe einen Hund.", "en": "I have a dog."}
    found = translora.Translator.from_pretrained("mini", source=source, target=target).translate(sentence[source])
    assert found == sentence[target]


@pytest.mark.parametrize(("source", "target"), OTHERS)
def test_the_embedded_model_is_refused_for_languages_that_it_has_not_learnt(source, target):
    refused(Config(source=source, target=target), rf"mini translates German to English .*, not {source} to {target}:")


@pytest.mark.parametrize(
    "fields", [{"source": "de-AT", "target": "en-GB"}, {"source": "fr", "init": "random", "method": "full"}]
)
def test_the_embedded_model_takes_regions_and_its_bare_shape_any_source(fields):
    assert load(Config(**fields)).prompt == "<2en> "


def test_dtypes_follow_the_hardware(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(hardware, "computes_bfloat16", lambda device: False)
    assert hardware.choose_dtype("auto", cpu) is torch.float32
    with pytest.raises(ConfigError, match="does not compute it in hardware"):
        hardware.choose_dtype("bfloat16", cpu)


def test_a_device_that_is_not_there():
    refused(Config(device="xpu:7"), "device 'xpu:7' is not usable here")
    refused(Config(device="toaster"), "device 'toaster' is not usable here")


@pytest.mark.parametrize("command", ["t5", "byt5"])
def test_a_folder_without_a_tokenizer_is_refused(tiny_model, tmp_path, command):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    for file in folder.glob("*token*"):
        file.unlink()
    if command == "byt5":
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(ModelError, match="no tokenizer in .*base: copy tokenizer.json or spiece.model"):
        load(Config(model=str(folder), method="none"))


def test_a_vocabulary_of_another_type_is_refused(tiny_model, tmp_path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    (folder / "tokenizer.json").unlink()
    texts = tmp_path / "texts.txt"
    texts.write_text("Guten Morgen, wo ist der Bahnhof?\nGood morning, where is the station?\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(folder / "spiece"), vocab_size=60, model_type="bpe", minloglevel=2
    )
    with pytest.raises(ModelError, match=r"spiece.model: a SentencePiece vocabulary of type BPE"):
        load(Config(model=str(folder), method="none"))
