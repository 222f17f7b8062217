"""Ctrl-C and SIGTERM to the real command: the step ends, a checkpoint is written, one line says how to go on."""

import json
import random
import signal
import time
from functools import partial

import pytest
from jobs import command

from process import Process
from translora.config.load import save_config

SIGNALS = 4
STEPS = 100
"""So many that none of the runs is through before its signal comes."""
LONG = ("--training.epochs=20", f"--training.max_steps={STEPS}", "--training.evaluate_every=50")


@pytest.fixture
def recipe(config, tmp_path):
    save_config(config, tmp_path / "recipe.yaml")
    return str(tmp_path / "recipe.yaml")


def steps_done(folder):
    file = folder / "metrics.jsonl"
    return max((json.loads(line)["step"] for line in file.read_text().splitlines()), default=0) if file.exists() else 0


def wait_for(done, process):
    while not done():
        assert process.running
        time.sleep(0.002)


def last_line(log):
    return log.read_text().rstrip("\n").rpartition("\n")[2]


@pytest.mark.slow
def test_a_signal_ends_the_step_and_the_same_command_goes_on(recipe, tmp_path):
    draw = random.Random(7)
    for number in range(SIGNALS):
        folder, log = tmp_path / f"run-{number}", tmp_path / f"log-{number}"
        train = partial(command, "train", recipe, f"--output={folder}", "--training.save_every=0", *LONG)
        sent, after = [signal.SIGINT, signal.SIGTERM][number % 2], draw.randrange(1, 11)
        process = Process(train, log)
        wait_for(lambda folder=folder, after=after: steps_done(folder) >= after, process)
        process.signal(sent)
        assert process.wait() == 128 + sent
        line = last_line(log)
        assert line.startswith("translora: stopped after step ")
        assert line.endswith(f"of {STEPS}; a checkpoint is kept: the same command goes on from it")
        saved = max(int(path.name.split("-")[1]) for path in folder.glob("checkpoints/step-*"))
        assert f" {saved} of {STEPS}" in line
        assert steps_done(folder) == saved
        assert not list(folder.rglob("*.tmp"))
        if number < 1:
            assert Process(train, log).wait() == 0
            assert json.loads((folder / "summary.json").read_text())["steps"] == STEPS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_training_ends_at_once(recipe, tmp_path, number):
    log, run = tmp_path / "log", f"--output={tmp_path / 'run'}"
    train = partial(command, "train", recipe, run, call="translora.training.canary:check", signals=(number,))
    assert Process(train, log).wait() == 128 + number
    assert "model: " in log.read_text()
    assert last_line(log) == "translora: interrupted"


def test_a_second_ctrl_c_leaves_at_once_and_loses_no_checkpoint(recipe, tmp_path):
    folder = tmp_path / "run"
    train = partial(command, "train", recipe, f"--output={folder}", "--training.save_every=1")
    record = "translora.training.tracking:Journal.record"
    twice = partial(train, call=record, number=4, signals=(signal.SIGINT, signal.SIGINT))
    assert Process(twice).wait() == 130
    assert steps_done(folder) == 3
    assert Process(train).wait() == 0
    assert json.loads((folder / "summary.json").read_text())["steps"] == 16
