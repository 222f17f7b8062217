"""Where the time of a training step goes, by kind of operation, for translora's path or the model's own.

    python benchmarks/step_profile.py                            translora's, the embedded corpus as it is
    python benchmarks/step_profile.py --path own --lengths news  the forward pass of transformers and PEFT
    python benchmarks/step_profile.py --width 1024 --length 16   sentences of one length, in a model of another width
    python benchmarks/step_profile.py --grid                     a table over many lengths and widths

"elsewhere" is what the wall clock shows and no operation does: Python, and the starting of operations. The shares are
those of profiled steps, which are a little slower than the step whose time is shown.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table
from train_side import WARM_UP, evenly, stepper_of, warm_up
from workload import SHAPES, matrix_rate, step_flops, workload

from translora.data.batching import epoch_batches
from translora.data.tokens import TokenisedCorpus

KINDS = {
    "matrix products": ("mm", "addmm", "addmm_", "linear"),
    "attention": ("bmm", "_softmax", "_softmax_backward_data", "baddbmm", "_scaled_dot_product", "masked_fill"),
    "gather, scatter, copy": ("index", "copy", "gather", "scatter", "embedding", "cat", "fill_", "zero_", "clone"),
    "optimiser": ("_fused_adamw", "_foreach"),
}
REST = "norms, gates, softmax of the head, sums"
GRID_LENGTHS = (16, 32, 64, 128, 256, 512)
GRID_WIDTHS = (256, 512, 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", choices=("fast", "own"), default="fast")
    parser.add_argument("--lengths", choices=("corpus", "news"), default="corpus")
    parser.add_argument("--length", type=int, help="instead: sentences of this many tokens on either side")
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--width", type=int, help="another model width, feed-forward and heads in proportion")
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    if options.grid:
        figures = [_cell(options, length, width) for width in GRID_WIDTHS for length in GRID_LENGTHS]
        _show_grid(figures, options)
    else:
        figures = [measure(options)]
        _show(figures[0], options)
    if options.json:
        options.json.write_text(json.dumps(figures if options.grid else figures[0], indent=2) + "\n", encoding="utf-8")


def measure(options: Any) -> dict[str, Any]:
    """Seconds a step of each kind of operation, and the share of the matrix rate that the step reaches."""
    data = _constant(options.length, options.batch_tokens) if options.length else workload(options.lengths)
    stepper = stepper_of(options, data, fast=options.path == "fast")
    source, target = data.source_lengths, data.target_lengths
    every = epoch_batches(source, target, options.batch_tokens, seed=1, epoch=0)
    batches = evenly(every, lambda pairs: float(source[pairs].sum() / len(pairs)), min(options.steps, len(every)))
    for number, pairs in enumerate(warm_up(every, source, target)):
        stepper.step(number, pairs)
    device, dtype = stepper.translator.device, stepper.translator.dtype
    rate = matrix_rate(device, dtype)
    started = time.perf_counter()
    for number, pairs in enumerate(batches):
        stepper.step(WARM_UP + number, pairs)
    if device.type == "cuda":
        torch.cuda.synchronize()
    wall = (time.perf_counter() - started) / len(batches)
    shares = _shares(stepper, batches, device.type == "cuda")
    pairs = np.concatenate(batches)
    flops = step_flops(stepper.translator.model.config, source[pairs], target[pairs], options.method) / len(batches)
    tokens = int(source[pairs].sum() + target[pairs].sum()) / len(batches)
    return {
        "seconds_per_step": wall,
        "real_tokens_per_step": tokens,
        "real_tokens_per_second": tokens / wall,
        "share_of_matrix_rate": flops / wall / rate,
        "matrix_rate_flops": rate,
        "shares": shares,
    }


def _shares(stepper: Any, batches: list[Any], on_gpu: bool) -> dict[str, float]:
    """The share of the time that goes to operations of each kind."""
    activities = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * on_gpu
    with torch.profiler.profile(activities=activities) as profile:
        started = time.perf_counter()
        for number, pairs in enumerate(batches):
            stepper.step(number, pairs)
        wall = time.perf_counter() - started
    seconds: dict[str, float] = defaultdict(float)
    for event in profile.key_averages():
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if event.key.startswith("aten::"):
            seconds[_kind(event.key[6:])] += spent / 1e6
    shares = {kind: spent / wall for kind, spent in sorted(seconds.items(), key=lambda item: -item[1])}
    return {**shares, "elsewhere": 1 - sum(shares.values())}


def _kind(operation: str) -> str:
    for kind, names in KINDS.items():
        exact = kind == "matrix products"
        if any(operation == name if exact else operation.startswith(name) for name in names):
            return kind
    return REST


def _constant(length: int, tokens: int) -> TokenisedCorpus:
    """Sentences of `length` tokens on either side, enough for some batches of `tokens` tokens."""
    random = np.random.default_rng(0)
    rows = random.integers(2, 8000, (8 * max(1, tokens // (2 * length)), length)).tolist()
    column = pa.array(rows, pa.large_list(pa.int32()))
    return TokenisedCorpus(pa.table({"source": column, "target": column}), pad_id=0)


def _cell(options: Any, length: int, width: int) -> dict[str, Any]:
    """What `measure` gives for sentences of one length in a model of one width."""
    options.length, options.width = length, width
    figures = {"length": length, "width": width, **measure(options)}
    print(f"width {width}, length {length}: {figures['real_tokens_per_second']:.0f} tokens/s", file=sys.stderr)
    return figures


def _show_grid(cells: list[dict[str, Any]], options: Any) -> None:
    """Tokens a second and the share of the matrix rate for each length and width."""
    table = Table(title=f"steps of {options.batch_tokens} tokens of the {options.path} path, {options.method}")
    kinds = ("matrix products", "attention", "gather, scatter, copy", REST, "elsewhere")
    for heading in ("width", "length", "tokens/s", "of matrix rate", *kinds):
        table.add_column(heading, justify="right")
    for cell in cells:
        shares = (f"{cell['shares'].get(kind, 0.0):.0%}" for kind in kinds)
        rate = f"{cell['real_tokens_per_second']:.0f}", f"{cell['share_of_matrix_rate']:.0%}"
        table.add_row(str(cell["width"]), str(cell["length"]), *rate, *shares)
    Console(width=130).print(table)


def _show(figures: dict[str, Any], options: Any) -> None:
    wall = figures["seconds_per_step"]
    table = Table(title=f"a step of the {options.path} path: {figures['real_tokens_per_step']:.0f} real tokens")
    table.add_column("")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for kind, share in figures["shares"].items():
        table.add_row(kind, f"{share * wall * 1e3:.0f}", f"{share:.0%}")
    table.add_row("the whole step", f"{wall * 1e3:.0f}", f"{figures['share_of_matrix_rate']:.0%} of the matrix rate")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
