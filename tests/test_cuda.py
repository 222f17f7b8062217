"""A GPU computes what the CPU does: losses, gradients, translations, whole runs. Skipped where there is no CUDA."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from translora import Translator
from translora.config import Config, DataConfig, DecodingConfig, SourceConfig, TrainingConfig
from translora.data.splits import read_splits
from translora.data.tokens import tokenise
from translora.errors import InterruptedRunError
from translora.models.budget import Budget, step_bytes
from translora.models.hardware import peak_memory_bytes, used_memory_bytes
from translora.models.load import load
from translora.pipeline import make_trainable, train
from translora.scoring.metrics import bleu
from translora.training.optimizer import build_optimizer
from translora.training.step import Stepper
from translora.translation.decode import translate

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")]

DEVICE = "cuda"
PAIRS = np.arange(64)


def config(**fields) -> Config:
    """A run on the embedded base, in float32 where nothing else is said."""
    data = DataConfig(
        train=SourceConfig(path="mini", split="train", limit=400),
        validation=SourceConfig(path="mini", split="validation", limit=40),
        test=SourceConfig(path="mini", split="test", limit=40),
    )
    training = TrainingConfig(max_steps=8, batch_tokens=1000, evaluate_every=4, learning_rate=5e-3)
    return dataclasses.replace(Config(data=data, training=training, device=DEVICE, dtype="float32"), **fields)


def stepper(chosen: Config, budget: int = 10_000) -> Stepper:
    translator = load(chosen)
    make_trainable(translator, chosen)
    examples = tokenise(read_splits(chosen).train, translator.tokenizer, translator.prompt, 128)
    optimizer = build_optimizer(translator.model, chosen.training)
    return Stepper(translator, examples, optimizer, chosen.training, chosen.seed, Budget(budget))


def losses_and_gradients(chosen: Config):
    """The loss of the pairs per token, and the gradient as one vector, on the CPU."""
    made = stepper(chosen)
    made.translator.model.train()
    batch = made.examples.batch(PAIRS)
    loss = made.translator.loss(batch, 0.1)
    (loss.objective / batch.target_tokens).backward()
    parts = [p.grad.flatten().float().cpu() for p in made.translator.model.parameters() if p.grad is not None]
    return float(loss.cross_entropy) / batch.target_tokens, torch.cat(parts)


def apart(left, right):
    """The norm of the difference over that of `right`."""
    return float((left - right).norm() / right.norm())


@pytest.mark.parametrize("fast", ["auto", "off"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_losses_and_gradients_are_those_of_the_cpu(method, fast):
    here = losses_and_gradients(config(method=method, fast=fast))
    there = losses_and_gradients(config(method=method, fast=fast, device="cpu"))
    assert here[0] == pytest.approx(there[0], rel=1e-5)
    assert apart(here[1], there[1]) < 1e-4


@pytest.mark.parametrize("method", ["lora", "full"])
def test_bfloat16_is_near_and_no_further_than_transformers(method):
    wide = losses_and_gradients(config(method=method))
    narrow = config(method=method, dtype="bfloat16")
    ours, theirs = (losses_and_gradients(dataclasses.replace(narrow, fast=fast)) for fast in ("auto", "off"))
    assert ours[0] == pytest.approx(wide[0], rel=0.01)
    assert apart(ours[1], wide[1]) < max(0.05, 1.5 * apart(theirs[1], wide[1]))


def test_no_step_waits_for_a_plan_of_its_shape():
    """cuDNN's attention makes one for each shape that it has not seen, and most batches have a shape of their own."""
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], acc_events=True) as profile:  # else some versions of torch warn
        losses_and_gradients(config(dtype="bfloat16"))
    names = {event.key for event in profile.key_averages()}
    assert any("attention" in name for name in names)
    assert not [name for name in names if "cudnn_attention" in name]


def test_checkpointing_gives_the_same_gradient():
    plain = losses_and_gradients(config())
    training = dataclasses.replace(config().training, gradient_checkpointing=True)
    again = losses_and_gradients(config(training=training))
    assert apart(again[1], plain[1]) < 1e-5


@pytest.mark.parametrize("beams", [1, 4])
def test_translations_are_those_of_the_cpu(beams):
    lines = read_splits(config()).test.sources
    decoding = DecodingConfig(beams=beams)
    here, there = (translate(load(config(device=device)), lines, decoding) for device in (DEVICE, "cpu"))
    assert sum(one != other for one, other in zip(here, there, strict=True)) <= 1  # two tokens may be alike
    narrow = translate(load(config(dtype="bfloat16")), lines, decoding)
    assert bleu(narrow, there, "en") > 80


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_predicted_memory_of_a_step_is_its_own(method):
    made = stepper(config(method=method))
    model, (pairs, longest) = made.translator.model, (64, 64)
    trained = [p for p in model.parameters() if p.requires_grad]
    predicted = step_bytes(made.translator, pairs, longest, longest)
    ids = torch.ones(pairs, longest, dtype=torch.int64)
    full = np.full(pairs, longest)
    batch = dataclasses.replace(
        made.examples.batch(PAIRS[:1]), input_ids=ids, labels=ids, source_lengths=full, target_lengths=full
    )
    model.train()
    for _ in range(2):  # the first pass loads kernels
        torch.cuda.reset_peak_memory_stats()
        before = used_memory_bytes(made.translator.device)
        gradients = torch.autograd.grad(made.translator.loss(batch).objective, trained)
        taken = peak_memory_bytes(made.translator.device) - before
        del gradients
    assert predicted == pytest.approx(taken, rel=0.25)


def test_a_step_without_memory_is_done_in_halves():
    whole, cut = stepper(config(), 8000), stepper(config(), 8000)
    every = np.arange(200)
    expected = whole.step(0, every)
    del whole
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    needs = step_bytes(cut.translator, 64, 64, 64)
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + needs / 3) / total)
    try:
        found = cut.step(0, every)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert cut.budget.tokens < 8000
    assert found[1] == expected[1]
    assert found[0] == pytest.approx(expected[0], rel=1e-5)


def figures(run: Path, name: str) -> list[float]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row[name] for row in rows if name in row]


def test_a_run_learns_as_on_the_cpu_and_its_adapter_goes_back_there(tmp_path):
    for device in (DEVICE, "cpu"):
        train(config(device=device, output=str(tmp_path / device)))
    here, there = (figures(tmp_path / device, "loss") for device in (DEVICE, "cpu"))
    assert here == pytest.approx(there, rel=1e-3)
    assert torch.cuda.get_device_name() in (tmp_path / DEVICE / "summary.json").read_text()
    lines = read_splits(config()).test.sources[:20]
    texts = [
        Translator.from_pretrained(str(tmp_path / DEVICE), device=device).translate(lines) for device in (DEVICE, "cpu")
    ]
    assert sum(one != other for one, other in zip(*texts, strict=True)) <= 1


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    train(config(output=str(tmp_path / "whole")))
    step = Stepper.step

    def stopped(self, number, pairs):
        if number == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number, pairs)

    with monkeypatch.context() as patched, pytest.raises(InterruptedRunError):
        patched.setattr(Stepper, "step", stopped)
        train(config(output=str(tmp_path / "stopped")))
    train(config(output=str(tmp_path / "stopped")))
    whole, again = (figures(tmp_path / run, "loss") for run in ("whole", "stopped"))
    assert again == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_a_quantised_base_learns(kind):
    pytest.importorskip("bitsandbytes")
    plain, small = stepper(config()), stepper(config(quantise=kind))
    first, last = zip(*((one.step(0, PAIRS)[0], one.step(1, PAIRS)[0]) for one in (plain, small)), strict=True)
    assert first[1] == pytest.approx(first[0], rel=0.1)
    assert last[1] < first[1]


def test_the_command_takes_the_gpu_by_itself(tmp_path):
    command = [sys.executable, "-m", "translora", "train", "demo", "--output", str(tmp_path / "run"),
               "--training.max_steps", "10", "--data.test.limit", "20", "--data.validation.limit", "20"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    assert "bfloat16" in done.stdout + done.stderr
    assert torch.cuda.get_device_name() in (tmp_path / "run" / "summary.json").read_text()
