"""The page for a reviewer of translations: the worst segments first, to be filtered by flag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from translora.languages import language_name
from translora.report.page import write_page
from translora.translation.quality import FLAGS
from translora.translation.review import Review


def write_review(path: Path, review: Review, languages: tuple[str, str], facts: Mapping[str, str]) -> None:
    """Write the page of a finished `review` to `path`; `facts` are further lines of its first table.

    Raises `StorageError` where it cannot be written.
    """
    rows = review.worst()
    counts = {
        flag: sum(flag in row.rating.flags for row in rows)
        for flag in FLAGS
        if any(flag in row.rating.flags for row in rows)
    }
    terms = review.totals.terms
    if terms.occurred:
        facts = {**facts, "terms of the glossary honoured": f"{terms.honoured:,} of {terms.occurred:,}"}
    content = {
        "title": f"Review: {' to '.join(map(language_name, languages))}",
        "verdict": f"{review.totals.words()}." if review.totals.segments else "No segment was translated.",
        "totals": review.totals,
        "facts": facts,
        "rows": rows,
        "counts": counts,
        "flags": FLAGS,
        "percent": lambda confidence: f"{math.exp(confidence):.0%}",
    }
    write_page(path, "review.html", content)
