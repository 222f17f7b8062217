import dataclasses
import errno
import os
import shutil
import signal
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import translora
from translora.data.splits import read_splits
from translora.data.tokens import tokenise
from translora.errors import InterruptedRunError, StorageError
from translora.models.load import load
from translora.pipeline import make_stepper, make_trainable
from translora.training import encoded
from translora.training.encoded import encoder_states_in, is_worthwhile
from translora.training.plan import Plan

KEPT = "encoder: its states are computed once and kept in a file"


@pytest.fixture
def config(tiny_config):
    """Several epochs over 40 pairs, with an adapter in the decoder alone."""
    source = dataclasses.replace(tiny_config.data.train, limit=80)
    training = dataclasses.replace(
        tiny_config.training, max_steps=0, epochs=3.0, evaluate_every=0, dropout=0.0, freeze=("encoder",), canary="skip"
    )
    data = dataclasses.replace(tiny_config.data, train=source)
    return dataclasses.replace(tiny_config, data=data, training=training)


def with_training(config, output, **settings):
    output = f"{config.output}-{output}"
    return dataclasses.replace(config, output=output, training=dataclasses.replace(config.training, **settings))


class Stopping:
    """A tracker that interrupts the run as Ctrl-C does."""

    def log(self, figures, step):
        if step == 3 and "loss" in figures:
            os.kill(os.getpid(), signal.SIGINT)

    def close(self):
        pass


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_with_kept_states_learns_the_same_and_goes_on_as_it_began(config, caplog, method):
    if method == "full":
        config = dataclasses.replace(config, method="full", training=dataclasses.replace(
            config.training, freeze=("encoder", "embeddings"), learning_rate=1e-3
        ))  # fmt: skip
    weights = {}
    for name in ("off", "auto", "stopped"):
        settings = with_training(config, name, cache_encoder="off" if name == "off" else "auto")
        caplog.clear()
        if name == "stopped":
            with pytest.raises(InterruptedRunError):
                translora.train(settings, trackers=[Stopping()], score=False)
            caplog.clear()
        run = translora.train(settings, score=False)
        assert (KEPT in caplog.text) == (name != "off")
        place = run.adapter / "adapter_model.safetensors" if method == "lora" else run.model / "model.safetensors"
        weights[name] = load_file(place)
        assert not list(run.folder.rglob("*.tmp"))
    for name, computed in weights["off"].items():
        torch.testing.assert_close(weights["auto"][name], computed, rtol=1e-3, atol=1e-5)
        assert torch.equal(weights["stopped"][name], weights["auto"][name])


def stepper_of(config):
    translator = load(config)
    make_trainable(translator, config)
    examples = tokenise(read_splits(config).train, translator.tokenizer, "<2en> ", 64)
    plan = Plan(examples.source_lengths, examples.target_lengths, config.training, config.seed)
    return make_stepper(translator, examples, config, 600), plan


@pytest.mark.parametrize(
    ("training", "lora", "fast", "method"),
    [
        ({"freeze": ()}, {}, "auto", "lora"),
        ({"dropout": 0.1}, {}, "auto", "lora"),
        ({"epochs": 1.0}, {}, "auto", "lora"),
        ({}, {"targets": "q,v,embeddings"}, "auto", "lora"),
        ({}, {}, "auto", "full"),
        ({}, {}, "off", "lora"),
    ],
    ids=["adapters in the encoder", "dropout", "one epoch", "adapted embeddings", "trained embeddings", "own path"],
)
def test_states_that_change_or_are_used_once_are_not_kept(config, training, lora, fast, method):
    stepper, plan = stepper_of(config)
    assert is_worthwhile(stepper.translator, plan)
    assert not is_worthwhile(stepper.translator, plan, done=plan.total_steps - plan.epoch_ends[0])
    config = dataclasses.replace(
        with_training(config, "other", **training),
        lora=dataclasses.replace(config.lora, **lora), fast=fast, method=method,
    )  # fmt: skip
    stepper, plan = stepper_of(config)
    assert not is_worthwhile(stepper.translator, plan)


def states_in(folder, stepper, plan):
    return encoder_states_in(folder, stepper.translator, stepper.examples, plan, 0, stepper.budget)


def test_states_do_without_a_disk_that_is_full(config, tmp_path, monkeypatch, caplog):
    stepper, plan = stepper_of(config)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with states_in(tmp_path, stepper, plan) as states:
        assert states is None
    assert "GiB are free in" in caplog.text
    monkeypatch.undo()

    def full(states):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encoded, "_bytes", full)
    with states_in(tmp_path, stepper, plan) as states:
        assert states is None
    assert "No space left on device" in caplog.text


def test_a_file_of_states_that_was_cut_is_an_error(config, tmp_path):
    stepper, plan = stepper_of(config)
    with states_in(tmp_path, stepper, plan) as states:
        states._stream.truncate(100)
        with pytest.raises(StorageError, match="cache_encoder"):
            states.of(stepper.examples.all_indices())
