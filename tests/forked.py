"""Commands and scripts as processes of their own, forked from a server that has imported everything already.

Starting Python and importing torch takes seconds, many times over. What a program says, its exit code and the signals
that it gets are as if it had been started from a shell.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from process import Process


class Done(NamedTuple):
    """How a program ended."""

    returncode: int
    stdout: str
    stderr: str


class Program(Process):
    """A program under way that reads a text as its input; it is asked as a `subprocess.Popen` is."""

    def __init__(self, work: Callable[[], object], cwd: Path | None = None, text: str = "") -> None:
        """`work` is a module-level function or a partial of one. The environment is that of this process."""
        self._files = Path(tempfile.mkdtemp())
        self._said: tuple[str, str] | None = None
        (self._files / "stdin").write_text(text, encoding="utf-8")
        super().__init__(partial(_attached, work, self._files, cwd or Path.cwd(), dict(os.environ)))

    send_signal = Process.signal

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal that killed it; None while it is under way."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See `returncode`."""
        return self.returncode

    def kill(self) -> None:
        """Kill it, and wait until it is gone; a program that has ended stays so."""
        self.signal(signal.SIGKILL)
        self.communicate()

    @property
    def errors(self) -> str:
        """What it has written on standard error until now."""
        file = self._files / "stderr"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def communicate(self) -> tuple[str, str]:
        """What it wrote on standard output and standard error, once it has ended."""
        self.wait()
        if self._said is None:
            out, err = ((self._files / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
            self._said = out, err
            shutil.rmtree(self._files)
        return self._said


def start(*arguments: object, cwd: Path | None = None, text: str = "") -> Program:
    """A command of translora, under way."""
    return Program(partial(_command, [*map(str, arguments)]), cwd, text)


def translora(*arguments: object, cwd: Path | None = None, text: str = "") -> Done:
    """How a command of translora ended."""
    return _ended(start(*arguments, cwd=cwd, text=text))


def script(path: Path, *arguments: object) -> Done:
    """How `python PATH ARGUMENTS` ended in the folder of the script."""
    return _ended(Program(partial(_script, path, [*map(str, arguments)]), path.parent))


def _ended(program: Program) -> Done:
    out, err = program.communicate()
    return Done(program.wait(), out, err)


def _attached(work: Callable[[], object], files: Path, cwd: Path, environment: Mapping[str, str]) -> None:
    """Do `work` with the files as its standard streams."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for number, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT))
    ):
        os.dup2(os.open(files / name, flags), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    work()


def _command(arguments: list[str]) -> None:
    from translora.cli import main

    sys.argv = ["translora", *arguments]
    main(arguments)


def _script(path: Path, arguments: list[str]) -> None:
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")
