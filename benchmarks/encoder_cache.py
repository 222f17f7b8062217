"""What it saves to compute the encoder's states once, where only the decoder is adapted (`freeze: [encoder]`).

    python benchmarks/encoder_cache.py                  a model of FLAN-T5 small's shape, news lengths
    python benchmarks/encoder_cache.py --shape mini     the embedded base and corpus

One process takes the same steps with kept states and without them, in turns, and counts the processor time of each.
The states are computed before, on the pairs of these steps, and their time is shown for itself: it is spent once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from train_side import evenly
from workload import SHAPES, flan_t5, workload

from translora.config import LoraConfig, TrainingConfig
from translora.config.load import load_config
from translora.data.batching import epoch_batches
from translora.models.budget import Budget
from translora.models.hardware import choose_device, choose_dtype, keep_freed_memory
from translora.models.load import LoadedModel, load
from translora.models.lora import attach
from translora.training.encoded import encoder_states_in, state_bytes
from translora.training.optimizer import build_optimizer
from translora.training.plan import Plan
from translora.training.step import Stepper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=("mini", *SHAPES), default="small")
    parser.add_argument("--lengths", choices=("corpus", "news"), default="news")
    parser.add_argument("--targets", default="q,v")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="steps of each side in each round")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    figures = measure(options)
    _show(figures, options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(options: Any) -> dict[str, Any]:
    """Processor seconds of each round of steps with and without kept states, and of computing the states."""
    keep_freed_memory()
    data = workload(options.lengths)
    every = epoch_batches(data.source_lengths, data.target_lengths, options.batch_tokens, seed=1, epoch=0)
    steps = evenly(every, lambda pairs: float(data.source_lengths[pairs].sum() / len(pairs)), options.steps)
    chosen = data.take(np.concatenate(steps))
    ends = np.cumsum([len(pairs) for pairs in steps])
    places = [np.arange(end - len(pairs), end) for end, pairs in zip(ends, steps, strict=True)]
    translator = _translator(options)
    training = TrainingConfig(batch_tokens=options.batch_tokens, epochs=2)
    optimizer = build_optimizer(translator.model, training)
    stepper = Stepper(translator, chosen, optimizer, training, 1, Budget(options.batch_tokens))
    plan = Plan(chosen.source_lengths, chosen.target_lengths, training, 1)
    rounds: dict[str, list[float]] = {"computed": [], "kept": []}
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        with encoder_states_in(Path(folder), translator, chosen, plan, 0, stepper.budget) as states:
            once = time.process_time() - started
            stepper.step(0, places[0])
            for _ in range(options.rounds):
                for side in rounds:
                    stepper.encoded = states if side == "kept" else None
                    started = time.process_time()
                    for number, pairs in enumerate(places):
                        stepper.step(number, pairs)
                    rounds[side].append(time.process_time() - started)
    tokens = int(chosen.source_lengths.sum())
    return {"rounds": rounds, "once": once, "source_tokens": tokens, "bytes": state_bytes(translator, chosen)}


def _translator(options: Any) -> LoadedModel:
    """The model with an adapter in its decoder alone."""
    lora = LoraConfig(rank=8, targets=options.targets)
    if options.shape == "mini":
        translator = load(load_config("demo"))
        translator.model = attach(translator.model, lora, "mini", 1, frozen=["encoder"])
        return translator
    device = choose_device("cpu")
    model = attach(flan_t5(options.shape, dropout=0.0), lora, "flan-t5", 1, frozen=["encoder"])
    family: Any = SimpleNamespace(name="t5")
    tokenizer: Any = None
    return LoadedModel(model, tokenizer, family, "", "flan-t5", device, choose_dtype("auto", device), "fast")


def _show(figures: dict[str, Any], options: Any) -> None:
    computed, kept = (figures["rounds"][side] for side in ("computed", "kept"))
    ratios = [one / other for one, other in zip(computed, kept, strict=True)]
    table = Table(title=f"{options.shape}: {options.steps} steps of {options.batch_tokens} tokens, processor seconds")
    for heading in ("", "median", "range"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, values in (("states computed in each step", computed), ("states kept", kept), ("ratio", ratios)):
        table.add_row(name, f"{statistics.median(values):.2f}", f"{min(values):.2f} to {max(values):.2f}")
    table.add_row("states computed once", f"{figures['once']:.2f}", f"{figures['bytes'] / 2**20:.0f} MiB")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
