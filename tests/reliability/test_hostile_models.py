"""Model and adapter folders as from a stranger: nothing in them runs, and what is broken is one clean line."""

import json
import os
import pickle
import resource
import shutil
import struct
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

from translora import mini
from translora.config import Config, LoraConfig
from translora.errors import ModelError, TransloraError
from translora.models.adapter import load_adapter, save_adapter
from translora.models.load import base_hash, load
from translora.models.lora import attach
from translora.translation.translator import Translator

CUTS = 40


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """A model folder whose weights are small enough to be cut short at many places."""
    folder = tmp_path_factory.mktemp("small")
    tokenizer = AutoTokenizer.from_pretrained(mini.MODEL)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=4, d_kv=4, d_ff=8, num_heads=1, num_layers=1, num_decoder_layers=1,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def model(small_model, tmp_path):
    return shutil.copytree(small_model, tmp_path / "model")


@pytest.fixture
def adapter(small_model, tmp_path):
    """An adapter of rank 2 on everything, for `small_model`."""
    config = Config(model=str(small_model))
    adapted = attach(load(config).model, LoraConfig(rank=2, targets="all-linear,embeddings"), str(small_model), seed=1)
    save_adapter(adapted, tmp_path / "adapter", base_hash(config))
    return tmp_path / "adapter"


def opened(folder):
    return Translator.from_pretrained(folder, source="de", target="en")


def assert_one_line(work, *arguments):
    """The line that `work` fails with."""
    with pytest.raises(TransloraError) as caught:
        work(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(file, **fields):
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_a_whole_folder_is_opened(model, adapter):
    assert opened(model).loaded.name == str(model)
    assert opened(adapter).loaded.path == "fast"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "pytorch_model.bin.index.json"])
def test_a_pickle_in_place_of_weights_is_never_opened(model, tmp_path, name):
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    assert_one_line(opened, model)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("keep", [True, False])
def test_a_pickle_in_an_adapter_is_never_opened(adapter, tmp_path, keep):
    weights = adapter / "adapter_model.safetensors"
    for name in ("adapter_model.bin", "training_args.bin", "optimizer.pt"):
        (adapter / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    if keep:
        opened(adapter)
    else:
        weights.unlink()
        assert "never unpickles" in assert_one_line(opened, adapter)
    assert not (tmp_path / "canary").exists()


def test_a_pickle_under_the_name_of_safetensors_is_no_weights(model, adapter, tmp_path):
    for file in (model / "model.safetensors", adapter / "adapter_model.safetensors"):
        file.write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
        assert_one_line(opened, file.parent)
    assert not (tmp_path / "canary").exists()


AUTO_MAP = {name: f"canary.{name}" for name in ("AutoConfig", "AutoTokenizer", "AutoModel", "AutoModelForSeq2SeqLM")}


@pytest.mark.parametrize("kind", ["t5", "t6"])
def test_code_in_a_model_folder_never_runs(model, tmp_path, monkeypatch, kind):
    code = f"open({str(tmp_path / 'canary')!r}, 'w')\n"
    (model / "canary.py").write_text(code)
    edit(model / "config.json", auto_map=AUTO_MAP, model_type=kind)
    edit(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["canary.AutoTokenizer", None]})
    monkeypatch.chdir(model)
    monkeypatch.syspath_prepend(str(model))
    if kind == "t5":
        opened(model)
    else:
        assert_one_line(opened, model)
    assert not (tmp_path / "canary").exists()


def test_modules_that_an_adapter_names_are_never_imported(adapter, tmp_path, monkeypatch):
    (tmp_path / "canary.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    edit(
        adapter / "adapter_config.json",
        auto_mapping={"parent_library": "canary", "base_model_class": "Model"},
        runtime_config={"canary": "canary"},
        corda_config="canary.config",
    )
    opened(adapter)
    assert not (tmp_path / "imported").exists()


def cut_points(file):
    size = file.stat().st_size
    return range(0, size, max(1, size // CUTS))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_model_cut_short_anywhere_is_one_line(model, name):
    whole = (model / name).read_bytes()
    for size in cut_points(model / name):
        (model / name).write_bytes(whole[:size])
        assert str(model) in assert_one_line(opened, model)


def test_a_tokenizer_cut_short_is_one_line(model):
    whole = (model / "tokenizer.json").read_bytes()
    for part in range(12):
        (model / "tokenizer.json").write_bytes(whole[: len(whole) * part // 12])
        assert str(model) in assert_one_line(opened, model)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "translora.json"])
def test_an_adapter_cut_short_anywhere_is_one_line(adapter, small_model, name):
    base = load(Config(model=str(small_model))).model
    digest = base_hash(Config(model=str(small_model)))
    whole = (adapter / name).read_bytes()
    for size in cut_points(adapter / name):
        (adapter / name).write_bytes(whole[:size])
        assert str(adapter) in assert_one_line(load_adapter, base, adapter, lambda: digest)


def test_any_byte_of_a_header_may_lie(adapter, small_model):
    base, digest = load(Config(model=str(small_model))).model, base_hash(Config(model=str(small_model)))
    file = adapter / "adapter_model.safetensors"
    whole = bytearray(file.read_bytes())
    for place in range(0, 8 + struct.unpack("<Q", whole[:8])[0], 101):
        changed = whole.copy()
        changed[place] ^= 0x15
        file.write_bytes(changed)
        with suppress(ModelError):
            load_adapter(base, adapter, lambda: digest)
        if hasattr(base, "peft_config"):  # a lie that changes nothing: the base is wrapped now
            base = load(Config(model=str(small_model))).model


def test_an_adapter_of_another_base_is_refused_with_both_hashes(adapter, model):
    weights = load_file(model / "model.safetensors")
    digests = [base_hash(Config(model=str(model)))]
    save_file({name: weight + 1 for name, weight in weights.items()}, model / "model.safetensors", {"format": "pt"})
    digests.append(base_hash(Config(model=str(model))))
    edit(adapter / "adapter_config.json", base_model_name_or_path=str(model))
    line = assert_one_line(opened, adapter)
    assert all(digest in line for digest in digests)


@pytest.mark.parametrize(
    "fields",
    [
        {"d_model": 1 << 40}, {"vocab_size": 1 << 40}, {"num_layers": 1 << 30}, {"num_decoder_layers": 1 << 30},
        {"d_ff": 1 << 40}, {"d_kv": 1 << 40}, {"num_heads": 1 << 20}, {"relative_attention_num_buckets": 1 << 40},
        {"d_model": 8}, {"d_ff": 9}, {"num_layers": 2}, {"d_model": -1}, {"d_model": "four"}, {"vocab_size": None},
    ],
    ids=str,
)  # fmt: skip
def test_sizes_are_checked_before_anything_is_allocated(model, fields):
    edit(model / "config.json", **fields)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert str(model) in assert_one_line(opened, model)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


@pytest.mark.parametrize(
    "fields",
    [
        {"r": 1 << 40}, {"r": -1}, {"r": "2"}, {"r": 3}, {"rank_pattern": {"q": 1 << 40}},
        {"target_modules": ["nothing"]},
        {"target_modules": 3}, {"lora_alpha": None}, {"peft_type": "IA3"}, {"peft_type": None},
        {"layer_replication": [[0, 1 << 30]]}, {"base_model_name_or_path": 3}, {"base_model_name_or_path": ""},
        {"base_model_name_or_path": "/nowhere/at/all"}, {"modules_to_save": ["shared"]}, {"bias": "canary"},
    ],
    ids=str,
)  # fmt: skip
def test_an_adapter_that_says_what_cannot_be_is_one_line(adapter, fields):
    edit(adapter / "adapter_config.json", **fields)
    assert_one_line(opened, adapter)


def test_a_list_of_weight_files_that_leads_out_of_the_folder_is_refused(model, tmp_path):
    os.rename(model / "model.safetensors", tmp_path / "elsewhere.safetensors")
    names = load_file(tmp_path / "elsewhere.safetensors")
    listing = {"metadata": {}, "weight_map": dict.fromkeys(names, "../elsewhere.safetensors")}
    (model / "model.safetensors.index.json").write_text(json.dumps(listing))
    assert "which is not in its folder" in assert_one_line(opened, model)
