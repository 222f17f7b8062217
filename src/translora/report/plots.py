"""The report's plots, as inline SVG: the page's stylesheet gives its text colour and font, all lines read on any paper.

Text is drawn in black, which SVG does not write down, so that it takes the colour (`fill`) of the page around it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

from markupsafe import Markup

_GREY = "#808080"
_SERIES = ("#2f7ed8", "#d9822b", "#3c9d5b", "#9b59b6", "#c9463d", "#1f9e9e", "#8a8a3a", "#c2649a")
"""Colours that read on white and on black; further series begin anew."""


class Plot(NamedTuple):
    """A drawing, and the same in words for those who do not see it."""

    svg: str
    """An `svg` element."""
    description: str

    def __html__(self) -> str:
        """The plot as HTML, which a template takes as it is."""
        return Markup('<div class="plot" role="img" aria-label="{}">{}</div>').format(
            self.description, Markup(self.svg)
        )


def line_plot(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    description: str,
    log_x: bool = False,
) -> Plot:
    """Lines by name, each as its x and y values; a series of few points shows them.

    With `log_x` the x axis is logarithmic, and its ticks are the values themselves.
    """
    figure, axes = _axes(x_label, y_label)
    if log_x:
        ticks = sorted({x for xs, _ in series.values() for x in xs})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{x:,.0f}" for x in ticks])
        axes.minorticks_off()
    for colour, (name, (xs, ys)) in zip(cycle(_SERIES), series.items(), strict=False):
        axes.plot(xs, ys, label=name, color=colour, linewidth=1.4, marker="o" if len(xs) < 40 else "", markersize=4)
    if len(series) > 1:
        figure.legend(frameon=False, ncols=3, loc="outside upper left", fontsize=8)  # within it would lie on a line
    return Plot(_svg(figure), description)


def bar_plot(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    y_label: str,
    description: str,
    labels: bool = True,
) -> Plot:
    """Bars side by side for each of `groups`, one of every series, with their values where `labels`."""
    figure, axes = _axes("", y_label)
    axes.grid(visible=False, axis="x")
    width = 0.8 / len(series)
    for number, (colour, (name, values)) in enumerate(zip(cycle(_SERIES), series.items(), strict=False)):
        places = [i - 0.4 + width * (number + 0.5) for i in range(len(groups))]
        bars = axes.bar(places, values, width * 0.92, label=name, color=colour)
        if labels:
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(groups)), groups)
    axes.margins(y=0.18)
    if len(series) > 1:
        axes.legend(frameon=False, ncols=min(4, len(series)), loc="upper right", fontsize=8)
    return Plot(_svg(figure), description)


def _axes(x_label: str, y_label: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_axisbelow(True)
    axes.grid(color=_GREY, alpha=0.25, linewidth=0.6)
    axes.tick_params(length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_GREY)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure as an SVG element whose text stays text: it is found, copied, and set in the page's font."""
    import matplotlib

    buffer = io.StringIO()
    unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # the salt: the same figures give the same file
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "translora"}):
        figure.savefig(buffer, format="svg", metadata=unsaid)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
