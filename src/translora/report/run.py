"""The report of one run: its figures, plots and texts on one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from translora.languages import language_name
from translora.report.changes import by_length, most_changed
from translora.report.page import write_page
from translora.report.plots import Plot, bar_plot, line_plot
from translora.runs.folder import Run


def write_report(run: Run) -> Path:
    """Write `report.html` into the folder of a finished run and return its path.

    Raises `DataError` where the run has not finished.
    """
    write_page(run.report, "run.html", _content(run))
    return run.report


def _content(run: Run) -> dict[str, Any]:
    figures, languages = run.summary, (run.config.source, run.config.target)
    return {
        "title": f"{figures.base_model}: {' to '.join(map(language_name, languages))}, {figures.method}",
        "verdict": figures.verdict,
        "figures": figures,
        "search": run.config.decoding.search,
        "plots": _plots(run),
        "config": run.config_file.read_text(encoding="utf-8"),
        "command": shlex.join(["translora", "train", str(run.config_file), "--output", f"{run.folder}-again"]),
        **_texts(run),
    }


def _plots(run: Run) -> dict[str, Plot]:
    """Loss and validation BLEU over the steps; nothing for a run without training."""
    if not run.summary.steps:
        return {}
    rows = run.figures()
    training = sorted({row["step"]: row["loss"] for row in rows if "loss" in row}.items())
    checks = {row["step"]: row for row in rows if "validation_bleu" in row}
    steps = sorted(checks)
    losses, scores = ([checks[step][name] for step in steps] for name in ("validation_loss", "validation_bleu"))
    smooth = _means(training, every=max(1, len(training) // 60))
    first, last = smooth[1][0], smooth[1][-1]
    return {
        "loss": line_plot(
            {"training": smooth, "validation": (steps, losses)},
            "step",
            "nats per target token",
            f"Training loss falls from {first:.2f} to {last:.2f}, validation loss ends at {losses[-1]:.2f}.",
        ),
        "bleu": line_plot(
            {"BLEU": (steps, scores)},
            "step",
            "validation BLEU",
            f"Validation BLEU goes from {scores[0]:.1f} to {scores[-1]:.1f}; its best is {max(scores):.1f}.",
        ),
    }


def _means(points: list[tuple[int, float]], every: int) -> tuple[list[float], list[float]]:
    """The means of runs of `every` points."""
    groups = [points[i : i + every] for i in range(0, len(points), every)]
    return [sum(x for x, _ in g) / len(g) for g in groups], [sum(y for _, y in g) / len(g) for g in groups]


def _texts(run: Run) -> dict[str, Any]:
    """BLEU by source length, and the pairs that changed most."""
    names = run.labels
    sources, references, *systems = (run.translated(name) for name in ("source", "reference", *names))
    buckets = by_length(sources, references, systems, run.config.target)
    lengths = None
    if buckets:
        series = {name: [bucket.scores[i] for bucket in buckets] for i, name in enumerate(names)}
        words = "; ".join(f"{b.name}: {', then '.join(f'{score:.1f}' for score in b.scores)}" for b in buckets)
        groups = [f"{bucket.name}\n({bucket.pairs} pairs)" for bucket in buckets]
        lengths = bar_plot(groups, series, "BLEU", f"BLEU by source length. {words}.")
    best, worst = most_changed(sources, references, systems[0], systems[1]) if len(systems) > 1 else ([], [])
    return {"lengths": lengths, "best": best, "worst": worst}
