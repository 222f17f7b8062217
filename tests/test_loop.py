import dataclasses
import math
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from translora.data.splits import read_splits
from translora.data.tokens import tokenise
from translora.errors import InterruptedRunError, NotFiniteError, Terminated, TrainingError
from translora.io.interrupt import StopRequest
from translora.models.load import load
from translora.pipeline import make_stepper, make_trainable
from translora.training import validation
from translora.training.checkpoint import Checkpoints, TrainingState, trained_weights
from translora.training.loop import Validation, fit
from translora.training.plan import Plan
from translora.training.tracking import Journal
from translora.training.validation import corpus_loss


class Job:
    """A small run, its validation BLEU given by a list so that the choice of the best is known."""

    def __init__(self, config, folder, bleus=(1.0, 2.0)):
        folder.mkdir(exist_ok=True)
        self.folder = folder / "checkpoints"
        self.checkpoints = Checkpoints(self.folder, config.training.save_every)
        self.journal = Journal(folder / "metrics.jsonl", [self])
        self.translator = load(config)
        make_trainable(self.translator, config)
        self.examples = tokenise(read_splits(config).train, self.translator.tokenizer, "<2en> ", 64)
        self.plan = Plan(self.examples.source_lengths, self.examples.target_lengths, config.training, config.seed)
        self.stepper = make_stepper(self.translator, self.examples, config, 600)
        self.records, self.bleus, self.after_step = [], list(bleus), lambda step: None

    def log(self, figures, step):
        self.records.append({"step": step, **figures})
        if "loss" in figures:
            self.after_step(step)

    def validate(self):
        return Validation(corpus_loss(self.translator, self.examples, 600), self.bleus.pop(0))

    def fit(self):
        def validate(stop):
            return stop.unless_stopped(self.validate)

        return fit(self.stepper, self.plan, self.checkpoints, validate, self.journal)

    @property
    def weights(self):
        return trained_weights(self.translator.model)

    @property
    def saved(self):
        return sorted(path.name for path in self.folder.iterdir())


def with_training(config, **settings):
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **settings))


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
    training = dataclasses.replace(tiny_config.training, max_steps=40, epochs=8.0, evaluate_every=20)
    jobs = [Job(dataclasses.replace(tiny_config, training=training), tmp_path / name) for name in "ab"]
    for job in jobs:
        job.fit()
    assert_same(jobs[0].weights, jobs[1].weights)
    assert jobs[0].records == jobs[1].records
    assert jobs[0].records[-1]["step"] == 40


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


@pytest.mark.parametrize(("now", "taken"), [(200, 200), (600, 400)])
def test_a_resumed_run_computes_as_many_tokens_as_both_machines_hold(tiny_config, tmp_path, now, taken):
    """The first machine ran out of memory with more than 400; the second may have less, or more."""
    first = Job(tiny_config, tmp_path)
    first.stepper.budget.tokens = 400
    first.after_step = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 3 else None
    with pytest.raises(InterruptedRunError):
        first.fit()
    second = Job(tiny_config, tmp_path)
    second.stepper.budget.tokens = now
    assert second.fit().batch_tokens == taken


def test_the_best_weights_are_kept_and_patience_ends_the_run(tiny_config, tmp_path):
    training = dataclasses.replace(tiny_config.training, max_steps=50, evaluate_every=2, patience=2)
    job = Job(dataclasses.replace(tiny_config, training=training), tmp_path, bleus=[1.0, 5.0, 4.0, 3.0, 9.0])
    kept = {}
    job.after_step = lambda step: kept.setdefault(step, {name: w.clone() for name, w in job.weights.items()})
    state = job.fit()
    assert (state.step, state.best_step, state.best_bleu) == (8, 4, 5.0)
    assert_same(job.weights, kept[4])
    assert job.saved == ["best-00000004", "step-00000006", "step-00000008"]


def test_of_equal_scores_the_lowest_loss_is_best():
    state = TrainingState()
    better = []
    for step, loss in enumerate((5.0, 4.0, 4.5, 3.0), 1):
        state.step = step
        better.append(state.add_validation(1.0, loss, 0.0))
    assert better == [True, True, False, True]
    assert (state.best_step, state.stale) == (4, 0)


@pytest.mark.parametrize(("warmup", "said"), [(40, True), (4, False), (3, False)])
def test_a_warm_up_longer_than_the_run_is_said(tiny_config, tmp_path, capsys, warmup, said):
    job = Job(with_training(tiny_config, max_steps=4, warmup_steps=warmup, learning_rate=1e-3), tmp_path)
    job.fit()
    line = "the run is over after 4 steps, so that the learning rate rises to 0.0001 in place of 0.001: "
    line += "lower it, or take more steps"
    assert (line in " ".join(capsys.readouterr().err.split())) == said
    assert max(record.get("learning_rate", 0) for record in job.records) == (1e-4 if said else 1e-3)


@pytest.mark.parametrize("every", [1, 3, 0])
def test_checkpoints_come_at_the_interval_and_at_validations(tiny_config, tmp_path, every):
    training = dataclasses.replace(tiny_config.training, save_every=every)
    job = Job(dataclasses.replace(tiny_config, training=training), tmp_path)
    seen = set()
    job.after_step = lambda step: seen.update(job.saved if job.folder.exists() else [])
    job.fit()
    before_the_end = {int(name.split("-")[1]) for name in seen if name.startswith("step")}
    assert before_the_end == {1: {1, 2, 3, 4, 5, 6, 7}, 3: {3, 4, 6}, 0: {4}}[every]


def test_a_signal_during_validation_leaves_it_and_it_is_done_again(tiny_config, tmp_path):
    whole = Job(tiny_config, tmp_path / "whole")
    whole.fit()
    cut = Job(tiny_config, tmp_path / "cut")

    def interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("the validation went on")

    cut.validate = interrupted
    with pytest.raises(InterruptedRunError, match="after step 4 of 8"):
        cut.fit()
    rest = Job(tiny_config, tmp_path / "cut")
    rest.fit()
    assert_same(rest.weights, whole.weights)
    assert cut.records + rest.records == whole.records


def test_a_signal_between_looking_and_saving_is_kept_for_the_next_step(tiny_config, tmp_path):
    job = Job(with_training(tiny_config, save_every=0), tmp_path)
    due = job.checkpoints.due

    def signalled(step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return due(step)

    job.checkpoints.due = signalled
    with pytest.raises(InterruptedRunError, match="after step 3 of 8"):
        job.fit()
    assert job.saved == ["step-00000003"]


def test_a_signal_after_the_last_step_is_not_lost(tiny_config, tmp_path):
    job = Job(tiny_config, tmp_path)
    save, handler = job.checkpoints.save, signal.getsignal(signal.SIGTERM)

    def signalled(model, optimizer, state):
        save(model, optimizer, state)
        if state.step == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    job.checkpoints.save = signalled
    with pytest.raises(Terminated):
        job.fit()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert "step-00000008" in job.saved


def test_a_validation_that_runs_out_of_memory_goes_on_with_half(tiny_config, tmp_path, monkeypatch):
    job = Job(tiny_config, tmp_path)
    pairs = read_splits(tiny_config).validation.head(3)
    tokens = tokenise(pairs, job.translator.tokenizer, "<2en> ", 64)

    def translate(lines):
        return validation.translate_merged(job.translator, lines, tiny_config.decoding, "validate")

    def measured():
        measure = validation.Validator(job.translator, tokens, pairs, translate, "en", job.stepper.budget)
        return measure(StopRequest())

    whole, real, asked = measured(), validation.corpus_loss, []

    def short_of_memory(translator, corpus, most):
        asked.append(most)
        if len(asked) == 1:
            raise MemoryError
        return real(translator, corpus, most)

    monkeypatch.setattr(validation, "corpus_loss", short_of_memory)
    assert measured().loss == pytest.approx(whole.loss, rel=1e-6)
    assert asked == [600, 300]
    assert job.stepper.budget.tokens == 300


def test_a_second_signal_leaves_at_once(tiny_config, tmp_path):
    job = Job(tiny_config, tmp_path)

    def twice(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    job.after_step = twice
    with pytest.raises(KeyboardInterrupt):
        job.fit()


def trained_parameter(job):
    return next(p for p in job.translator.model.parameters() if p.requires_grad)


def poison_weight(job):
    trained_parameter(job).data.fill_(math.nan)


def poison_gradient(job):
    trained_parameter(job).register_hook(lambda gradient: gradient * math.inf)


@pytest.mark.parametrize(
    ("poison", "message"),
    [
        (poison_weight, r"the loss is nan at step 3, on training pairs \d+, .*: the weight .* is not finite"),
        (poison_gradient, r"the gradient's norm is (nan|inf) at step 3, .*: lower training.learning_rate"),
    ],
)
def test_numbers_that_overflow_stop_the_run_with_the_pairs_named(tiny_config, tmp_path, poison, message):
    job = Job(tiny_config, tmp_path)
    job.after_step = lambda step: poison(job) if step == 2 else None
    with pytest.raises(NotFiniteError, match=message):
        job.fit()
    assert not job.folder.exists()


def test_an_update_that_overflows_is_never_saved(tiny_config, tmp_path):
    """Two good steps are saved; then the loss and the gradient are finite, and the update is not."""
    job = Job(with_training(tiny_config, save_every=1, warmup_steps=0), tmp_path)

    def raise_rate(step):
        if step == 2:
            job.stepper.training = dataclasses.replace(job.stepper.training, learning_rate=1e39)

    job.after_step = raise_rate
    with pytest.raises(NotFiniteError, match=r"a weight is no longer finite after the update at step 3"):
        job.fit()
    assert job.saved == ["step-00000001", "step-00000002"]
    for name in job.saved:
        weights = load_file(job.folder / name / "weights.safetensors")
        assert all(torch.isfinite(weight).all() for weight in weights.values())


def damage(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_from_a_damaged_checkpoint_it_goes_back_to_the_one_before(tiny_config, tmp_path, name, capsys):
    job = Job(tiny_config, tmp_path)
    job.fit()
    assert job.saved == ["best-00000004", "best-00000008", "step-00000004", "step-00000008"]
    damage(job.folder / "step-00000008" / name)
    again = Job(tiny_config, tmp_path, bleus=[2.0])
    again.fit()
    assert_same(again.weights, job.weights)
    assert again.records[0]["step"] == 5
    assert "damaged checkpoint" in capsys.readouterr().err.replace("\n", " ")


def test_without_a_whole_checkpoint_it_is_one_line(tiny_config, tmp_path):
    Job(tiny_config, tmp_path).fit()
    for folder in (tmp_path / "checkpoints").glob("step-*"):
        (folder / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(TrainingError, match="damaged checkpoint .*no other is whole: delete .*checkpoints"):
        Job(tiny_config, tmp_path).fit()


def test_a_checkpoint_of_another_adapter_is_refused(tiny_config, tmp_path):
    Job(tiny_config, tmp_path).fit()
    other = dataclasses.replace(tiny_config, lora=dataclasses.replace(tiny_config.lora, rank=5))
    with pytest.raises(TrainingError, match="of another model or adapter"):
        Job(other, tmp_path).fit()
