"""Several processes train what one does: weights, losses, scores; and what becomes of them when one fails."""

import dataclasses
import json
import os
import re
import signal
import time
from functools import partial

import psutil
import pytest
import torch
from jobs import launched, on_rank, whole
from safetensors.torch import load_file
from torch.distributed import TCPStore

from process import Process, run
from translora.config.load import save_config

SILENT = "another rank failed: see its message\n"
"""What a process here says of an error that the command keeps to itself."""
STEP = ["translora.training.step:Stepper.step"]


class Ranks:
    """Starts ranks beside each other; keeps their store, as torchrun does."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, size, works, **environment):
        """The exit codes and the output of `size` ranks; `works` is one work for all, or one for each."""
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        works = works if isinstance(works, list) else [works] * size
        logs = [self.folder / f"log-{time.monotonic_ns()}-{rank}" for rank in range(size)]
        jobs = [partial(on_rank, rank, size, store.port, work, environment) for rank, work in enumerate(works)]
        processes = [Process(job, log) for job, log in zip(jobs, logs, strict=True)]
        return [process.wait() for process in processes], [log.read_text() for log in logs]


@pytest.fixture
def ranks(tmp_path):
    return Ranks(tmp_path)


def changed(config, **training):
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **training))


@pytest.fixture(scope="module")
def lora(config):
    """Uneven micro-batches, accumulation and dropout; the last step of an epoch has one pair."""
    config = dataclasses.replace(config, lora=dataclasses.replace(config.lora, init="gradient", init_steps=1))
    return changed(config, step_pairs=29, batch_tokens=450, max_steps=7, evaluate_every=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def tied_model(tiny_model, tmp_path_factory):
    """The tiny model with one matrix for both embeddings and the head."""
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("tied")
    model = T5ForConditionalGeneration.from_pretrained(tiny_model)
    model.lm_head.weight = model.get_input_embeddings().weight
    model.config.tie_word_embeddings = True
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def full(config, tied_model):
    """Steps of one micro-batch, or one pair, which are cut for more ranks where they can be; without dropout."""
    training = dataclasses.replace(
        config.training,
        step_pairs=0,
        batch_tokens=120,
        max_steps=6,
        evaluate_every=3,
        dropout=0.0,
        learning_rate=1e-3,
        canary="skip",
    )
    return dataclasses.replace(config, model=str(tied_model), method="full", training=training)


@pytest.fixture(scope="module")
def alone(lora, full, tmp_path_factory):
    """What one process makes of each."""
    folder = tmp_path_factory.mktemp("alone")
    for name, config in (("lora", lora), ("full", full)):
        assert run(partial(whole, folder / name, config), folder / "log") == 0, (folder / "log").read_text()
    return folder


def figures(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "time"} for line in lines]


def assert_same_run(folder, other):
    """Losses, validations, weights, optimiser state, test translations and scores."""
    mine, others = figures(folder), figures(other)
    assert [one.keys() for one in mine] == [one.keys() for one in others]
    assert all(
        one[key] == pytest.approx(two[key], abs=1e-5) for one, two in zip(mine, others, strict=True) for key in one
    )
    last = [max((path / "checkpoints").glob("step-*")) for path in (folder, other)]
    for name in ("weights", "optimizer"):
        one, two = (load_file(path / f"{name}.safetensors") for path in last)
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
    for label in ("before", "after"):
        texts = [(path / "translations" / f"{label}.txt").read_text() for path in (folder, other)]
        assert texts[0] == texts[1]
    scores = [json.loads((path / "summary.json").read_text())["scores_after"] for path in (folder, other)]
    assert scores[0] == scores[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "full"])
def test_the_number_of_ranks_changes_nothing_that_is_learnt(name, ranks, alone, lora, full, tmp_path):
    """Three here; the tests below are of two."""
    config = {"lora": lora, "full": full}[name]
    codes, logs = ranks.run(3, partial(whole, tmp_path / "run", config))
    assert codes == [0] * 3, logs
    assert "ranks: 3 train together" in logs[0]
    assert logs[1:] == [""] * 2
    assert_same_run(tmp_path / "run", alone / name)


@pytest.mark.slow
def test_two_ranks_then_one_then_two_are_one_run(ranks, lora, alone, tmp_path):
    """A signal at rank 1 alone stops both after the same step, with one checkpoint."""
    folder = tmp_path / "run"
    stopped = partial(whole, folder, lora, terminate=(STEP, 3))
    codes, logs = ranks.run(2, [partial(whole, folder, lora), stopped])
    assert codes == [143, 143]
    assert "stopped after step 3 of 7; a checkpoint is kept" in logs[0]
    assert logs[1] == SILENT
    assert [path.name for path in folder.glob("checkpoints/step-*")] == ["step-00000003"]
    assert run(partial(whole, folder, lora, terminate=(STEP, 2))) == 143
    codes, logs = ranks.run(2, partial(whole, folder, lora))
    assert codes == [0, 0], logs
    assert_same_run(folder, alone / "lora")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "full"])
def test_sharded_weights_change_nothing_that_is_learnt(name, ranks, lora, full, alone, tmp_path):
    """With dropout and uneven micro-batches; tied in full. Stopped by one rank, and gone on with by one process."""
    folder, reference = tmp_path / "run", alone / name
    config = full
    if name == "lora":
        adapter = dataclasses.replace(lora.lora, init="zero")
        config = dataclasses.replace(lora, lora=adapter, fast="off")  # the fast path draws its dropout otherwise
        reference = tmp_path / "alone"
        assert run(partial(whole, reference, config), tmp_path / "log") == 0
    sharded = changed(config, shard="on")
    codes, logs = ranks.run(2, [partial(whole, folder, sharded), partial(whole, folder, sharded, terminate=(STEP, 2))])
    assert codes == [143, 143], logs
    assert "ranks: the weights are cut into 2 pieces (FSDP2)" in logs[0]
    assert "stopped after step 2 of" in logs[0]
    assert run(partial(whole, folder, config, terminate=(STEP, 2))) == 143
    codes, logs = ranks.run(2, partial(whole, folder, sharded))
    assert codes == [0, 0], logs
    assert_same_run(folder, reference)


@pytest.mark.slow
def test_one_rank_without_memory_halves_the_budget_of_all(ranks, full, alone, tmp_path):
    folder = tmp_path / "run"
    codes, logs = ranks.run(2, [partial(whole, folder, full), partial(whole, folder, full, lacks=40)])
    assert codes == [0, 0], logs
    assert "out of memory: goes on with 60 padded tokens at a time" in logs[0]
    assert_same_run(folder, alone / "full")


@pytest.mark.slow
def test_ranks_with_other_recipes_are_refused_and_told_the_difference(ranks, lora, tmp_path):
    other = dataclasses.replace(lora, seed=2)
    codes, logs = ranks.run(2, [partial(whole, tmp_path / "run", one) for one in (lora, other)])
    assert codes == [2, 2]
    assert re.fullmatch(
        r"the ranks differ in seed: 1 on rank 0 \(.*\), 2 on rank 1 \(.*\): start all with .*\n", logs[0]
    )
    assert logs[1] == SILENT
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_rank_is_started_again_and_the_run_goes_on(lora, alone, tmp_path):
    """By the command with --overwrite, which must not delete the run again, under torchrun's agent."""
    recipe, folder, log = tmp_path / "recipe.yaml", tmp_path / "run", tmp_path / "log"
    save_config(dataclasses.replace(changed(lora, save_every=1), output=str(folder)), recipe)
    agent = Process(partial(launched, 2, 1, "train", str(recipe), "--overwrite"), log)
    while agent.running and not list(folder.glob("checkpoints/step-*")):
        time.sleep(0.01)
    assert agent.running, log.read_text()
    os.kill(max(child.pid for child in psutil.Process(agent.pid).children()), signal.SIGKILL)
    assert agent.wait() == 0, log.read_text()
    assert "is gone, last heard of in step" in log.read_text()
    assert_same_run(folder, alone / "lora")
