import dataclasses
import json
import os
import resource
import subprocess
import sys
import types

import psutil
import pytest
import torch

from process import run
from translora import mini
from translora.config import Config, TrainingConfig
from translora.data.splits import read_splits
from translora.data.tokens import tokenise
from translora.errors import OutOfMemoryError
from translora.models import budget, hardware
from translora.models.load import load
from translora.models.t5.decode import copied_bytes
from translora.pipeline import make_trainable
from translora.training import memory
from translora.translation import decode

MEASURE = """
import json
import multiprocessing
import sys
import numpy as np
import torch
from translora import pipeline
from translora.config import Config, TrainingConfig
from translora.data.tokens import Batch
from translora.models.hardware import peak_memory_bytes, used_memory_bytes
from translora.models.load import load
from translora.models.budget import step_bytes

def step(translator, pairs, source, target):
    trained = [p for p in translator.model.parameters() if p.requires_grad]
    ids, labels = torch.ones(pairs, source, dtype=torch.int64), torch.ones(pairs, target, dtype=torch.int64)
    translator.model.train()
    lengths = np.full(pairs, source), np.full(pairs, target)
    torch.autograd.grad(translator.loss(Batch(ids, labels, *lengths)).objective, trained)

def measure(translator, size):
    shape = tuple(map(int, size.split("x")))
    predicted = step_bytes(translator, *shape)
    step(translator, 1, 8, 8)
    before = used_memory_bytes(translator.device)
    step(translator, *shape)
    print(predicted, peak_memory_bytes(translator.device) - before, flush=True)

def measure_all(sizes, fast, method, checkpointing):
    config = Config(fast=fast, method=method, training=TrainingConfig(gradient_checkpointing=checkpointing == "yes"))
    translator = load(config)
    pipeline.make_trainable(translator, config)
    for size in sizes:
        in_a_process_of_its_own(measure, translator, size)

def in_a_process_of_its_own(work, *arguments):  # for freed memory is kept
    child = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    child.start()
    child.join()

torch.set_num_threads(1)  # a fork takes no threads along
for way, sizes in json.loads(sys.argv[1]):
    in_a_process_of_its_own(measure_all, sizes, *way)
"""
SHAPES = ["8x130x130", "3x300x60", "2x60x400", "50x24x24"]
"""Pairs, source and target length: even and uneven, short and long."""
WAYS = {
    ("auto", "lora", "no"): SHAPES,
    ("auto", "full", "no"): ["16x130x130", "4x60x400"],  # larger, for the gradients of all weights
    ("auto", "lora", "yes"): SHAPES[::2],
    ("off", "lora", "no"): SHAPES[::2],
}
"""`fast`, `method`, and whether activations are computed twice; and the shapes that are measured."""


@pytest.fixture(scope="module")
def measured_steps():
    """The predicted and the measured bytes of each shape, for each of `WAYS`, in their order."""
    command = [sys.executable, "-c", MEASURE, json.dumps(list(WAYS.items()))]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # what several threads took and gave back would serve the step
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    lines = iter(done.stdout.splitlines())
    return {way: [(shape, *map(int, next(lines).split())) for shape in shapes] for way, shapes in WAYS.items()}


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_the_prediction_is_near_what_a_step_takes(way, measured_steps):
    ratios = {}
    for shape, predicted, measured in measured_steps[way]:
        assert measured > 20e6, shape
        ratios[shape] = predicted / measured
    assert all(0.75 < ratio < 1.5 for ratio in ratios.values()), ratios


def test_the_peak_is_that_of_this_process_and_not_of_the_one_that_started_it():
    code = "import torch; from translora.models import hardware as h; print(h.peak_memory_bytes(torch.device('cpu')))"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    command = [sys.executable, "-c", f"large = bytearray(1 << 30); {start}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 50e6 < int(printed) < 900e6


def test_a_prediction_leaves_the_model_as_it_was():
    translator = load(Config())
    make_trainable(translator, Config())
    before = {name: p.clone() for name, p in translator.model.eval().named_parameters()}
    assert budget.step_bytes(translator, 2, 8, 8) > 10_000
    assert not translator.model.training
    for name, parameter in translator.model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


@pytest.fixture
def job(corpus_file):
    def make(**training):
        config = Config(training=TrainingConfig(**training))
        translator = load(config)
        make_trainable(translator, config)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, validation_size=20, test_size=20))
        source = dataclasses.replace(config.data.train, path=str(corpus_file))
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, train=source))
        examples = tokenise(read_splits(config).train, translator.tokenizer, translator.prompt, 256)
        return translator, examples, config.method, config.training, config.decoding

    return make


def with_free(monkeypatch, gibibytes):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda device: int(gibibytes * 2**30))


def test_auto_takes_what_fits(monkeypatch, job):
    *arguments, decoding = job()
    arguments.append(dataclasses.replace(decoding, batch_tokens=64))  # so that a step takes more than translating
    with_free(monkeypatch, 8)
    roomy = memory.check_memory(*arguments)
    assert roomy.batch_tokens == 4096
    with_free(monkeypatch, 0.15)
    tight = memory.check_memory(*arguments)
    assert tight.batch_tokens < 4096
    assert tight.peak_bytes < roomy.peak_bytes


def test_a_stated_budget_that_does_not_fit_is_refused(monkeypatch, job):
    with_free(monkeypatch, 0.15)
    with pytest.raises(OutOfMemoryError, match=r"training.batch_tokens 4096: .* GiB are free: set training.batch_tok"):
        memory.check_memory(*job(batch_tokens=4096))


def test_a_pair_that_does_not_fit_alone_is_refused(monkeypatch, job):
    with_free(monkeypatch, 0.001)
    with pytest.raises(OutOfMemoryError, match=r"a single pair of \d+ \+ \d+ tokens: .* set training.gradient_check"):
        memory.check_memory(*job())


def test_validation_counts_where_it_takes_more_than_a_step(monkeypatch, job):
    """Copies of the weights are made where there is room for them, and the cache grows with the lines at a time."""
    translator, examples, method, training, decoding = job(batch_tokens=64, gradient_checkpointing=True)
    copies = copied_bytes(translator.model, torch.float32)
    with_free(monkeypatch, 8)
    lengths = examples.source_lengths
    few_lines = dataclasses.replace(decoding, batch_tokens=int(lengths.max()))
    roomy = decode.decoding_bytes(translator, decoding, lengths, taken=0)
    few = decode.decoding_bytes(translator, few_lines, lengths, taken=0)
    assert roomy > few > copies > 30e6
    peak = memory.check_memory(translator, examples, method, training, decoding).peak_bytes
    monkeypatch.setattr(decode, "free_memory_bytes", lambda device: int(1.9 * copies))
    assert decode.decoding_bytes(translator, decoding, lengths, taken=0) == roomy - copies
    assert not decode.copies_fit(translator)
    assert 0.5 * copies < peak - memory.check_memory(translator, examples, method, training, decoding).peak_bytes
    assert decode.make_decoder(translator).nbytes == 0


@pytest.mark.parametrize(
    ("device", "training", "most"),
    [
        ("cpu", TrainingConfig(), 4096),
        ("cpu", TrainingConfig(step_pairs=64), 4096),
        ("cuda", TrainingConfig(), 4096),
        ("cuda", TrainingConfig(step_tokens=9000), 16_384),
    ],
)
def test_where_auto_begins(device, training, most):
    assert memory.most_tokens(device, training) == most


def test_a_models_weights_alone_may_be_too_much(monkeypatch):
    from translora.errors import ModelError
    from translora.models import load as module

    monkeypatch.setattr(module, "free_memory_bytes", lambda device: 10_000_000)
    with pytest.raises(ModelError, match=r"model mini: its weights take 0.0 GiB .*: take a smaller model"):
        load(Config())
    assert mini.MODEL.is_dir()


GIB = 2**30
CGROUPS = {
    "2": ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    "1": ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
}


@pytest.fixture(params=CGROUPS)
def container(request, monkeypatch, tmp_path):
    """The files of a container, with a limit of 4 GiB, on a machine that has 64 GiB free."""
    limit, used, listing, cached = CGROUPS[request.param]
    (tmp_path / "memory").mkdir()
    (tmp_path / limit).write_text(f"{4 * GIB}\n")
    (tmp_path / used).write_text(f"{3 * GIB}\n")
    (tmp_path / listing).write_text(f"anon {GIB}\n{cached} {2 * GIB}\nactive_file 0\n")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    monkeypatch.setattr(hardware.psutil, "virtual_memory", lambda: types.SimpleNamespace(available=64 * GIB))
    return tmp_path / limit


def test_in_a_container_page_cache_counts_as_free(container):
    assert hardware.free_memory_bytes(torch.device("cpu")) == 3 * GIB


@pytest.mark.parametrize("limit", [f"{80 * GIB}", "max", "9223372036854771712", "?"])
def test_a_container_without_a_limit_has_what_the_machine_has(container, limit):
    container.write_text(limit)
    assert hardware.free_memory_bytes(torch.device("cpu")) == 64 * GIB


def test_outside_of_containers_the_machine_alone_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    free = hardware.free_memory_bytes(torch.device("cpu"))
    assert free == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def lack_memory():
    resource.setrlimit(resource.RLIMIT_AS, (32 * GIB, 32 * GIB))
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.zeros(64 * GIB // 4)
    assert budget.is_out_of_memory(caught.value)


def test_a_real_lack_of_memory_is_known_as_one():
    assert run(lack_memory) == 0
    assert not budget.is_out_of_memory(RuntimeError("shapes do not match"))
