"""kill -9 at any instant: the next start goes on by itself, and ends as if nothing had happened."""

import dataclasses
import json
import random
import shutil
import signal
import time
from functools import partial

import pytest
from jobs import training, whole
from safetensors.torch import load_file

from process import Process, run, run_all

KILLED = -signal.SIGKILL
INSTANTS = 12
CUTS = {
    "between two steps": ("translora.training.step:Stepper.step", 8),
    "in a second epoch": ("translora.training.step:Stepper.step", 11),
    "within the micro-batches of a step": ("translora.models.load:LoadedModel.loss", 12),
    "before an update": ("torch.nn.utils:clip_grad_norm_", 5),
    "in a validation": ("translora.training.validation:corpus_loss", 2),
    "when the best weights are kept": ("translora.training.checkpoint:Checkpoints.save_best", 1),
}


@pytest.fixture(scope="module")
def uncut(config, tmp_path_factory):
    """The folder of the training that nothing disturbed, and how long it took."""
    folders = [tmp_path_factory.mktemp("uncut") / "run" for _ in range(2)]
    for folder in folders:  # the first also waits for the server
        process = Process(partial(training, folder, config))
        assert process.wait() == 0
    return folder, process.seconds


def last_checkpoint(folder):
    return max((folder / "checkpoints").glob("step-*"))


def metrics(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "time"} for line in lines]


def state(folder):
    """Where the run stood in the end, times and memory left out."""
    found = json.loads((last_checkpoint(folder) / "state.json").read_text())["state"]
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in found.pop("rows")]
    return {key: value for key, value in found.items() if "seconds" not in key and "memory" not in key}, rows


def assert_same_tensors(folder, uncut, names):
    for name in names:
        one, other = (load_file(path / f"{name}.safetensors") for path in (folder, uncut))
        assert one.keys() == other.keys()
        assert max(float((one[key] - other[key]).abs().max()) for key in one) == 0


def assert_as_if_nothing_had_happened(folder, uncut):
    assert_same_tensors(last_checkpoint(folder), last_checkpoint(uncut), ["weights", "optimizer"])
    assert metrics(folder) == metrics(uncut)
    assert state(folder) == state(uncut)


def finished_files(state):
    """What of a state is in its place: all but what is still written under a temporary name."""
    return tuple(
        (path.relative_to(state), path.read_bytes() if path.is_file() else b"")
        for path in sorted(state.rglob("*"))
        if not any(part.endswith(".tmp") for part in path.relative_to(state).parts)
    )


def go_on_from_each_state(job, folder, check, finished=False):
    """Do `job` in `folder` and go on, two at a time, from each state that a kill at a write would have left on disk.

    Of the states with the same files in their places, `finished` takes only the last: the one with most left over under
    temporary names. `check` looks at what came of each. Returns how many states there were.
    """
    assert run(partial(job, folder, copied=True)) == 0
    check(folder)
    states = sorted(folder.parent.glob(f"{folder.name}-at-*"), key=lambda state: int(state.name.rpartition("-")[2]))
    if finished:
        states = list({finished_files(state): state for state in states}.values())
    for beside in (states[start : start + 2] for start in range(0, len(states), 2)):
        logs = [state.with_name(f"log-{state.name}") for state in beside]
        assert run_all([partial(job, state) for state in beside], logs) == [0] * len(beside)
        for state, log in zip(beside, logs, strict=True):
            assert "damaged" not in log.read_text()
            check(state)
            shutil.rmtree(state)
    return len(states)


@pytest.mark.parametrize("where", CUTS)
def test_a_resumed_run_is_the_uncut_run_to_the_last_bit(config, uncut, tmp_path, where):
    call, number = CUTS[where]
    assert run(partial(training, tmp_path / "run", config, ([call], number))) == KILLED
    assert run(partial(training, tmp_path / "run", config)) == 0
    assert_as_if_nothing_had_happened(tmp_path / "run", uncut[0])


@pytest.mark.slow
def test_killed_at_random_instants(config, uncut, tmp_path):
    draw, killed, resumed = random.Random(5), 0, 0
    while killed < INSTANTS:
        folder, code = tmp_path / f"run-{resumed}", KILLED
        while code:  # killed again and again, until it gets through
            process = Process(partial(training, folder, config))
            if killed < INSTANTS:
                time.sleep(draw.uniform(0.2, 1.0) * uncut[1])
                process.signal(signal.SIGKILL)
            code = process.wait()
            killed += code == KILLED
            assert code in (0, KILLED)
        assert_as_if_nothing_had_happened(folder, uncut[0])
        resumed += 1
    print(f"killed at {killed} random instants, {resumed} runs ended as if nothing had happened")


@pytest.mark.slow
def test_going_on_from_every_state_of_a_training(config, tmp_path):
    """In a training of three steps: three checkpoints, two validations, the best weights, and what is pruned."""
    few = dataclasses.replace(config.training, max_steps=3, evaluate_every=2, save_every=1)
    config = dataclasses.replace(config, training=few)
    uncut, job = tmp_path / "uncut", partial(training, config=config)
    assert run(partial(job, uncut)) == 0
    states = go_on_from_each_state(
        job, tmp_path / "run", lambda folder: assert_as_if_nothing_had_happened(folder, uncut)
    )
    assert states > 30
    print(f"went on from each of {states} states")


def test_a_kill_loses_at_most_one_interval(config, tmp_path):
    training_ = partial(training, tmp_path / "run", config, (["translora.training.step:Stepper.step"], 9))
    assert run(training_) == KILLED
    saved = max(int(path.name.split("-")[1]) for path in tmp_path.glob("run/checkpoints/step-*"))
    assert saved == 6
    assert max(line["step"] for line in metrics(tmp_path / "run")) == 8


@pytest.mark.slow
def test_going_on_from_every_state_of_the_whole_job(config, tmp_path):
    """With a training of two steps: the states of a longer one, and of what is half written, are above."""
    few = dataclasses.replace(config.training, max_steps=2, evaluate_every=2, save_every=2)
    config = dataclasses.replace(config, training=few)
    uncut, job = tmp_path / "uncut", partial(whole, config=config)
    assert run(partial(job, uncut)) == 0

    def check(folder):
        assert_same_tensors(folder, uncut, ["adapter/adapter_model"])
        assert metrics(folder) == metrics(uncut)
        for name in ("before", "after"):
            file = f"translations/{name}.txt"
            assert (folder / file).read_bytes() == (uncut / file).read_bytes()
        assert (folder / "report.html").read_bytes().endswith(b"</html>")
        assert not [path for path in folder.rglob(".*") if path.name != ".lock"]

    states = go_on_from_each_state(job, tmp_path / "run", check, finished=True)
    assert states > 15
    print(f"went on from each of {states} states")
