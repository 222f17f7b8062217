"""The report's plots, as inline SVG that takes its colours from the page and describes itself in words."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

_INK = "#010203"
"""Stands for the page's own text colour."""
_SERIES = ("#2f7ed8", "#d9822b", "#3c9d5b", "#9b59b6", "#c9463d", "#1f9e9e", "#8a8a3a", "#c2649a")
"""Colours that read on white and on black; further series begin anew."""


def line_plot(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str, description: str
) -> str:
    """Lines by name, each as its x and y values; a series of few points shows them."""
    figure, axes = _axes(x_label, y_label)
    for colour, (name, (xs, ys)) in zip(cycle(_SERIES), series.items(), strict=False):
        axes.plot(xs, ys, label=name, color=colour, linewidth=1.4, marker="o" if len(xs) < 40 else "", markersize=4)
    if len(series) > 1:
        axes.legend(frameon=False, labelcolor=_INK)
    return _svg(figure, description)


def bar_plot(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    y_label: str,
    description: str,
    labels: bool = True,
) -> str:
    """Bars side by side for each of `groups`, one of every series, with their values where `labels`."""
    figure, axes = _axes("", y_label)
    width = 0.8 / len(series)
    for number, (colour, (name, values)) in enumerate(zip(cycle(_SERIES), series.items(), strict=False)):
        places = [i - 0.4 + width * (number + 0.5) for i in range(len(groups))]
        bars = axes.bar(places, values, width * 0.92, label=name, color=colour)
        if labels:
            axes.bar_label(bars, fmt="%.1f", color=_INK, fontsize=8)
    axes.set_xticks(range(len(groups)), groups)
    axes.margins(y=0.18)
    if len(series) > 1:
        axes.legend(frameon=False, labelcolor=_INK, ncols=min(4, len(series)), loc="upper right", fontsize=8)
    return _svg(figure, description)


def _axes(x_label: str, y_label: str) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text: it is found, copied, and set in the page's font
    matplotlib.rcParams["svg.hashsalt"] = "translora"  # the same figures give the same file
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    axes.tick_params(colors=_INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    axes.patch.set_alpha(0)
    figure.patch.set_alpha(0)
    return figure, axes


def _svg(figure: Any, description: str) -> str:
    """The figure as an SVG element whose text is the page's, with a description for those who do not see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": description})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([0-9.]+px) '[^']*'[^;\"]*", r"font: \1 inherit; font-family: inherit", svg)
    svg = re.sub(r' (width|height)="[0-9.]+pt"', "", svg, count=2)
    return svg.replace("<svg ", '<svg role="img" ', 1)
