"""What 8, 64 and 512 ranks would do, from what one rank and two were measured to do.

    python benchmarks/scale_simulation.py --tokens-per-second 675
    python benchmarks/scale_simulation.py --tokens-per-second 675 --faster 100 --bandwidth 25

The steps are cut and shared out by the code that trains, over lengths of news text; only their times are computed:

- a micro-batch takes the arithmetic of its pairs, at the speed that makes one rank reach `--tokens-per-second` with
  flan-t5-small's shape (benchmarks/scale.py measures it), times `--faster` for another device; all shapes compute at
  that speed;
- a rank's time varies by `--jitter` (the standard deviation of its logarithm) from step to step, and all wait for the
  slowest;
- gradients are added up after the backward pass in a ring of all ranks: 2 (N - 1) / N of their bytes at `--bandwidth`,
  and 2 (N - 1) times `--latency`; then three exchanges of a few bytes, a latency for each halving of the ranks, twice;
- reading, validation, checkpoints and failures are left out.

A step has so many target tokens for each rank that it grows with them (`grows`), or as many for all ranks together
whatever their number (`fixed`). Efficiency is the tokens a second of N ranks over N times those of one.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scale import lora_numbers
from transformers import T5Config
from workload import SHAPES, flan_t5, news_lengths, step_flops

from translora.data.batching import Ints, epoch_groups, even_batches, micro_batches
from translora.io.files import write_json
from translora.training.ranks import shared_out

RANKS = (1, 2, 8, 64, 512)
STEPS = 8
EXCHANGES = 3


@dataclass(frozen=True)
class Setting:
    """What is assumed of the ranks and the network."""

    shape: T5Config
    gradient_bytes: int
    method: str
    flops: float
    """Floating point operations a second of a rank."""
    bandwidth: float
    """Bytes a second out of a rank."""
    latency: float
    """Seconds until a message arrives."""
    jitter: float
    budget: int
    """Padded tokens of a micro-batch, at most."""


def shape_config(shape: str) -> T5Config:
    return T5Config(vocab_size=32_128, feed_forward_proj="gated-gelu", **SHAPES[shape])


def compute_flops(setting: Setting, part: Ints, source: Ints, target: Ints) -> float:
    """The arithmetic of a micro-batch; the fast path has none for padding but in attention, which is little."""
    return step_flops(setting.shape, source[part], target[part], setting.method)


def network_seconds(setting: Setting, ranks: int) -> float:
    if ranks == 1:
        return 0.0
    ring = 2 * (ranks - 1) / ranks * setting.gradient_bytes / setting.bandwidth + 2 * (ranks - 1) * setting.latency
    return ring + EXCHANGES * 2 * math.ceil(math.log2(ranks)) * setting.latency


def simulated(setting: Setting, ranks: int, step_tokens: int, lengths: tuple[Ints, Ints]) -> dict[str, float]:
    """Tokens a second, and the shares of the time that ranks compute, wait for the slowest, and add up gradients."""
    source, target = lengths
    random = np.random.default_rng(0)
    tokens = seconds = computing = network = 0.0
    for pairs in epoch_groups(target, 0, step_tokens, seed=1, epoch=0)[:STEPS]:
        if ranks == 1:
            parts = micro_batches(pairs, source, target, setting.budget)
        else:
            parts = even_batches(pairs, source, target, setting.budget, ranks)
        shares = shared_out([int(source[part].sum() + target[part].sum()) for part in parts], ranks)
        flops = [compute_flops(setting, part, source, target) for part in parts]
        own = np.array([sum(flops[i] for i in share) for share in shares]) / setting.flops
        own *= np.exp(random.normal(0, setting.jitter, ranks))
        between = network_seconds(setting, ranks)
        tokens += float(source[pairs].sum() + target[pairs].sum())
        seconds += float(own.max()) + between
        computing += float(own.mean())
        network += between
    return {
        "tokens_per_second": tokens / seconds,
        "computing": computing / seconds,
        "waiting": 1 - (computing + network) / seconds,
        "network": network / seconds,
    }


def speed(arguments: argparse.Namespace, lengths: tuple[Ints, Ints]) -> float:
    """The operations a second with which one rank of the small shape reaches the tokens a second that were measured."""
    unit = Setting(shape_config("small"), 0, arguments.method, 1.0, 1.0, 0.0, 0.0, arguments.batch_tokens)
    found = simulated(unit, 1, arguments.step_tokens, lengths)
    return float(arguments.tokens_per_second * arguments.faster / found["tokens_per_second"])


def gradient_bytes(shape: str, method: str) -> int:
    if method == "lora":
        return 4 * lora_numbers(shape)
    with torch.device("meta"):
        return 4 * sum(one.numel() for one in flan_t5(shape, dropout=0.0).parameters())


def table_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    most = max(arguments.ranks) * arguments.step_tokens
    lengths = news_lengths(max(20_000, STEPS * most // 25))
    flops = speed(arguments, lengths)
    rows = []
    for shape in arguments.shapes:
        setting = Setting(
            shape_config(shape),
            gradient_bytes(shape, arguments.method),
            arguments.method,
            flops,
            arguments.bandwidth * 1e9 / 8,
            arguments.latency * 1e-6,
            arguments.jitter,
            arguments.batch_tokens,
        )
        for kind in ("grows", "fixed"):
            alone = None
            for ranks in arguments.ranks:
                step = arguments.step_tokens * (ranks if kind == "grows" else arguments.fixed)
                found = simulated(setting, ranks, step, lengths)
                alone = alone or found["tokens_per_second"] / ranks
                efficiency = found["tokens_per_second"] / ranks / alone
                rows.append(
                    {
                        "shape": shape,
                        "step": kind,
                        "ranks": ranks,
                        "step_tokens": step,
                        "efficiency": efficiency,
                        **found,
                    }
                )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="simulated")
    for heading in ("", "step", "ranks", "target tokens a step", "tokens/s", "efficiency", "waiting", "network"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        shares = (f"{row[name]:.1%}" for name in ("efficiency", "waiting", "network"))
        counts = (f"{row[name]:,.0f}" for name in ("ranks", "step_tokens", "tokens_per_second"))
        table.add_row(f"flan-t5-{row['shape']}", row["step"], *counts, *shares)
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens-per-second", type=float, required=True, help="real ones, of one rank, small shape")
    parser.add_argument("--faster", type=float, default=1, help="how much faster the device is than the measured one")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["small", "base", "xl"])
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--ranks", type=int, nargs="+", default=list(RANKS))
    parser.add_argument("--batch-tokens", type=int, default=4096, help="padded tokens of a micro-batch, at most")
    parser.add_argument("--step-tokens", type=int, default=4096, help="target tokens of a step for each rank")
    parser.add_argument("--fixed", type=int, default=16, help="a fixed step has as many as so many ranks")
    parser.add_argument("--bandwidth", type=float, default=10, help="Gbit/s of a rank's network")
    parser.add_argument("--latency", type=float, default=50, help="microseconds")
    parser.add_argument("--jitter", type=float, default=0.02)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    rows = table_of(arguments)
    show(rows)
    if arguments.json:
        write_json(arguments.json, {"options": {**vars(arguments), "json": None}, "rows": rows})


if __name__ == "__main__":
    main()
