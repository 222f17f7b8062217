"""One training run in a process of its own, so that peak memory is its own: `python -m translora.comparison.process`.

Arguments: the recipe, the file for the outcome, and `train` or `score`. The outcome is JSON with `exit_code`, `message`
and `again`: whether another attempt may succeed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from translora.config.load import load_config
from translora.errors import ConfigError, DataError, ModelError, NotFiniteError, TransloraError
from translora.io.files import write_json
from translora.pipeline import train

_POLL_SECONDS = 1.0
_LASTING = (ConfigError, DataError, ModelError, NotFiniteError)
"""Errors that every attempt ends with."""


def main() -> None:
    """Run the job; a mistake of the user is recorded in the outcome file, a defect keeps its traceback."""
    recipe, outcome, stage = sys.argv[1:]
    threading.Thread(target=_stop_with, args=(os.getppid(),), daemon=True).start()
    try:
        train(load_config(recipe), score=stage == "score")
        result = {"exit_code": 0, "message": "", "again": False}
    except TransloraError as error:
        result = {"exit_code": error.exit_code, "message": str(error), "again": not isinstance(error, _LASTING)}
    except KeyboardInterrupt:
        result = {"exit_code": 128 + signal.SIGINT, "message": "interrupted", "again": True}
    write_json(Path(outcome), result)


def _stop_with(parent: int) -> None:
    """End this run, with a checkpoint, once the process that started it is gone."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
