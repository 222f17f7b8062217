"""Take a comparison's `compare.json` and plots into docs/: results.json and results-*.svg.

python scripts/results_page.py runs/compare
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from translora.io.files import write_json, write_text
from translora.report.comparison import plots
from translora.runs.folder import Run

DOCS = Path(__file__).parent.parent / "docs"
GREY = "#777777"
"""Reads on white and on black: a picture in a page of Markdown cannot take the page's colour."""


def main(folder: Path) -> None:
    result = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    write_json(DOCS / "results.json", result)
    runs = {}
    for variant in result["variants"]:
        name, rate = variant["name"], variant["learning_rate"]
        runs[name] = Run(folder / name / f"rate-{rate:g}" / f"seed-{variant['seeds'][0]}" if rate else folder / name)
    for name, plot in plots(result, runs).items():
        write_text(DOCS / f"results-{name}.svg", plot.svg.replace("<svg ", f'<svg fill="{GREY}" ', 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
