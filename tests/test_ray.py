"""A cluster of Ray whose machines are lost: the same results as in one process, and one line for each mistake."""

import importlib.util
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from translora import cli
from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.errors import ClusterError
from translora.scale.cluster import RayEngine

PAIRS = 1_500
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
        _, errors = self.process.communicate(timeout=60)
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
@pytest.mark.parametrize("job", ["check", "clean", "translate"])
def test_a_lost_machine_changes_nothing_nor_does_a_killed_start(cluster, corpus, tmp_path, job):
    address, machines = cluster
    alone, there = tmp_path / "alone", tmp_path / "there"
    for folder in (alone, there):
        folder.mkdir()
    Process("ray_jobs.py", job, "none", corpus, alone / "out.tsv").end()
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


def test_without_ray_the_command_says_what_to_install(corpus, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    for flags, message in (
        (["--engine", "ray"], '--engine ray: Ray is not installed: pip install "translora[ray]"'),
        (["--address", "auto"], "--address: belongs to --engine ray: add that, or leave it out"),
        (["--engine", "ray", "--address", "here"], "--address here: give HOST:PORT of the cluster's head node"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["data", "check", str(corpus), *flags])
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
