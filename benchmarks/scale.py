"""Training on several ranks: tokens a second, and the bytes and the time of the all-reduce.

    python benchmarks/scale.py                          FLAN-T5-small's shape, 1 and 2 ranks on the CPU
    python benchmarks/scale.py --shape base --method full

Three sides take the same steps of the same pairs, in turn: 1 rank with 1 thread, 1 rank with 2 threads, and 2 ranks
with 1 thread each, which cut each step in two. "Of 2 threads" is what the second core brings as a rank instead of a
thread. Then 2 ranks add up gradients of the sizes that adapters of rank 8 on q and v have; the bytes follow from the
shapes. The ranks are on this machine: a network adds its own latency and bandwidth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.distributed import TCPStore
from train_side import evenly, stepper_of
from workload import SHAPES, in_turns, workload

from translora.data.batching import epoch_batches
from translora.training.ranks import Ranks, joined

SIDES = {"1 rank, 1 thread": (1, 1), "1 rank, 2 threads": (1, 2), "2 ranks, 1 thread each": (2, 1)}
LORA_RANK = 8
WARM_UP = 2
REPEATS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--lengths", choices=("corpus", "news"), default="news")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="padded tokens of a step")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each side in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    runs = in_turns(
        options,
        lambda side, data: start(*SIDES[side], options, data),
        lambda one: f"{one['tokens_per_second']:.0f} tokens/s",
    )
    report = {"sides": figures(runs), "all_reduce": all_reduces(runs), "options": chosen(options)}
    show(report, options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def chosen(options: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(options).items() if key not in ("json", "worker")}


def start(ranks: int, threads: int, options: Any, data: str) -> dict[str, Any]:
    """The figures of one side, in processes of their own; the store is kept here, as torchrun keeps it."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    flags = ("shape", "method", "lengths", "batch_tokens", "steps")
    command = [sys.executable, __file__, f"--worker={data}"]
    command += [f"--{flag.replace('_', '-')}={getattr(options, flag)}" for flag in flags]
    processes = []
    for rank in range(ranks):
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
        environment = {
            **os.environ,
            **{name: str(value) for name, value in places.items()},
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "OMP_NUM_THREADS": str(threads),
        }
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(f"{ranks} ranks failed: see above")
    result: dict[str, Any] = json.loads(outputs[0].splitlines()[-1])
    return result


def work(options: Any) -> None:
    """Take the steps as one of the ranks; rank 0 prints the figures."""
    data = workload(options.lengths, options.worker)
    source, target = data.source_lengths, data.target_lengths
    with joined() as ranks:
        stepper = stepper_of(options, data)
        stepper.ranks = ranks
        every = epoch_batches(source, target, options.batch_tokens, seed=1, epoch=0)
        batches = evenly(every, lambda pairs: float(source[pairs].sum() / len(pairs)), options.steps)
        seconds = []
        for number, pairs in enumerate([*batches[:WARM_UP], *batches]):
            started = time.perf_counter()
            stepper.step(number, pairs)
            if number >= min(WARM_UP, len(batches)):
                seconds.append(time.perf_counter() - started)
        tokens = sum(int(source[pairs].sum() + target[pairs].sum()) for pairs in batches)
        found = {"tokens_per_second": tokens / sum(seconds), "all_reduce": {}}
        if ranks.size > 1:
            found["all_reduce"] = {shape: time_of(ranks, lora_numbers(shape)) for shape in SHAPES}
        if ranks.first:
            print(json.dumps(found))


def lora_numbers(shape: str) -> int:
    """The trained numbers of an adapter of rank 8 on q and v: three attentions for each layer of the two stacks."""
    sizes = SHAPES[shape]
    inner = sizes["num_heads"] * sizes["d_kv"]
    return 3 * sizes["num_layers"] * 2 * LORA_RANK * (sizes["d_model"] + inner)


def time_of(ranks: Ranks, numbers: int) -> float:
    """The seconds of adding up gradients of so many numbers in float32, with the loss, as a step does."""
    parameter = torch.nn.Parameter(torch.zeros(numbers))
    seconds = []
    for _ in range(REPEATS):
        parameter.grad = torch.ones(numbers)
        ranks.any(False)  # both begin at the same moment
        started = time.perf_counter()
        ranks.add_up(1.0, [parameter])
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def figures(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        side: {
            "tokens_per_second": statistics.median(run["tokens_per_second"] for run in done),
            "rounds": [run["tokens_per_second"] for run in done],
        }
        for side, done in runs.items()
    }


def all_reduces(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Bytes and seconds by shape; no seconds where no side had two ranks."""
    measured = [run["all_reduce"] for done in runs.values() for run in done if run["all_reduce"]]
    return {
        shape: {
            "bytes": 4 * lora_numbers(shape),
            "seconds": statistics.median(one[shape] for one in measured) if measured else None,
        }
        for shape in SHAPES
    }


def show(report: dict[str, Any], options: Any) -> None:
    title = f"flan-t5-{options.shape} shape, {options.method}, steps of {options.batch_tokens:,} padded tokens"
    table = Table(title=title)
    for heading in ("", "tokens/s (range)", "of 2 threads"):
        table.add_column(heading, justify="right" if heading else "left")
    whole = report["sides"].get("1 rank, 2 threads", {}).get("tokens_per_second")
    for side, one in report["sides"].items():
        rate, rounds = one["tokens_per_second"], one["rounds"]
        share = f"{rate / whole:.0%}" if whole else ""
        table.add_row(side, f"{rate:.0f} ({min(rounds):.0f} to {max(rounds):.0f})", share)
    Console(width=110).print(table)
    table = Table(title="the all-reduce of a step: LoRA of rank 8 on q and v, float32, two ranks on this machine")
    for heading in ("", "bytes", "milliseconds"):
        table.add_column(heading, justify="right" if heading else "left")
    for shape, one in report["all_reduce"].items():
        seconds = "" if one["seconds"] is None else f"{1000 * one['seconds']:.2f}"
        table.add_row(f"flan-t5-{shape} shape", f"{one['bytes']:,}", seconds)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
