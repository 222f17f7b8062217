"""Do confidence and flags find bad translations? Their correlation with sentence chrF, with intervals.

    python benchmarks/confidence.py mini runs/demo --data mini --split test

Each model translates the sources. The confidence of a translation, the mean log-probability of its tokens, is set
against its chrF to the reference: Spearman's rank correlation and Pearson's, each with the 95% interval of resampled
segments, and the mean chrF of the quarters of least and of most confidence. Of each flag, how many translations have
it, and their mean chrF; and how many of the references, where each is a false alarm.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from sacrebleu.metrics import CHRF

from translora.config import SourceConfig
from translora.data.pairs import Corpus
from translora.data.readers.sources import default_split, read_corpus
from translora.io import console
from translora.io.files import write_json
from translora.translation.quality import FLAGS, Rater
from translora.translation.translator import Translator

Floats = np.ndarray
SAMPLES = 1_000


@dataclass
class Found:
    """The figures of one model."""

    model: str
    segments: int
    spearman: float
    spearman_interval: tuple[float, float]
    pearson: float
    pearson_interval: tuple[float, float]
    chrf: float
    least_sure: float
    """The mean chrF of the quarter of least confidence."""
    most_sure: float
    flags: dict[str, tuple[int, float]] = field(default_factory=dict)
    """How many translations have a flag, and their mean chrF."""


def ranks(values: Floats) -> Floats:
    """The ranks of `values`, equal ones with the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


def pearson(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def spearman(one: Floats, other: Floats) -> float:
    return pearson(ranks(one), ranks(other))


def interval(measure: Callable[[Floats, Floats], float], one: Floats, other: Floats) -> tuple[float, float]:
    """The middle 95% of the measure over resampled segments."""
    draw = np.random.default_rng(0)
    drawn = (draw.integers(0, len(one), len(one)) for _ in range(SAMPLES))
    low, high = np.percentile([measure(one[rows], other[rows]) for rows in drawn], [2.5, 97.5])
    return float(low), float(high)


def measured(name: str, pairs: Corpus, source: str, target: str, beams: int) -> Found:
    """Translate the pairs with one model, and compare."""
    translator = Translator.from_pretrained(name, source=source, target=target)
    found = translator.translate(pairs.sources, beams=beams, details=True, progress=name)
    metric, rater = CHRF(), Rater(source, target)
    scores = np.array(
        [metric.sentence_score(one.text, [wanted]).score for one, wanted in zip(found, pairs.targets, strict=True)]
    )
    ratings = [rater.rate(text, one.text, [one]) for text, one in zip(pairs.sources, found, strict=True)]
    known = [i for i, one in enumerate(ratings) if one.confidence is not None]
    confidence = np.array([ratings[i].confidence for i in known])
    chrf = scores[known]
    order, quarter = np.argsort(confidence), len(known) // 4
    flagged = {name: [i for i, one in enumerate(ratings) if name in one.flags] for name in FLAGS}
    return Found(
        name,
        len(known),
        spearman(confidence, chrf),
        interval(spearman, confidence, chrf),
        pearson(confidence, chrf),
        interval(pearson, confidence, chrf),
        float(chrf.mean()),
        float(chrf[order[:quarter]].mean()),
        float(chrf[order[-quarter:]].mean()),
        {flag: (len(rows), float(scores[rows].mean())) for flag, rows in flagged.items() if rows},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="mini, run folders, adapters, models")
    parser.add_argument("--data", default="mini", help="pairs of sources and references")
    parser.add_argument("--split", default="")
    parser.add_argument("--source", default="de")
    parser.add_argument("--target", default="en")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--json", default="", help="also write the figures to this file")
    arguments = parser.parse_args()
    config = SourceConfig(path=arguments.data, split=arguments.split)
    config = SourceConfig(path=arguments.data, split=config.split or default_split(config, "test"))
    pairs = read_corpus(config, arguments.source, arguments.target)
    found = [measured(name, pairs, arguments.source, arguments.target, arguments.beams) for name in arguments.models]
    console.show_table(
        f"Confidence against sentence chrF, {arguments.data}, beams {arguments.beams}",
        ["model", "segments", "Spearman", "95%", "Pearson", "95%", "chrF", "least sure quarter", "most sure quarter"],
        [
            [
                one.model, str(one.segments), f"{one.spearman:.3f}", "{:.3f} to {:.3f}".format(*one.spearman_interval),
                f"{one.pearson:.3f}", "{:.3f} to {:.3f}".format(*one.pearson_interval), f"{one.chrf:.1f}",
                f"{one.least_sure:.1f}", f"{one.most_sure:.1f}",
            ]
            for one in found
        ],
    )  # fmt: skip
    rater = Rater(arguments.source, arguments.target)
    false = Counter(
        flag
        for source, wanted in zip(pairs.sources, pairs.targets, strict=True)
        for flag in rater.rate(source, wanted, []).flags
    )
    print(
        f"of the {len(pairs)} references: {', '.join(f'{flag} {count}' for flag, count in false.items()) or 'no flags'}"
    )
    for one in found:
        flags = (f"{flag} {count} (chrF {chrf:.1f})" for flag, (count, chrf) in one.flags.items())
        print(f"{one.model}: {', '.join(flags) or 'no flags'}")
    if arguments.json:
        write_json(Path(arguments.json), {"models": [asdict(one) for one in found], "references": false})


if __name__ == "__main__":
    main()
