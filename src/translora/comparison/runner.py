"""The whole comparison: check it, do its runs, write `compare.json` and `report.html`, print the tables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from translora.comparison import results
from translora.comparison.folder import REPORT_FILE, RESULT_FILE, check_folder, delete_comparison, mark
from translora.comparison.jobs import Outcome, check_runs, check_same_pairs, run_equal_time, run_untouched, run_variant
from translora.comparison.places import places
from translora.comparison.variants import Variant, read_variants, warn_of_edge
from translora.comparison.workers import Workers
from translora.config import CompareConfig, Config
from translora.config.load import load_comparison
from translora.errors import ConfigError, TrainingError
from translora.io import console
from translora.io.files import only_process, write_json
from translora.io.interrupt import stop_between_steps
from translora.report.comparison import write_comparison
from translora.runs.folder import Run
from translora.scale.cluster import RayEngine
from translora.scale.runs import ray_places
from translora.scoring.metrics import METRICS, with_interval

_COSTS = ("", "rate", "trained", "of most", "on disk", "peak memory", "seconds", "pairs/s")


def compare(
    config: Config | str | Path,
    comparison: CompareConfig | None = None,
    recipe: str = "",
    overwrite: bool = False,
    parallel: int | None = None,
    engine: RayEngine | None = None,
) -> dict[str, Any]:
    """Train and score every variant, and return the content of `compare.json`.

    `config` may be the path or name of a recipe, whose section `compare` is taken unless `comparison` is given.
    Each run is a run folder below `config.output`. The runs of an earlier call are not done again, except those of a
    variant whose recipe has changed, and the runs of equal time whose length follows from them.
    `recipe` is the command that the result names; `overwrite` deletes an earlier comparison first. `parallel` runs are
    done at a time, by default one, each on a GPU of its own, or with its part of the CPU's threads; with `engine` they
    are done on a cluster of Ray, by default as many at a time as it has GPUs, or machines.

    Raises `ConfigError` before anything is trained, `InterruptedRunError` after Ctrl-C or SIGTERM, `DataError` at the
    end where the corpus changed since earlier runs in the folder, and `TrainingError` where a variant failed; the
    others are written and shown all the same.
    """
    if not isinstance(config, Config):
        recipe = recipe or str(config)
        config, section = load_comparison(config)
        comparison = comparison or section
    comparison = comparison or CompareConfig()
    variants = read_variants(config, comparison)
    folder = Path(config.output)
    check_folder(folder)
    rooms = ray_places(engine, parallel, config, variants) if engine else places(parallel, config, variants)
    with only_process(folder):
        if overwrite:
            delete_comparison(folder)
        check_runs(variants, config, folder, comparison.seeds)
        mark(folder)
        with stop_between_steps() as stop:
            outcomes = _outcomes(variants, config, comparison, folder, Workers(rooms, stop))
        check_same_pairs(outcomes)
        result = results.build(outcomes, recipe)
        write_json(folder / RESULT_FILE, result)
        write_comparison(folder / REPORT_FILE, result, {o.name: o.runs[0] for o in outcomes if o.runs})
    show(result)
    console.results.print(f"comparison: {folder / RESULT_FILE}, report: {folder / 'report.html'}", soft_wrap=True)
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        reasons = "; ".join(f"{outcome.name}: {outcome.error}" for outcome in failed)
        raise TrainingError(f"{len(failed)} of {len(variants)} variants failed: {reasons}")
    return result


def side_by_side(runs: Sequence[Run], page: Path) -> Path:
    """Write the page of several finished runs, each by the part of its path that is its own; print their tables too.

    Raises `DataError` where one has not finished, and `ConfigError` where one is named twice.
    """
    folders = [str(run.folder.resolve()) for run in runs]
    if len(set(folders)) < len(folders):
        raise ConfigError(f"{max(folders, key=folders.count)} is named twice: name each run once")
    names = [os.path.relpath(folder, os.path.commonpath(folders)) for folder in folders]
    outcomes = [
        Outcome(name, run.config.method, [run], rate=run.config.training.learning_rate if run.summary.steps else None)
        for name, run in zip(names, runs, strict=True)
    ]
    result = results.build(outcomes, shlex.join(["translora", "report", *map(str, (run.folder for run in runs))]))
    write_comparison(page, result, dict(zip(names, runs, strict=True)))
    show(result)
    return page


def _outcomes(
    variants: list[Variant], config: Config, comparison: CompareConfig, folder: Path, workers: Workers
) -> list[Outcome]:
    """All runs: the untouched model, then the variants, then each for the same time."""
    untouched = run_untouched(config, folder, workers) if config.init == "pretrained" else None
    made = workers.each([partial(run_variant, one, folder, comparison.seeds, untouched, workers) for one in variants])
    outcomes = [outcome for outcome in made if isinstance(outcome, Outcome)]  # which record their errors themselves
    done = [(variant, outcome) for variant, outcome in zip(variants, outcomes, strict=True) if outcome.runs]
    for outcome in outcomes:
        warn_of_edge(outcome.name, outcome.rates, outcome.rate)
    if comparison.equal_time != "off" and len(done) > 1:
        seconds = [outcome.runs[0].summary.train_seconds for _, outcome in done]
        limit = min(seconds) if comparison.equal_time == "shortest" else max(seconds)
        workers.each([partial(run_equal_time, *one, folder, limit, untouched, workers) for one in done])
    return [*([untouched] if untouched else []), *outcomes]


def show(result: dict[str, Any]) -> None:
    """The tables of costs and scores, and the verdict."""
    variants = [variant for variant in result["variants"] if not variant["error"]]
    whole = max((variant["trainable_parameters"] for variant in variants), default=0)
    console.show_table(
        "Costs (means over the seeds)",
        _COSTS,
        [_cost_cells(variant, whole) for variant in variants],
    )
    console.show_table(
        f"Scores on {result['test_pairs']:,} test pairs (±: 95% confidence; over seeds: lowest to highest)",
        ["", "BLEU", "over seeds", "chrF2++", "TER", "BLEU in equal time"],
        [_score_cells(variant) for variant in variants],
    )
    if result["p_values"]:
        pairs = [(a, b, found) for a, others in result["p_values"].items() for b, found in others.items()]
        console.show_table(
            "p of the difference (paired bootstrap; over seeds: the highest)",
            ["", "BLEU", "chrF2++", "TER"],
            [[f"{a}, {b}", *(f"{max(found[key]):.3f}" for key in METRICS)] for a, b, found in pairs],
        )
    for name, signature in result["signatures"].items():
        console.results.print(f"{METRICS[name]}: {signature}", soft_wrap=True)
    console.results.print(f"\n{result['verdict']}\n", soft_wrap=True)


def _cost_cells(variant: dict[str, Any], whole: int) -> list[str]:
    name, trained = variant["name"], variant["trainable_parameters"]
    if not trained:
        return [name, *("-" for _ in _COSTS[1:])]
    return [
        name,
        f"{variant['learning_rate']:g}" if variant["learning_rate"] else "-",
        f"{trained:,}",
        f"{trained / whole:.1%}",
        f"{variant['adapter_bytes'] / 2**20:.1f} MiB",
        f"{variant['peak_memory_bytes'] / 2**30:.2f} GiB",
        f"{variant['train_seconds']:.0f}",
        f"{variant['pairs_per_second']:.0f}",
    ]


def _score_cells(variant: dict[str, Any]) -> list[str]:
    bleu, equal = variant["bleu"], variant["equal_time"]
    seeds = f"{min(bleu['per_seed']):.1f} to {max(bleu['per_seed']):.1f}" if len(bleu["per_seed"]) > 1 else "-"
    return [
        variant["name"],
        with_interval(bleu["mean"], bleu["interval"]),
        seeds,
        f"{variant['chrf']['mean']:.1f}",
        f"{variant['ter']['mean']:.1f}",
        f"{equal['bleu']:.1f}" if equal else "-",
    ]
