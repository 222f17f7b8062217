"""A full disk, a folder that cannot be written, and two runs in one folder: one clear line, and nothing is lost."""

import json
import os
import resource
import signal
import subprocess
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from jobs import command, whole
from test_signals import last_line, steps_done, wait_for

from process import Process, run
from translora.config.load import save_config
from translora.io.files import atomic_file, write_text
from translora.training.checkpoint import checkpoint_fault, numbered_folders

SIZES = (20, 100, 180)
"""KiB that a small disk has, where a run needs about 250."""


AS_ROOT = ["sudo", "-n"] if os.geteuid() else []
"""Before a command that only root may run; CI's users may."""


@contextmanager
def small_disk(folder, kibibytes, options=""):
    """A file system of its own on `folder`; the test is skipped where the user may not mount one.

    What a full disk does to a run is also tested without one: see `with_small_files`.
    """
    folder.mkdir(exist_ok=True)
    owner = f",uid={os.geteuid()},gid={os.getegid()}"
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k{options}{owner}", "tmpfs", str(folder)]
    with suppress(FileNotFoundError):  # no sudo
        if not subprocess.run([*AS_ROOT, *mount], capture_output=True, check=False).returncode:
            try:
                yield folder
            finally:
                subprocess.run([*AS_ROOT, "umount", "-l", str(folder)], check=True)
            return
    pytest.skip("needs the right to mount a file system")


def with_small_files(kibibytes, work):
    """Do `work` where no file can grow over a size: needs no rights, and fails in the middle of a write as well."""
    limit = kibibytes * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    work()


@pytest.mark.parametrize("size", SIZES)
def test_a_full_disk_is_one_line_and_a_larger_one_goes_on(config, tmp_path, size):
    log = tmp_path / "log"
    with small_disk(tmp_path / "disk", size) as disk:
        assert run(partial(whole, disk / "run", config), log) == 1
        line = last_line(log)
        assert "cannot be written (No space left on device): free some space, then start the same command again" in line
        assert str(disk / "run") in line
        checkpoints = disk / "run" / "checkpoints"
        for folder in [*numbered_folders(checkpoints, "step"), *numbered_folders(checkpoints, "best")]:
            assert not checkpoint_fault(folder)
        before = steps_done(disk / "run")
        subprocess.run([*AS_ROOT, "mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert run(partial(whole, disk / "run", config), log) == 0
        assert json.loads((disk / "run" / "summary.json").read_text())["steps"] == 16
        assert not list(disk.rglob("*.tmp"))
    print(f"{size} KiB: stopped after step {before}")


@pytest.mark.parametrize("size", [1, 4, 12, 30])
def test_a_file_that_cannot_grow_is_one_line_and_without_the_limit_it_goes_on(config, tmp_path, size):
    """The limits stop the run at its recipe, its figures, its optimiser's state or its weights."""
    folder, log = tmp_path / "run", tmp_path / "log"
    assert run(partial(with_small_files, size, partial(whole, folder, config)), log) == 1
    line = last_line(log)
    assert str(folder) in line
    assert "cannot be written (File too large): check the path and its rights" in line
    checkpoints = folder / "checkpoints"
    for kept in [*numbered_folders(checkpoints, "step"), *numbered_folders(checkpoints, "best")]:
        assert not checkpoint_fault(kept)
    assert run(partial(whole, folder, config), log) == 0
    assert json.loads((folder / "summary.json").read_text())["steps"] == 16
    assert not list(folder.rglob("*.tmp"))


def test_a_full_disk_keeps_the_file_that_was_there(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        write_text(disk / "a.txt", "old")
        with pytest.raises(Exception, match="No space left"):
            write_text(disk / "a.txt", "new" * 100_000)
        assert [(path.name, path.read_text()) for path in disk.iterdir()] == [("a.txt", "old")]


def test_a_file_larger_than_allowed_is_one_line(tmp_path):
    def written():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        with pytest.raises(Exception, match=r"a.txt: cannot be written \(File too large\)"):
            write_text(tmp_path / "a.txt", "new" * 1000)

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        written()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(config, tmp_path):
    log = tmp_path / "log"
    with small_disk(tmp_path / "disk", 100, ",ro") as disk:
        assert run(partial(whole, disk / "run", config), log) == 1
        assert "cannot be written (Read-only file system): check the path and its rights" in last_line(log)
    (tmp_path / "file").write_text("mine")
    assert run(partial(whole, tmp_path / "file" / "run", config), log) == 1
    assert "cannot be written (Not a directory): check the path and its rights" in last_line(log)


def test_a_run_that_loses_its_disk_can_go_on_elsewhere(config, tmp_path):
    log = tmp_path / "log"
    with small_disk(tmp_path / "disk", 4000) as disk:
        killed = partial(whole, disk / "run", config, (["translora.training.step:Stepper.step"], 8))
        assert run(killed) == -signal.SIGKILL
        subprocess.run([*AS_ROOT, "mount", "-o", "remount,ro", str(disk)], check=True)
        assert run(partial(whole, disk / "run", config), log) == 1
        assert "Read-only file system" in last_line(log)
        subprocess.run(["cp", "-r", str(disk / "run"), str(tmp_path / "copy")], check=True)
    assert run(partial(whole, tmp_path / "copy", config), log) == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "copy" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 16


def test_a_folder_in_use_by_another_run_is_refused_and_a_dead_one_holds_nothing(config, tmp_path):
    save_config(config, tmp_path / "recipe.yaml")
    folder, log = tmp_path / "run", tmp_path / "log"
    train = partial(command, "train", str(tmp_path / "recipe.yaml"), f"--output={folder}")
    first = Process(train)
    wait_for(lambda: steps_done(folder) >= 2, first)
    first.signal(signal.SIGSTOP)
    try:
        assert run(train, log) == 1
    finally:
        first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert last_line(log).endswith("run: another process is at work in it: wait for it, or choose another --output")
    assert run(train) == 0


def test_what_a_killed_process_left_is_removed(config, tmp_path):
    folder = tmp_path / "run"
    killed = partial(whole, folder, config, (["os:replace"], 9))
    assert run(killed) == -signal.SIGKILL
    assert list(folder.rglob("*.tmp"))
    assert run(partial(whole, folder, config)) == 0
    assert not list(folder.rglob("*.tmp"))


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyError), atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]
