"""A process of its own for a job that is killed or signalled, forked from a server that has imported everything."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pkgutil
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from translora.errors import TransloraError

_SERVER = multiprocessing.get_context("forkserver")  # this process has threads, which a fork does not take along
_SERVER.set_forkserver_preload(
    [
        "pandas", "pytest", "torch._dynamo", "translora.cli", "translora.pipeline",
        "lxml.etree", "matplotlib.figure", "matplotlib.backends.backend_svg", "pyarrow.pandas_compat",
        "sacrebleu.significance", "babel.dates", "babel.numbers", "torch.distributed.fsdp", "translora.report.run",
    ]
)  # fmt: skip


class Process:
    """A process that does `work`, a module-level function or a partial of one; what it says goes to the file `log`."""

    def __init__(self, work: Callable[[], object], log: Path | None = None) -> None:
        self._started = time.monotonic()
        self._process = _SERVER.Process(target=_do, args=(work, log), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, or minus the signal that killed it."""
        self._process.join()
        self.seconds = time.monotonic() - self._started
        return self._process.exitcode

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()


def _do(work: Callable[[], object], log: Path | None) -> None:
    gc.freeze()  # what the server imported is no garbage
    output = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        work()
    except TransloraError as error:
        os.write(2, f"{error}\n".encode())
        os._exit(error.exit_code)


def run(work: Callable[[], object], log: Path | None = None) -> int:
    """The exit code of `work`, done in a process of its own."""
    return Process(work, log).wait()


def run_all(works: list[Callable[[], object]], logs: list[Path] | None = None) -> list[int]:
    """The exit codes of `works`, done beside each other."""
    processes = [Process(work, log) for work, log in zip(works, logs or [None] * len(works), strict=True)]
    return [process.wait() for process in processes]


WRITES = [
    *(f"os:{name}" for name in ("fsync", "replace", "rename", "chmod", "mkdir", "unlink", "rmdir")),
    "translora.io.files:write_text",
    "translora.training.checkpoint:save_file",
]
"""All that changes what is on disk."""


def signal_before(calls: list[str], number: int, signals: list[int]) -> None:
    """Have this process send itself `signals` just before the `number`-th call of any of `calls`.

    Each call is given as `module:attribute`.
    """
    left = [number]

    def count_down() -> None:
        left[0] -= 1
        if left[0] == 0:
            for sent in signals:
                os.kill(os.getpid(), sent)

    _before(calls, count_down)


def copy_before(calls: list[str], folder: Path) -> None:
    """Before each call of any of `calls`, copy `folder` to `folder`-at-N as a kill at that moment would leave it.

    N counts the calls. A state that equals the last one copied is not copied again: a kill before a call that only
    makes durable what is there already leaves the same.
    """
    counted, last = [0], [[("", b"")]]

    def copy() -> None:
        counted[0] += 1
        state = [
            (str(path.relative_to(folder)), path.read_bytes() if path.is_file() else b"")
            for path in sorted(folder.rglob("*"))
        ]
        if state != last[0]:
            last[0] = state
            with _real_calls(calls):
                shutil.copytree(folder, folder.with_name(f"{folder.name}-at-{counted[0]}"))

    _before(calls, copy)


_REAL: dict[str, Callable[..., object]] = {}


def _before(calls: list[str], act: Callable[[], None]) -> None:
    """Have `act` called before each call of any of `calls`."""

    def preceded(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            act()
            return real(*arguments, **options)

        return call

    for name in calls:
        owner, attribute = _place(name)
        _REAL[name] = getattr(owner, attribute)
        setattr(owner, attribute, preceded(_REAL[name]))


@contextmanager
def _real_calls(calls: list[str]) -> Iterator[None]:
    """Put the calls themselves back meanwhile."""
    places = [(name, *_place(name)) for name in calls]
    preceded = [getattr(owner, attribute) for _, owner, attribute in places]
    for name, owner, attribute in places:
        setattr(owner, attribute, _REAL[name])
    try:
        yield
    finally:
        for (_, owner, attribute), call in zip(places, preceded, strict=True):
            setattr(owner, attribute, call)


def _place(name: str) -> tuple[object, str]:
    place, _, attribute = name.replace(":", ".").rpartition(".")
    return pkgutil.resolve_name(place), attribute
