"""When is LoRA enough? Full fine-tuning and adapters of several sizes over a grid of bases and numbers of pairs.

    python benchmarks/when_lora.py runs/when-lora --json docs/when-lora.json --plot docs/when-lora.svg

Each cell is a comparison as `translora compare` does it, on the first so many pairs of the embedded corpus, with the
same number of steps for all: each variant tries its rates with the first seed and takes the best on validation. The
result is what an adapter gains over the untouched model in BLEU on the test pairs, as a share of what full fine-tuning
gains; translations are greedy, which takes a fraction of the time of a beam. A cell that is done is not done again, so
that the same command goes on where it was stopped, and takes further seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from statistics import fmean
from typing import Any

from translora.comparison.runner import compare
from translora.comparison.variants import UNTOUCHED
from translora.config import CompareConfig, Config
from translora.config.load import load_comparison
from translora.io import console
from translora.io.files import write_json, write_text
from translora.report.plots import line_plot
from translora.runs.folder import Run

PAIRS = (500, 2_000, 6_000, 12_000, 24_000)
VALIDATIONS = 6
"""In each run; the best checkpoint counts, for on few pairs more steps make a model worse."""
MOST_PAIRS_A_STEP = 100
FULL = "full-rates-by-tensor"
VARIANTS: dict[str, dict[str, Any]] = {
    FULL: {"method": "full", "training": {"scale_parameter": True}, "rates": [2.5e-3, 1.0e-2, 2.0e-2]},
    "rank-64": {"lora": {"rank": 64, "tie_embeddings": True, "b_rate": 2}, "rates": [2.5e-4, 7.5e-4, 1.5e-3]},
    "rank-15": {"lora": {"rank": 15, "tie_embeddings": True, "b_rate": 2}, "rates": [5.0e-4, 1.5e-3, 3.0e-3]},
    "rank-4": {"lora": {"rank": 4, "tie_embeddings": True, "b_rate": 2}, "rates": [1.0e-3, 3.0e-3, 6.0e-3]},
    "q-v-16": {"lora": {"targets": "q,v"}, "rates": [1.0e-3, 5.0e-3, 1.0e-2]},
}
"""What each cell trains, in what it differs from the recipe `compare`. The highest rates are those of a whole pass over
24,000 pairs (docs/results.md); few pairs seen often want the lowest: higher ones leave a model worse than it was."""


def cell_config(arguments: argparse.Namespace, base: str, pairs: int) -> tuple[Config, CompareConfig]:
    config, comparison = load_comparison("compare")
    train = dataclasses.replace(config.data.train, limit=pairs)
    test = dataclasses.replace(config.data.test, limit=arguments.test_pairs)
    most = min(config.data.validation.limit, arguments.test_pairs or config.data.validation.limit)
    validation = dataclasses.replace(config.data.validation, limit=most)
    data = dataclasses.replace(config.data, train=train, validation=validation, test=test)
    every = max(1, arguments.steps // VALIDATIONS)
    passes = max(1.0, MOST_PAIRS_A_STEP * arguments.steps / pairs)
    training = dataclasses.replace(config.training, max_steps=arguments.steps, epochs=passes, evaluate_every=every)
    folder = Path(arguments.folder) / Path(base).name / str(pairs)
    greedy = dataclasses.replace(config.decoding, beams=1)
    config = dataclasses.replace(config, model=base, data=data, training=training, decoding=greedy, output=str(folder))
    variants = {name: VARIANTS[name] for name in arguments.variants}
    return config, dataclasses.replace(comparison, variants=variants, seeds=arguments.seeds, equal_time="off")


def cell(arguments: argparse.Namespace, base: str, pairs: int) -> dict[str, Any]:
    """The scores of one cell, by variant, and the shares of full fine-tuning's gain, by seed."""
    console.notice(f"{base}, {pairs:,} pairs")
    config, comparison = cell_config(arguments, base, pairs)
    if not arguments.read:
        compare(config, comparison, parallel=arguments.parallel)
    folder = Path(config.output)
    untouched = Run(folder / UNTOUCHED)
    if not untouched.finished:  # which comes first
        return {"base": base, "pairs": pairs, "untouched_bleu": None, "variants": []}
    before = bleu_of(untouched)
    rates = {name: tried_rates(folder / name, config.seed) for name in arguments.variants}
    found = {name: best_runs(folder / name, tried) for name, tried in rates.items() if tried}
    gains = {run.config.seed: bleu_of(run) - before for run in found.get(FULL, [])}
    variants = [_figures(name, runs, rates[name], gains, before) for name, runs in found.items() if runs]
    return {"base": base, "pairs": pairs, "untouched_bleu": before, "variants": variants}


def tried_rates(folder: Path, seed: int) -> dict[float, float]:
    """The best validation BLEU of each rate that a run of `seed` is trained with; only the best one is scored later."""
    runs = [run for run in map(Run, sorted(folder.glob(f"rate-*/seed-{seed}"))) if run.trained or run.finished]
    return {run.config.training.learning_rate: max(run.validation_bleu()) for run in runs}


def best_runs(folder: Path, tried: dict[float, float]) -> list[Run]:
    """The finished runs, by seed, of the rate that is best of those `tried`."""
    rate = max(tried, key=lambda one: tried[one])
    return [run for run in map(Run, sorted((folder / f"rate-{rate:g}").glob("seed-*"))) if run.finished]


def bleu_of(run: Run) -> float:
    return run.summary.scores_after.bleu.score


def _figures(
    name: str, runs: list[Run], rates: dict[float, float], gains: dict[int, float], before: float
) -> dict[str, Any]:
    """The figures of a variant; `gains` are those of full fine-tuning, by seed: there is no share of a loss."""
    first = runs[0].summary
    return {
        "name": name,
        "trained_share": first.trainable_parameters / first.total_parameters,
        "rate": runs[0].config.training.learning_rate,
        "rates": {f"{rate:g}": score for rate, score in sorted(rates.items())},
        "bleu": [bleu_of(run) for run in runs],
        "share_of_gain": [
            (bleu_of(r) - before) / gains[r.config.seed] for r in runs if gains.get(r.config.seed, 0) > 0
        ],
        "hardware": first.hardware,
    }


def table(cells: list[dict[str, Any]]) -> None:
    rows = [
        [
            Path(found["base"]).name,
            f"{found['pairs']:,}",
            one["name"],
            f"{one['trained_share']:.1%}",
            f"{one['rate']:g}",
            f"{fmean(one['bleu']):.1f}",
            f"{fmean(shares):.0%}" if (shares := one["share_of_gain"]) else "-",
            f"{min(shares):.0%} to {max(shares):.0%}" if len(shares) > 1 else "-",
        ]
        for found in cells
        for one in found["variants"]
    ]
    heads = ["base", "pairs", "", "trained", "rate", "BLEU", "of full's gain", "over seeds"]
    console.show_table("When is LoRA enough?", heads, rows)


def plot(cells: list[dict[str, Any]], file: Path) -> None:
    """Draw the share of full fine-tuning's gain over the number of pairs, a line for each adapter and base."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    several = len({found["base"] for found in cells}) > 1
    for found in cells:
        for one in found["variants"]:
            if one["name"] != FULL and one["share_of_gain"]:
                name = f"{one['name']}, {Path(found['base']).name}" if several else one["name"]
                xs, ys = series.setdefault(name, ([], []))
                xs.append(found["pairs"])
                ys.append(100 * fmean(one["share_of_gain"]))
    words = "the share of full fine-tuning's gain in BLEU that each adapter reaches, over the number of training pairs"
    drawn = line_plot(series, "training pairs", "% of full's gain in BLEU", words, log_x=True)
    write_text(file, drawn.svg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of the runs")
    parser.add_argument("--bases", nargs="+", default=["mini"], help="models to begin from")
    parser.add_argument("--pairs", type=int, nargs="+", default=list(PAIRS), help="how many pairs to train on")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=750, help="of each run (default: 750, the demo's)")
    parser.add_argument("--test-pairs", type=int, default=0, help="validate and score on so many, for a quick try")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--parallel", type=int, default=1, help="runs at a time")
    parser.add_argument("--read", action="store_true", help="train nothing: tell what the runs done so far have")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the shares into this SVG file")
    arguments = parser.parse_args()
    if FULL not in arguments.variants:
        parser.error(f"--variants: shares are of {FULL}: name it too")
    cells: list[dict[str, Any]] = []
    for base in arguments.bases:
        for pairs in arguments.pairs:
            cells.append(cell(arguments, base, pairs))
            if arguments.json:
                write_json(arguments.json, {"steps": arguments.steps, "cells": cells})
    table(cells)
    if arguments.plot:
        plot(cells, arguments.plot)


if __name__ == "__main__":
    main()
