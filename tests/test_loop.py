import dataclasses
import json
import math
import os
import signal

import pytest
import torch

from translora.data.splits import read_splits
from translora.data.tokens import tokenise
from translora.errors import InterruptedRunError, TrainingError
from translora.model.load import load
from translora.pipeline import _make_trainable
from translora.training.checkpoint import Checkpoints, trained_weights
from translora.training.loop import Validation, fit
from translora.training.validation import corpus_loss


class Job:
    """A small run, its validation BLEU given by a list so that the choice of the best is known."""

    def __init__(self, config, folder, bleus=(1.0, 2.0)):
        self.config, self.checkpoints = config, Checkpoints(folder / "checkpoints")
        self.translator = load(config)
        _make_trainable(self.translator, config)
        self.examples = tokenise(read_splits(config).train, self.translator.tokenizer, "<2en> ", 64)
        self.records, self.bleus, self.after_step = [], list(bleus), lambda step: None

    def record(self, figures):
        self.records.append(figures)
        self.after_step(figures["step"])

    def validate(self):
        return Validation(corpus_loss(self.translator, self.examples, 600), self.bleus.pop(0))

    def fit(self):
        return fit(self.translator, self.examples, self.config, self.checkpoints, self.validate, self.record, 600)

    @property
    def weights(self):
        return trained_weights(self.translator.model)


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_loss_falls_and_the_table_says_so(tiny_config, tmp_path, method):
    training = dataclasses.replace(tiny_config.training, max_steps=40, evaluate_every=20)
    job = Job(dataclasses.replace(tiny_config, method=method, training=training), tmp_path)
    state = job.fit()
    first, second = state.rows
    assert second.validation_loss < first.validation_loss
    assert (first.step, second.step, state.best_step) == (20, 40, 40)
    assert state.pairs > 0
    assert state.seconds == pytest.approx(first.seconds + second.seconds)
    assert [r["step"] for r in job.records if "loss" in r] == list(range(1, 41))


def test_two_runs_with_one_seed_are_identical(tiny_config, tmp_path):
    jobs = [Job(tiny_config, tmp_path / name) for name in "ab"]
    for job in jobs:
        job.fit()
    assert_same(jobs[0].weights, jobs[1].weights)
    assert jobs[0].records == jobs[1].records


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tiny_config, tmp_path, number, optimizer):
    training = dataclasses.replace(tiny_config.training, optimizer=optimizer)
    config = dataclasses.replace(tiny_config, training=training)
    whole = Job(config, tmp_path / "whole")
    whole.fit()
    cut = Job(config, tmp_path / "cut")
    cut.after_step = lambda step: os.kill(os.getpid(), number) if step == 3 else None
    with pytest.raises(InterruptedRunError, match=r"after step 3 of 8") as caught:
        cut.fit()
    assert caught.value.exit_code == 128 + number
    rest = Job(config, tmp_path / "cut")
    rest.fit()
    assert_same(rest.weights, whole.weights)
    assert [r for r in cut.records + rest.records if "loss" in r] == [r for r in whole.records if "loss" in r]


def test_the_best_weights_are_kept_and_patience_ends_the_run(tiny_config, tmp_path):
    training = dataclasses.replace(tiny_config.training, max_steps=50, evaluate_every=2, patience=2)
    job = Job(dataclasses.replace(tiny_config, training=training), tmp_path, bleus=[1.0, 5.0, 4.0, 3.0, 9.0])
    kept = {}
    job.after_step = lambda step: kept.setdefault(step, {name: w.clone() for name, w in job.weights.items()})
    state = job.fit()
    assert (state.step, state.best_step, state.best_bleu) == (8, 4, 5.0)
    assert_same(job.weights, kept[4])


def test_a_loss_that_is_not_finite_stops_with_the_pairs_named(tiny_config, tmp_path):
    job = Job(tiny_config, tmp_path)

    def poison(step):
        if step == 2:
            next(p for p in job.translator.model.parameters() if p.requires_grad).data.fill_(math.nan)

    job.after_step = poison
    with pytest.raises(
        TrainingError, match=r"the loss is nan at step 3, on training pairs \d+, .*: lower training.learning_rate"
    ):
        job.fit()
    assert not job.checkpoints.last.exists()


def test_a_damaged_checkpoint_is_one_line(tiny_config, tmp_path):
    job = Job(tiny_config, tmp_path)
    job.fit()
    state = job.checkpoints.last / "state.json"
    assert json.loads(state.read_text())["state"]["step"] == 8
    (job.checkpoints.last / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(TrainingError, match="damaged checkpoint .*: delete it to start over"):
        Job(tiny_config, tmp_path).fit()


def test_a_checkpoint_of_another_adapter_is_refused(tiny_config, tmp_path):
    Job(tiny_config, tmp_path).fit()
    other = dataclasses.replace(tiny_config, lora=dataclasses.replace(tiny_config.lora, rank=5))
    with pytest.raises(TrainingError, match="damaged checkpoint .*has another shape"):
        Job(other, tmp_path).fit()
