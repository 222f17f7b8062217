"""A cluster of Ray whose machines are lost: the same results as in one process, and one line for each mistake."""

import importlib.util
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ray_jobs import JOBS, LINES
from test_parallel import RECIPE, one_after_the_other, start, training_among, wait_for, without_measures
from translora import cli
from translora.comparison import results
from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.errors import ClusterError
from translora.scale.cluster import RayEngine
from translora.translation import evaluation, stream

PAIRS = 1_500
LONGER = "max_steps: 120, epochs: 60, batch_tokens: 600, evaluate_every: 15"
needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason='Ray is not installed: "translora[ray]"')


class Process:
    """A process that is told and asked line by line."""

    def __init__(self, script, *arguments):
        command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
        self.process = subprocess.Popen(
            command, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def line(self):
        """Its next line; fails with its errors where it ended without one."""
        return self.process.stdout.readline().strip() or pytest.fail(self.process.stderr.read())

    def tell(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def end(self):
        """What it said on standard error, once its input has ended."""
        _, errors = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, errors
        return errors


@pytest.fixture(scope="module")
def cluster():
    """A cluster of three machines; its address and its process. Nothing is left of it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:  # short: for sockets
        for name, value in (
            ("RAY_TMPDIR", folder), ("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_worker_niceness", "0"),
            ("RAY_AUTH_TOKEN", secrets.token_hex()),
        ):  # fmt: skip
            patch.setenv(name, value)
        process = Process("ray_cluster.py")
        yield process.line(), process
        started = psutil.Process(process.process.pid).children(recursive=True)
        process.end()
        assert not psutil.wait_procs(started, timeout=30)[1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Pairs of which a tenth comes again, and a few that are left out."""
    pairs = [pair[:2] for pair in read(SourceConfig(path="mini", limit=PAIRS), "de", "en")]
    lines = [f"{source}\t{target}\n" for source, target in [*pairs, *pairs[::10]]]
    lines[400:400] = ["nur eine Spalte\n", "a\0b\tx\n", "Kaffee\tKaffee\n"]
    path = tmp_path_factory.mktemp("corpus") / "corpus.tsv"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("job", ["check", "clean", "translate", "evaluate"])
def test_a_lost_machine_changes_nothing_nor_does_a_killed_start(cluster, corpus, tmp_path, monkeypatch, job):
    address, machines = cluster
    alone, there = tmp_path / "alone", tmp_path / "there"
    for folder in (alone, there):
        folder.mkdir()
    monkeypatch.setattr(stream, "CHUNK", LINES)
    monkeypatch.setattr(evaluation, "RANGE", LINES)
    JOBS[job](str(corpus), alone / "out.tsv", None)
    if job == "clean":
        killed = Process("ray_jobs.py", job, address, corpus, there / "out.tsv")
        killed.line()
        killed.kill()
        assert (there / "out.tsv.shards" / "00000.arrow").exists()
    running = Process("ray_jobs.py", job, address, corpus, there / "out.tsv")
    machines.tell(f"kill {running.line()}")
    assert machines.line() == "done"
    running.tell("")
    said = running.end()
    assert "was lost: shard" in said
    assert ("of 17 shards were there from an earlier start" in said) == (job == "clean")
    assert files_of(there) == files_of(alone)


def checkpoints(folder):
    """Those of one variant."""
    return set(folder.glob("out/lora/*/*/checkpoints/step-*"))


def training_of(folder, variant=""):
    """The processes that train a variant, or any, of the comparison in a folder."""
    found = []
    for process in training_among(psutil.process_iter()):
        with suppress(psutil.Error, OSError):  # it has ended
            recipe = Path(process.cmdline()[-3]).read_text(encoding="utf-8")
            found += [process] * (process.cwd() == str(folder) and f"out/{variant}" in recipe)
    return found


@needs_ray
@pytest.mark.slow
def test_a_comparison_is_that_of_one_machine_though_it_is_interrupted_and_loses_another(
    cluster, tmp_path, tiny_model, corpus_file
):
    address, machines = cluster
    recipe = RECIPE.format(model=tiny_model, corpus=corpus_file)
    recipe = recipe.replace("max_steps: 6, batch_tokens: 600, evaluate_every: 3", LONGER)
    own = f"  validation: {{path: {corpus_file}, limit: 20}}\n  test: {{path: {corpus_file}, limit: 40}}\n"
    recipe = recipe.replace("  validation_size: 20\n  test_size: 40\n", own)  # so one run reads no training pairs
    (tmp_path / "recipe.yaml").write_text(recipe)
    process = start(tmp_path, "--engine", "ray", "--address", address)
    wait_for(lambda: len(list(tmp_path.glob("out/*/*/*/config.yaml"))) == 2, process)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130, printed
    assert printed.splitlines()[-1].startswith("translora: stopped in ")
    assert not training_of(tmp_path)
    before = checkpoints(tmp_path)
    assert before

    process = start(tmp_path, "--engine", "ray", "--address", address)
    wait_for(lambda: checkpoints(tmp_path) - before, process)
    lost = wait_for(lambda: training_of(tmp_path, "lora/"), process)[0]
    machines.tell(f"kill {lost.pid}")
    assert machines.line() == "done"
    _, printed = process.communicate()
    assert process.returncode == 0, printed
    assert len(re.findall(r"\nlora, rate 0.01, seed 1: train: .* was lost .*; it is tried once more\n", printed)) == 1
    assert "[lora, seed 1: translate] on " in printed

    written, outcomes = json.loads((tmp_path / "out" / "compare.json").read_text()), one_after_the_other(tmp_path)
    expected = json.loads(json.dumps(results.build(outcomes, "translora compare recipe.yaml")))
    assert without_measures(written) == without_measures(expected)
    for outcome in outcomes:
        (summary,) = tmp_path.glob(f"out/{outcome.name}/**/summary.json")
        assert learnt(summary.parent) == learnt(outcome.runs[0].folder)


def learnt(folder):
    """The weights, translations and metrics in a run folder."""
    files = [path for kind in ("*.safetensors", "translations/*.txt", "metrics.jsonl") for path in folder.rglob(kind)]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files if "checkpoints" not in path.parts}
    assert len(found) >= 3
    lines = found.get("metrics.jsonl", b"").splitlines()
    return found | {"metrics.jsonl": [{**json.loads(line), "time": 0} for line in lines]}


def command(*arguments):
    """What a command that fails with a mistake of the user says on standard error, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "translora", *map(str, arguments)],
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (1, 2), done.stderr
    return done.stderr.rstrip("\n")


def test_what_cannot_be_done_on_ray_is_one_line(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    check = ["data", "check", str(corpus)]
    (tmp_path / "a.po").touch()
    for arguments, message in (
        ([*check, "--engine", "ray"], '--engine ray: Ray is not installed: pip install "translora[ray]"'),
        ([*check, "--address", "auto"], "--address: belongs to --engine ray: add that, or leave it out"),
        ([*check, "--engine", "ray", "--address", "here"], "--address here: give HOST:PORT of the cluster's head node"),
        (["translate", "mini", str(corpus), "--address", "auto"], "--address: belongs to --engine ray"),
        (["translate", "mini", "-", "--engine", "ray"], "--engine ray: give an input file and --output"),
        (
            ["evaluate", "--hypotheses", "x", "--references", "y", "--engine", "ray"],
            "--engine ray: it translates: give",
        ),
        (["compare", "demo", "--advise", "--engine", "ray"], "--advise: trains one seed, one run after the other"),
        (["compare", "demo", "--address", "auto"], "--address: belongs to --engine ray"),
        (["translate", "mini", str(tmp_path / "a.po"), "--engine", "ray"], "--engine ray: it translates lines of text"),
    ):
        with pytest.raises(SystemExit):
            cli.main(arguments)
        assert capsys.readouterr().err.startswith(f"translora: {message}")


def test_a_cluster_that_is_not_there_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"--address {address}: no cluster of Ray answers"), RayEngine(address):
            pass
        other.listen()
        thread = threading.Thread(target=lambda: other.accept()[0].close())
        thread.start()
        with pytest.raises(ClusterError, match=f"--address {address}: no cluster of Ray answers"), RayEngine(address):
            pass
        thread.join()


@needs_ray
@pytest.mark.slow
def test_a_machine_with_another_translora_is_named(cluster, corpus, tmp_path):
    """Its worker finds another package first."""
    address, machines = cluster
    (tmp_path / "translora").mkdir()
    (tmp_path / "translora" / "__init__.py").write_text('__version__ = "0.0.1"')
    machines.tell(f"path {tmp_path}")
    assert machines.line() == "done"
    said = command("data", "check", corpus, "--engine", "ray", "--address", address)
    assert re.search(r"\ntranslora: --engine ray: \S+ has translora 0.0.1, not \S+: install the same on every", said)
    machines.tell(f"path {os.environ.get('PYTHONPATH', '')}")
    assert machines.line() == "done"
