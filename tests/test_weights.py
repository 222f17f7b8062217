"""Pickled weights: the same model as from safetensors, converted once, and nothing in them runs."""

import json
import pickle
import shutil
from collections import OrderedDict

import pytest
import torch
import transformers
from safetensors.torch import load_file

import translora
from translora.config import Config
from translora.config.load import changed
from translora.errors import ModelError
from translora.io.files import file_hash
from translora.models.files import missing_weights
from translora.models.load import base_hash, give_own_head, load
from translora.models.weights import safe_weights

T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2, "num_layers": 1, "decoder_start_token_id": 0}
BART = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 1,
}  # fmt: skip
SHAPES = {
    "t5": transformers.T5Config(vocab_size=60, **T5),
    "t5-own-head": transformers.T5Config(vocab_size=60, **T5, feed_forward_proj="gated-gelu"),
    "mt5": transformers.MT5Config(vocab_size=60, **T5, feed_forward_proj="gated-gelu"),
    "nllb": transformers.M2M100Config(vocab_size=60, **BART),
    "mbart": transformers.MBartConfig(vocab_size=60, **BART),
    "marian": transformers.MarianConfig(vocab_size=60, **BART, decoder_start_token_id=1),
}


def save_pickled(weights, folder, shards=1, **options):
    """Write `weights` as save_pretrained did before it wrote safetensors."""
    for file in folder.glob("*.safetensors"):
        file.unlink()
    if shards == 1:
        torch.save(weights, folder / "pytorch_model.bin", **options)
        return
    names = list(weights)
    where = {name: f"pytorch_model-{i % shards + 1:05}-of-{shards:05}.bin" for i, name in enumerate(names)}
    for file in set(where.values()):
        torch.save({name: weights[name] for name in names if where[name] == file}, folder / file)
    listing = {"metadata": {}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(listing))


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", SHAPES)
def test_every_family_is_the_same_as_it_was_pickled(kind, shards, tmp_path):
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(SHAPES[kind])
    if kind in ("t5-own-head", "mt5"):
        give_own_head(model)
    model.save_pretrained(tmp_path)
    save_pickled(OrderedDict(model.state_dict()), tmp_path, shards)
    again = transformers.AutoModelForSeq2SeqLM.from_pretrained(safe_weights(tmp_path))
    assert [name for name, _ in again.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_with_pickled_weights_is_loaded_and_converted_once(folder, caplog, zipped):
    config = Config(model=str(folder), method="none")
    wanted = load(config).model.state_dict()
    save_pickled(load_file(folder / "model.safetensors"), folder, _use_new_zipfile_serialization=zipped)
    for _ in range(2):
        found = load(config).model.state_dict()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    said = [record.getMessage() for record in caplog.records if "pytorch_model.bin" in record.getMessage()]
    assert len(said) == 1
    assert "was read once and is kept as safetensors in" in said[0]
    assert base_hash(config) == file_hash(folder / "pytorch_model.bin")


def test_changed_weights_are_converted_again(folder):
    weights = load_file(folder / "model.safetensors")
    save_pickled(weights, folder)
    first = safe_weights(folder)
    save_pickled({**weights, "lm_head.weight": weights["lm_head.weight"] + 1}, folder)
    assert safe_weights(folder) != first
    (file,) = safe_weights(folder).glob("*.safetensors")
    assert torch.equal(load_file(file)["lm_head.weight"], weights["lm_head.weight"] + 1)


def test_an_adapter_on_pickled_weights_belongs_to_them(tiny_config, folder):
    save_pickled(load_file(folder / "model.safetensors"), folder)
    short = changed(tiny_config, {"model": str(folder), "training": {"max_steps": 1, "validation_pairs": 1}})
    run = translora.train(short, score=False)
    assert json.loads((run.adapter / "translora.json").read_text())["base_sha256"] == base_hash(short)
    assert translora.Translator.from_pretrained(run.adapter).translate(["Guten Tag"], max_tokens=2)


class Runs:
    """Runs a function when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def refused(folder, message):
    with pytest.raises(ModelError, match=message) as caught:
        load(Config(model=str(folder)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run_and_named(folder, tmp_path, zipped):
    weights = {**load_file(folder / "model.safetensors"), "more": Runs(tmp_path / "ran")}
    save_pickled(weights, folder, _use_new_zipfile_serialization=zipped)
    refused(folder, r"pytorch_model.bin: would run code when it is unpickled \(\S*open\), so it is not read: take")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    refused(folder, r"pytorch_model.bin: ")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_table_of_tensors(folder):
    weights = load_file(folder / "model.safetensors")
    for wrong in ({"model": weights}, {**weights, "step": 3}, [1], {}):
        save_pickled(wrong, folder)
        refused(folder, "pytorch_model.bin: not a table of tensors by name")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    refused(folder, "pytorch_model.bin: cannot be read as weights")
    save_pickled(weights, folder)
    whole = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    refused(folder, "pytorch_model.bin: cannot be read as weights")


def test_a_tensor_larger_than_its_file(folder):
    weights = load_file(folder / "model.safetensors")
    save_pickled({**weights, "lm_head.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, folder)
    refused(folder, "pytorch_model.bin: its tensors are larger than the file")


def test_shards_that_are_missing(folder):
    assert missing_weights(folder) == []
    save_pickled(load_file(folder / "model.safetensors"), folder, shards=2)
    assert missing_weights(folder) == []
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    assert missing_weights(folder) == ["pytorch_model-00002-of-00002.bin"]
    refused(folder, "pytorch_model-00002-of-00002.bin: missing, though pytorch_model.bin.index.json names it")
    (folder / "pytorch_model.bin.index.json").unlink()
    assert missing_weights(folder) == ["model.safetensors"]
    refused(folder, "no weights in it: translora reads model.safetensors, or pytorch_model.bin")
