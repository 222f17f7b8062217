"""Training speed and memory: translora against `Seq2SeqTrainer` + peft, both sides in one run.

    python benchmarks/train_throughput.py                        the embedded corpus as it is
    python benchmarks/train_throughput.py --lengths news         its text cut to the lengths of news
    python benchmarks/train_throughput.py --method full          every weight trained

A model of FLAN-T5's shape with random weights, LoRA of rank 8 on q and v. Each side runs in a process of its own, so
that its peak memory is its own, and the sides take turns, so that what else the machine does hits all alike. A side
first takes its two largest batches, untimed, then batches spread evenly over all lengths. "of matrix rate" is the
arithmetic that the real tokens need, against a 2048 x 2048 matrix product timed in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from train_side import SIDES
from workload import SHAPES, in_turns

FIGURES = ("pairs_per_second", "real_tokens_per_second", "peak_memory_bytes", "share_of_matrix_rate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", choices=("corpus", "news"), default="corpus")
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each side in each round")
    parser.add_argument("--batch", type=int, default=16, help="pairs of a batch of the trainer")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="translora's budget, padded tokens")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    runs = in_turns(
        options, lambda side, data: _run(side, options, data), lambda one: f"{one['pairs_per_second']:.2f} pairs/s"
    )
    _show(runs, options)
    if options.json:
        options.json.write_text(json.dumps(_report(runs, options), indent=2) + "\n", encoding="utf-8")


def _run(side: str, options: Any, data: str) -> dict[str, Any]:
    flags = ("lengths", "method", "shape", "steps", "batch", "batch_tokens")
    command = [sys.executable, str(Path(__file__).with_name("train_side.py")), side, "--data", data]
    command += [f"--{flag.replace('_', '-')}={getattr(options, flag)}" for flag in flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _median(runs: list[dict[str, Any]], figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


def _show(runs: dict[str, list[dict[str, Any]]], options: Any) -> None:
    sizes = f"the trainer's batches of {options.batch} pairs, translora's of {options.batch_tokens} tokens"
    title = f"flan-t5-{options.shape} shape, {options.method}, {options.lengths} lengths; {sizes}"
    table = Table(title=title, min_width=100)
    for heading in ("", "pairs/s (range)", "real tokens/s", "peak memory", "of matrix rate", "padding", "translora is"):
        table.add_column(heading, justify="right" if heading else "left")
    ours = _median(runs["translora"], "pairs_per_second") if "translora" in runs else None
    for side, done in runs.items():
        speeds = [run["pairs_per_second"] for run in done]
        table.add_row(
            SIDES[side],
            f"{statistics.median(speeds):.2f} ({min(speeds):.2f} to {max(speeds):.2f})",
            f"{_median(done, 'real_tokens_per_second'):.0f}",
            f"{_median(done, 'peak_memory_bytes') / 2**30:.2f} GiB",
            f"{_median(done, 'share_of_matrix_rate'):.0%}",
            f"{done[0]['padding']:.0%}",
            f"{ours / statistics.median(speeds):.1f} x" if ours and side != "translora" else "",
        )
    Console(width=130).print(table)


def _report(runs: dict[str, list[dict[str, Any]]], options: Any) -> dict[str, Any]:
    sides = {}
    for side, done in runs.items():
        sides[side] = {figure: _median(done, figure) for figure in FIGURES}
        sides[side]["rounds"] = done
    rates = [run["matrix_rate_flops"] for done in runs.values() for run in done]
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }
    chosen = {key: value for key, value in vars(options).items() if key != "json"}
    return {"sides": sides, "matrix_rate_flops": statistics.median(rates), "machine": machine, "options": chosen}


if __name__ == "__main__":
    main()
