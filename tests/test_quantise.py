"""Adapters on bases of 8 and 4 bits: trained, resumed, and on the base in full precision afterwards."""

import dataclasses
import os
import signal

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM

import translora
from translora.config import Config, LoraConfig, TrainingConfig
from translora.data.given import given_corpus
from translora.data.tokens import tokenise
from translora.errors import ConfigError, InterruptedRunError, ModelError
from translora.export.job import Request, export
from translora.models.load import load, quiet_transformers
from translora.models.lora import attach, count_parameters, merged
from translora.models.quantise import stored_bytes

KINDS = ["int8", "nf4"]


def loaded(config, kind, **fields):
    return load(dataclasses.replace(config, quantise=kind, **fields))


def gradients(translator, batch):
    torch.manual_seed(0)
    translator.model.train()
    translator.model.zero_grad()
    translator.loss(batch).objective.backward()
    return {name: p.grad for name, p in translator.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
def test_linear_layers_are_small_and_counted_as_what_they_are(tiny_config, kind):
    whole, small = load(tiny_config).model, loaded(tiny_config, kind).model
    assert count_parameters(small).total == count_parameters(whole).total
    kept = {name for name, p in small.named_parameters() if p.dtype == torch.float32 and p.dim() == 2}
    assert {name.rsplit(".", 2)[-2] for name in kept} == {"shared", "relative_attention_bias", "wo", "lm_head"}
    taken = sum(stored_bytes(n, list(p.shape), kind, torch.float32) for n, p in whole.named_parameters())
    assert small.get_memory_footprint() == pytest.approx(taken, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fast", ["auto", "off"])
def test_an_evaluation_takes_no_gradient_away(tiny_config, kind, fast):
    """bitsandbytes' packed 4-bit weights give none on a CPU, and it packs them at the first evaluation."""
    translator = loaded(tiny_config, kind, fast=fast)
    translator.model = attach(translator.model, LoraConfig(rank=4, targets="all-linear"), "tiny", seed=1)
    corpus = given_corpus([("Guten Tag!", "Good day!"), ("Das ist ein Haus.", "This is a house.")], "de", "en", "train")
    batch = tokenise(corpus, translator.tokenizer, translator.prompt, 64).batch(np.arange(2))
    before = gradients(translator, batch)
    translator.model.eval()
    with torch.no_grad():
        translator.loss(batch)
    after = gradients(translator, batch)
    assert all(grad is not None for grad in after.values())
    assert all(torch.equal(before[name], grad) for name, grad in after.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fast", ["auto", "off"])
def test_a_run_gives_a_plain_adapter_for_the_base_in_full(tiny_config, tiny_model, tmp_path, kind, fast):
    config = dataclasses.replace(tiny_config, quantise=kind, fast=fast)
    run = translora.train(config, quiet=True)
    assert run.summary.trainable_parameters == 12 * 2 * 4 * 32
    translator = run.translator()
    assert translator.model.dtype == torch.float32
    with quiet_transformers():
        plain = AutoModelForSeq2SeqLM.from_pretrained(tiny_model)
        plain = PeftModel.from_pretrained(plain, run.adapter).eval()
    batch = translator.tokenizer(["Guten Tag!", "Das ist ein Haus."], return_tensors="pt", padding=True)
    labels = torch.tensor([[5, 6, 7, 1]] * 2)
    with torch.no_grad():
        logits = [model(**batch, labels=labels).logits for model in (plain, translator.model)]
    assert torch.allclose(*logits, atol=1e-5)
    assert export(Request(str(run.folder), str(tmp_path / "whole"))).joinpath("model.safetensors").exists()


@pytest.mark.parametrize("optimizer", ["adamw8bit", "paged_adamw8bit"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tiny_config, tmp_path, optimizer):
    training = dataclasses.replace(tiny_config.training, optimizer=optimizer, save_every=1)
    config = dataclasses.replace(tiny_config, quantise="nf4", training=training)
    whole = translora.train(config, quiet=True)
    parted = dataclasses.replace(config, output=str(tmp_path / "parted"))

    class Interrupts:
        def log(self, figures, step):
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)

        def close(self):
            pass

    with pytest.raises(InterruptedRunError):
        translora.train(parted, quiet=True, trackers=[Interrupts()])
    again = translora.train(parted, quiet=True)
    assert [row.training_loss for row in again.summary.table] == [row.training_loss for row in whole.summary.table]


@pytest.mark.parametrize("kind", KINDS)
def test_merging_into_quantised_weights_is_refused(tiny_config, kind):
    translator = loaded(tiny_config, kind)
    with pytest.raises(ModelError, match="would round it away"):
        merged(attach(translator.model, LoraConfig(), "tiny", seed=1))


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "full"},
        {"lora": LoraConfig(init="pissa")},
        {"lora": LoraConfig(dora=True)},
        {"lora": LoraConfig(scale_by_weight=True)},
    ],
    ids=["full", "pissa", "dora", "scale"],
)
def test_what_needs_the_weights_in_full_is_refused(fields):
    with pytest.raises(ConfigError, match="quantise int8.*or quantise: off"):
        Config(quantise="int8", **fields)


def test_a_missing_library_is_named(tiny_config, monkeypatch):
    monkeypatch.setattr("translora.models.quantise.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'quantise nf4: bitsandbytes is not installed: pip install "translora\[quan'):
        loaded(tiny_config, "nf4")
    with pytest.raises(ConfigError, match="training.optimizer adamw8bit"):
        translora.train(dataclasses.replace(tiny_config, training=TrainingConfig(optimizer="adamw8bit")), quiet=True)
