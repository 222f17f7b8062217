"""The runs of a comparison side by side: the places on the machine, and the same result as one after the other."""

import dataclasses
import json
import os
import shutil
import signal
import time
from contextlib import suppress

import psutil
import pytest
import torch

import forked
import translora
from short_runs import RUN
from translora.comparison import results
from translora.comparison.folder import mark, marker_of
from translora.comparison.jobs import Outcome
from translora.comparison.places import Here, places
from translora.comparison.variants import read_variants
from translora.comparison.workers import Workers
from translora.config import CompareConfig, Config
from translora.config.load import load_comparison
from translora.errors import ConfigError, InterruptedRunError, StorageError, TrainingError
from translora.io.interrupt import StopRequest
from translora.io.launcher import side_by_side
from translora.models.hardware import free_memory_bytes
from translora.scale.cluster import RayEngine
from translora.scale.runs import Seen, ray_places

RECIPE = (
    RUN
    + """compare:
  rates: [1e-2]
  equal_time: "off"
  variants:
    lora: {{lora: {{rank: 4}}}}
    full: {{method: full}}
"""
)
MEASURED = ("train_seconds", "pairs_per_second", "peak_memory_bytes")


@pytest.fixture
def gpus(monkeypatch):
    """A machine whose libraries count four GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


def test_each_run_has_its_gpu(gpus, monkeypatch):
    assert places(1, Config()) == [Here({}, alone=True)]
    assert places(3, Config()) == [Here({"CUDA_VISIBLE_DEVICES": number}) for number in "012"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-ab,7,1")
    assert places(2, Config(device="cuda")) == [Here({"CUDA_VISIBLE_DEVICES": gpu}) for gpu in ("5", "GPU-ab")]


def test_each_run_has_its_part_of_the_cpu(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    (one, *others) = places(3, Config(device="cpu"))
    assert one.environment["OMP_NUM_THREADS"] == "2"
    assert others == [one, one]
    free = free_memory_bytes(torch.device("cpu"))
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    assert side_by_side() == 3
    assert free_memory_bytes(torch.device("cpu")) < free / 2


@pytest.mark.parametrize(
    ("parallel", "device", "message"),
    [
        (0, "auto", "--parallel 0: must be at least 1"),
        (5, "auto", "--parallel 5: this machine has 4 GPUs: name at most so many"),
        (9, "cpu", "--parallel 9: this machine has 8 cores: name at most so many"),
        (2, "cuda:1", "--parallel 2: runs cannot share cuda:1"),
        (2, "mps", "--parallel 2: runs cannot share mps"),
        (2, "toaster", "device 'toaster' is not usable here"),
    ],
)
def test_more_runs_than_places(gpus, monkeypatch, parallel, device, message):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    with pytest.raises(ConfigError, match=message):
        places(parallel, Config(device=device))


class Described(RayEngine):
    """A cluster of machines with so many GPUs and CPUs each."""

    def __init__(self, *machines):
        self._machines = [{"GPU": float(gpus), "CPU": float(cpus), "memory": 1e9} for gpus, cpus in machines]

    def machines(self):
        return self._machines


@pytest.mark.parametrize(
    ("machines", "parallel", "device", "needs", "threads", "runs"),
    [
        ([(0, 0), (0, 8), (0, 8)], None, "auto", {"CPU": 8}, 8, 2),
        ([(0, 8), (0, 8)], 5, "auto", {"CPU": 2}, 2, 5),
        ([(0, 8), (0, 64)], 2, "cpu", {"CPU": 32}, 32, 2),
        ([(0, 3), (0, 3)], 4, "cpu", {"CPU": 1}, 1, 4),
        ([(4, 32), (2, 8), (0, 64)], None, "auto", {"CPU": 1, "GPU": 1}, 4, 6),
        ([(4, 32), (0, 64)], 3, "cuda", {"CPU": 1, "GPU": 1}, 8, 3),
    ],
)
def test_each_run_has_its_part_of_a_cluster(machines, parallel, device, needs, threads, runs):
    found = ray_places(Described(*machines), parallel, Config(device=device))
    assert len(found) == runs
    assert found[0].cluster.needs == needs
    assert found[0].cluster.share == (threads, runs)


@pytest.mark.parametrize(
    ("machines", "parallel", "device", "message"),
    [
        ([(0, 2)], 3, "auto", "--parallel 3: the cluster has 2 CPUs: name at most so many"),
        ([(1, 2)], 2, "auto", "--parallel 2: the cluster has 1 GPUs: name at most so many"),
        ([(1, 2)], 0, "auto", "--parallel 0: must be at least 1"),
        ([(0, 2)], None, "cuda", "device 'cuda': the cluster has no GPU: use cpu or auto"),
        ([(1, 2)], None, "mps", "--engine ray: runs cannot share mps"),
    ],
)
def test_more_runs_than_a_cluster_has_room_for(machines, parallel, device, message):
    with pytest.raises(ConfigError, match=message):
        ray_places(Described(*machines), parallel, Config(device=device))


def test_a_machine_sees_the_folder_itself_and_not_a_copy_of_it(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "out").mkdir(parents=True)
    mark(here / "out")
    seen = Seen(str(here), "out", marker_of(here / "out"))
    assert not seen.fault()
    shutil.move(here, there)
    assert seen.fault().startswith(f"does not see {here}/out: start the command on a file system that all machines")
    shutil.copytree(there, here)
    mark(there / "out")
    assert not seen.fault()
    assert Seen(str(here), "out", marker_of(there / "out")).fault()


def test_variants_share_the_device(gpus):
    variants = read_variants(Config(), CompareConfig(variants={"one": {}, "two": {"device": "cpu"}}))
    assert len(places(1, Config(), variants)) == 1
    with pytest.raises(ConfigError, match=r"compare.variants.two.device: with --parallel"):
        places(2, Config(), variants)


def test_the_error_of_one_task_ends_the_others():
    """They wait for a place, which the failing one never gives back."""
    workers = Workers([Here({}), Here({})], StopRequest())
    for _ in range(2):
        workers._place("a run that goes on")

    def fails():
        raise StorageError("the disk is full")

    def recorded():
        raise TrainingError("loss")

    assert str(workers.each([recorded, lambda: 3])[0]) == "loss"
    with pytest.raises(StorageError, match="the disk is full"):
        workers.each([lambda: workers._place("waits"), fails])
    with pytest.raises(InterruptedRunError, match="stopped before waits"):
        workers._place("waits")


def test_an_interruption_names_a_run_that_had_begun():
    workers = Workers([Here({}), Here({})], StopRequest())
    workers._ending.set()

    def runs():
        raise workers._interrupted("one that runs")

    with pytest.raises(InterruptedRunError, match="stopped in one that runs: the same command goes on from there"):
        workers.each([lambda: workers._place("waits"), runs, lambda: workers._place("waits too")])


def start(folder, *flags):
    return forked.start("compare", "recipe.yaml", *flags, cwd=folder)


def trainings(process):
    """The processes that train for `process`."""
    return training_among(psutil.Process(process.pid).children(recursive=True))


def training_among(processes):
    """Those of `processes` that train a run of a comparison."""
    found = []
    for one in processes:
        with suppress(psutil.Error):  # it has ended
            found += [one] * (one.cmdline()[-1:] == ["train"])
    return found


def wait_for(condition, process):
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_runs_side_by_side_are_those_one_after_the_other(tmp_path, tiny_model, corpus_file):
    """Though they are interrupted together, taken up again, and one of them is killed."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=tiny_model, corpus=corpus_file))
    process = start(tmp_path, "--parallel", "2")
    both = wait_for(lambda: found if len(found := trainings(process)) == 2 else [], process)
    wait_for(lambda: len(list(tmp_path.glob("out/*/*/*/config.yaml"))) == 2, process)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130, printed
    assert printed.splitlines()[-1].startswith("translora: stopped in ")
    assert not any(one.is_running() for one in both)
    assert not (tmp_path / "out" / "compare.json").exists()

    process = start(tmp_path, "--parallel", "2")
    wait_for(lambda: trainings(process), process)[0].kill()
    _, printed = process.communicate()
    assert process.returncode == 0, printed
    assert printed.count("its process was killed by signal 9 (out of memory?); it is tried once more") == 1
    assert "[lora, seed 1: translate] " in printed

    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    expected = results.build(one_after_the_other(tmp_path), "translora compare recipe.yaml")
    assert without_measures(written) == without_measures(json.loads(json.dumps(expected)))


def without_measures(result):
    """The content of `compare.json` but for what is measured; the order of its keys counts."""
    result.pop("hardware")
    assert "BLEU" in result.pop("verdict")
    for variant in result["variants"]:
        variant["curve"] = [{**point, "seconds": 0} for point in variant["curve"]]
        variant.update(dict.fromkeys(MEASURED))
    for ratio in result["ratios"].values():
        del ratio["times_faster"], ratio["times_less_memory"]
    return list(result), result


def one_after_the_other(folder):
    """The outcomes of the same runs, done here."""
    config, comparison = load_comparison(folder / "recipe.yaml")
    data = dataclasses.replace(config.data, seed=config.seed)
    untouched = dataclasses.replace(config, method="none", output=str(folder / "alone" / "untouched"), data=data)
    outcomes = [Outcome("untouched", "none", [translora.train(untouched)])]
    for variant in read_variants(config, comparison):
        run = translora.train(variant.run_config(folder / "alone" / variant.name, 1e-2, config.seed))
        rates = {1e-2: max(run.validation_bleu())}
        outcomes.append(Outcome(variant.name, variant.config.method, [run], rates, rate=1e-2))
    return outcomes
