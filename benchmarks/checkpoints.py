"""What checkpoints cost: their share of the training time of the demo, at the default interval.

    python benchmarks/checkpoints.py                    the demo's training, once: two minutes on two cores
    python benchmarks/checkpoints.py --steps 60         a part of it
    python benchmarks/checkpoints.py --method full      every weight, which a checkpoint then holds three times

Validation is left out of both times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from translora import train
from translora.config.load import load_config
from translora.io import console
from translora.io.files import read_json, write_json
from translora.training.checkpoint import Checkpoints


class Clock:
    """Adds up the time of a method's calls."""

    def __init__(self, name: str) -> None:
        self.calls, self.seconds, self._real = 0, 0.0, getattr(Checkpoints, name)
        clock = self

        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = clock._real(*arguments)
            clock.seconds += time.perf_counter() - started
            clock.calls += 1
            return result

        setattr(Checkpoints, name, timed)


def measure(recipe: str, method: str, steps: int) -> dict[str, Any]:
    """One training of a recipe, and what of its time went into checkpoints."""
    clocks = [Clock(name) for name in ("save", "save_best")]
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--output={folder}/run", f"--method={method}", f"--training.max_steps={steps}"]
        run = train(load_config(recipe, flags), score=False)
        last = max(run.checkpoints.glob("step-*"))
        return {
            "recipe": recipe,
            "method": method,
            "checkpoints": clocks[0].calls,
            "checkpoint_bytes": sum(file.stat().st_size for file in last.iterdir()),
            "checkpoint_seconds": sum(clock.seconds for clock in clocks),
            "train_seconds": read_json(last / "state.json")["state"]["seconds"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--method", default="lora", choices=["lora", "full"])
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps; 0 leaves it to the recipe")
    parser.add_argument("--json", default="", help="also write the figures to this file")
    arguments = parser.parse_args()
    found = measure(arguments.recipe, arguments.method, arguments.steps)
    console.show_table(
        f"Checkpoints of recipe {found['recipe']}, method {found['method']}, at the default interval",
        ["training", "checkpoints", "each", "in all", "of the training time"],
        [
            [f"{found['train_seconds']:.1f} s", str(found["checkpoints"]),
             f"{found['checkpoint_bytes'] / 2**20:.1f} MiB", f"{found['checkpoint_seconds']:.2f} s",
             f"{found['checkpoint_seconds'] / found['train_seconds']:.2%}"]
        ],
    )  # fmt: skip
    if arguments.json:
        write_json(Path(arguments.json), found)


if __name__ == "__main__":
    main()
