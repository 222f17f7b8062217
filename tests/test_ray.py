"""A cluster of Ray whose machines are lost: the same results as in one process, and one line for each mistake."""

import importlib.util
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from translora.config import SourceConfig
from translora.data.readers.sources import read

JOBS = Path(__file__).with_name("ray_jobs.py")
PAIRS = 1_500
needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason='Ray is not installed: "translora[ray]"')


class Process:
    """A process that is told and asked line by line."""

    def __init__(self, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, str(JOBS), *map(str, arguments)], env=os.environ | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def line(self):
        """Its next line; fails with its errors where it ended without one."""
        return self.process.stdout.readline().strip() or pytest.fail(self.process.stderr.read())

    def tell(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self):
        """What it said on standard error, once its input has ended."""
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return errors


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of three machines; its address and its process."""
    folder = tmp_path_factory.mktemp("r")
    environment = {
        "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0",
        "RAY_AUTH_TOKEN": secrets.token_hex(),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        process = Process("cluster")
        children = psutil.Process(process.process.pid)
        yield process.line(), process
        started = children.children(recursive=True)
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
@pytest.mark.parametrize("job", ["check", "clean"])
def test_a_lost_machine_changes_nothing_nor_does_a_killed_start(cluster, corpus, tmp_path, job):
    address, machines = cluster
    alone, there = tmp_path / "alone", tmp_path / "there"
    for folder in (alone, there):
        folder.mkdir()
    Process(job, "none", corpus, alone / "out.tsv").end()
    if job == "clean":
        killed = Process(job, address, corpus, there / "out.tsv")
        killed.line()
        killed.process.kill()
        killed.process.communicate()
        assert (there / "out.tsv.shards" / "00000.arrow").exists()
    running = Process(job, address, corpus, there / "out.tsv")
    machines.tell(f"kill {running.line()}")
    assert machines.line() == "done"
    running.tell("")
    said = running.end()
    assert "was lost: shard" in said
    assert ("of 17 shards were there from an earlier start" in said) == (job == "clean")
    assert files_of(there) == files_of(alone)


def command(*arguments, **environment):
    """The lines on standard error of a command that fails with a mistake of the user."""
    done = subprocess.run(
        [sys.executable, "-m", "translora", *map(str, arguments)], env=os.environ | environment, text=True,
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stderr
    return done.stderr.splitlines()


def test_without_ray_the_command_says_what_to_install(tmp_path, corpus):
    (tmp_path / "ray.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    (line,) = command("data", "check", corpus, "--engine", "ray", PYTHONPATH=path)
    assert line == 'translora: --engine ray: Ray is not installed: pip install "translora[ray]"'
    (line,) = command("data", "check", corpus, "--address", "auto")
    assert line == "translora: --address: belongs to --engine ray: add that, or leave it out"


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(corpus, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{other.getsockname()[1]}"
        (line,) = command("data", "check", corpus, "--engine", "ray", "--address", address)
        assert line.startswith(f"translora: --address {address}: no cluster of Ray answers")
        other.listen()
        threading.Thread(target=lambda: other.accept()[0].close(), daemon=True).start()
        (line,) = command("data", "check", corpus, "--engine", "ray", "--address", address)
        assert line.startswith(f"translora: --address {address}: no cluster of Ray answers")
    (line,) = command("data", "check", corpus, "--engine", "ray", "--address", "auto", RAY_TMPDIR=str(tmp_path))
    assert line.startswith("translora: --address auto: Could not find any running Ray instance")
    (line,) = command("data", "check", corpus, "--engine", "ray", "--address", "somewhere")
    assert line.startswith("translora: --address somewhere: give HOST:PORT of the cluster's head node")


@needs_ray
@pytest.mark.slow
def test_a_machine_with_another_translora_is_named(corpus, tmp_path):
    """Its worker finds another package first."""
    (tmp_path / "translora").mkdir()
    (tmp_path / "translora" / "__init__.py").write_text('__version__ = "0.0.1"')
    other = Process("cluster", PYTHONPATH=str(tmp_path), RAY_TMPDIR=str(tmp_path))
    (line,) = command("data", "check", corpus, "--engine", "ray", "--address", other.line())
    other.end()
    assert re.fullmatch(
        r"translora: --engine ray: \S+ has translora 0.0.1, not .*: install the same on every machine", line
    )
