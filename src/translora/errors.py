"""The exception tree: every error that a user can cause. Each message says what is wrong, where, and what to do.

The command line prints the message of a `TransloraError` as one line and exits with its `exit_code`; any other
exception is a defect of translora and keeps its traceback.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

_SHOWN = 8
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+\s*")


def _in_one_line(message: str) -> str:
    return _NOT_IN_A_LINE.sub(" ", message)


def reason_of(error: BaseException) -> str:
    """The first line of the message of another library's error, or the name of its class where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class TransloraError(Exception):
    """A mistake or a circumstance that the user can mend; the base of all others here."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        """`message` becomes one line: its quotes from files and libraries may hold line ends and escape codes."""
        super().__init__(_in_one_line(message))


class ConfigError(TransloraError):
    """A recipe or a flag that cannot be used."""

    exit_code = 2


class DataError(TransloraError):
    """A corpus that cannot be read; the message names the file and, where there is one, the line."""


class StorageError(TransloraError):
    """A file or folder that cannot be written, or that another process is at work in."""


class ModelError(TransloraError):
    """A model, tokenizer or adapter that cannot be loaded or does not fit the recipe."""


class CanaryError(ModelError):
    """The model broke a rule of its family in the check before training."""


class TrainingError(TransloraError):
    """Training had to stop; the last good checkpoint is kept."""


class NotFiniteError(TrainingError):
    """A loss, gradient or weight is infinite or not a number; the files on disk are those from before the step."""

    def __init__(self, fault: str, advice: str, step: int, pairs: Sequence[int]) -> None:
        """`step` and the indices of its training pairs, `pairs`, count from 0."""
        super().__init__(fault)
        self.fault, self.advice, self.step, self.pairs = fault, advice, step, pairs
        self.names = [str(pair + 1) for pair in pairs]
        """The pairs as the message names them; who knows their files sets it."""

    def __str__(self) -> str:
        shown = ", ".join(self.names[:_SHOWN])
        more = f", ... ({len(self.names)} in all)" if len(self.names) > _SHOWN else ""
        return _in_one_line(f"{self.fault} at step {self.step + 1}, on training pairs {shown}{more}: {self.advice}")


class OutOfMemoryError(TrainingError):
    """The memory of the machine does not hold the run."""


class RankError(TransloraError):
    """A rank of a training on several processes is missing, gone or does not answer."""


class ClusterError(TransloraError):
    """A cluster of Ray that does not answer, or whose workers cannot do the work."""


class OtherRankError(TransloraError):
    """Another rank failed, and tells the reason; this one ends with the same exit code and without a word."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another rank failed: see its message")
        self.exit_code = exit_code


class InterruptedRunError(TransloraError):
    """The user interrupted a run; its message says how to go on."""

    exit_code = 128 + signal.SIGINT

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        """`signal_number` is that of the signal that asked to stop."""
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Terminated(KeyboardInterrupt):
    """SIGTERM, where nothing has to be kept: it ends the program as Ctrl-C does, with its own exit code."""
