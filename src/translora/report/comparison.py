"""The report of a comparison, or of several runs side by side: figures, plots and texts on one page."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translora.languages import language_name
from translora.report.changes import by_length, marked_words
from translora.report.page import write_page
from translora.report.plots import Plot, bar_plot, line_plot
from translora.runs.folder import Run

_EXAMPLES = 6


def write_comparison(path: Path, result: dict[str, Any], runs: Mapping[str, Run]) -> None:
    """Write the page of `result` (the content of `compare.json`) to `path`.

    `runs` holds one run of each variant that has any, whose translations are shown.
    """
    done = [variant for variant in result["variants"] if variant["bleu"]]
    tried = [variant for variant in done if len(variant["rates"]) > 1]
    content = {
        "title": _title(runs),
        "verdict": result["verdict"],
        "result": result,
        "search": " or ".join(sorted({run.config.decoding.search for run in runs.values()})),
        "done": done,
        "timed": [variant for variant in done if variant["equal_time"]],
        "tried": tried,
        "rates": sorted({rate for variant in tried for rate in variant["rates"]}, key=float),
        "plots": plots(result, runs),
        "pairs": _pairs(runs),
        "command": result["recipe"],
        "configs": {name: run.config_file.read_text(encoding="utf-8") for name, run in runs.items()},
    }
    write_page(path, "comparison.html", content)


def plots(result: dict[str, Any], runs: Mapping[str, Run]) -> dict[str, Plot]:
    """The plots `scores`, `curves` and `lengths`, each where there is something to show."""
    done = [variant for variant in result["variants"] if variant["bleu"]]
    drawn = {"scores": _bars(done), "curves": _curves(done), "lengths": _lengths(runs)}
    return {name: plot for name, plot in drawn.items() if plot}


def _title(runs: Mapping[str, Run]) -> str:
    """The languages, where the runs have the same, and how many there are."""
    pairs = {(run.config.source, run.config.target) for run in runs.values()}
    languages = [" to ".join(map(language_name, pair)) for pair in sorted(pairs)]
    return f"{', '.join(languages) or 'Nothing finished'}: {len(runs)} side by side"


def _bars(done: list[dict[str, Any]]) -> Plot | None:
    """BLEU of every variant, in equal epochs and in equal time."""
    if not done:
        return None
    series = {"as the recipe says": [variant["bleu"]["mean"] for variant in done]}
    if any(variant["equal_time"] for variant in done):
        times = [variant["equal_time"] for variant in done]
        series["in equal time"] = [time["bleu"] if time else float("nan") for time in times]
    words = ", ".join(f"{variant['name']} {variant['bleu']['mean']:.1f}" for variant in done)
    return bar_plot([variant["name"] for variant in done], series, "BLEU", f"BLEU of each: {words}.")


def _curves(done: list[dict[str, Any]]) -> Plot | None:
    """Validation BLEU over time."""
    curves = {variant["name"]: variant["curve"] for variant in done if variant["curve"]}
    series = {
        name: ([point["seconds"] for point in curve], [point["validation_bleu"] for point in curve])
        for name, curve in curves.items()
    }
    words = ", ".join(f"{name} ends at {ys[-1]:.1f} after {xs[-1]:.0f} s" for name, (xs, ys) in series.items())
    return line_plot(series, "seconds of training", "validation BLEU", f"{words}.") if series else None


def _same_test(runs: Mapping[str, Run]) -> bool:
    return len({tuple(run.translated("source") + run.translated("reference")) for run in runs.values()}) == 1


def _lengths(runs: Mapping[str, Run]) -> Plot | None:
    """BLEU by source length, where all runs have the same test pairs."""
    if not _same_test(runs):
        return None
    first = next(iter(runs.values()))
    systems = {name: run.final_translations() for name, run in runs.items()}
    buckets = by_length(
        first.translated("source"), first.translated("reference"), list(systems.values()), first.config.target
    )
    if not buckets:
        return None
    series = {name: [bucket.scores[i] for bucket in buckets] for i, name in enumerate(systems)}
    groups = [f"{bucket.name}\n({bucket.pairs} pairs)" for bucket in buckets]
    words = "; ".join(f"{name}: {', '.join(f'{score:.1f}' for score in scores)}" for name, scores in series.items())
    return bar_plot(groups, series, "BLEU", f"BLEU by source length. {words}.", labels=False)


def _pairs(runs: Mapping[str, Run]) -> list[list[tuple[str, Any]]]:
    """Some test pairs as each run translates them, where all have the same."""
    if not _same_test(runs):
        return []
    first = next(iter(runs.values()))
    sources, references = first.translated("source"), first.translated("reference")
    systems = {name: run.final_translations() for name, run in runs.items()}
    chosen = sorted(random.Random(first.config.seed).sample(range(len(sources)), min(_EXAMPLES, len(sources))))
    return [
        [("source", sources[i]), ("reference", references[i])]
        + [(name, marked_words(lines[i], references[i])) for name, lines in systems.items()]
        for i in chosen
    ]
