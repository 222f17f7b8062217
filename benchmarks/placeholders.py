"""How many placeholders and tags survive: without protection, as others do it, by the model alone, and repaired.

    python benchmarks/placeholders.py PAIRS.tsv --model mini --source de --target en

Of the pairs (source, tab, target) those count whose source holds something to keep, and the same as the target. Both
BLEU and the share are of these. A segment survives where its translation has all that its source has, as often, with
its tags nested. The ways of others are those of
`tags_elsewhere`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tags_elsewhere import as_argos, as_weblate

from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.io import console
from translora.io.files import write_json
from translora.scoring.metrics import bleu
from translora.translation.kept import marks_of
from translora.translation.protect import Protector
from translora.translation.translator import Translator


def segments(path: Path, source: str, target: str, most: int) -> tuple[list[str], list[str]]:
    """The first `most` pairs with something to keep, as sources and targets."""
    protector = Protector()
    pairs = [
        (pair.source, pair.target)
        for pair in read(SourceConfig(path=str(path)), source, target)
        if (kept := Counter(protector.found(pair.source))) and kept == Counter(protector.found(pair.target))
    ][:most]
    if not pairs:
        raise SystemExit(f"{path}: no pair in it holds the same placeholders on both sides")
    return [source for source, _ in pairs], [target for _, target in pairs]


def by_the_model_alone(translator: Translator, sources: Sequence[str], beams: int) -> list[str]:
    """Protected, translated once and put back, whatever came of it; the marks are those of the model."""
    marks, _ = marks_of(translator.tokenizer)
    if marks is None:
        raise SystemExit("no spelling of a placeholder survives this model's tokenizer")
    parts = [Protector(marks).protect(text)[0] for text in sources]
    found = translator.translate([part.text for part in parts], beams=beams, protect="off")
    return [part.restore(text) for part, text in zip(parts, found, strict=True)]


def rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    translator = Translator.from_pretrained(arguments.model, source=arguments.source, target=arguments.target)
    sources, targets = segments(arguments.pairs, arguments.source, arguments.target, arguments.most)
    checked = translator.translate(sources, beams=arguments.beams, details=True)

    def engine(texts: list[str]) -> list[str]:
        return translator.translate(texts, beams=arguments.beams, protect="off")

    ways = {
        "no protection": engine(sources),
        "tags searched for, as Argos Translate": as_argos(engine, sources),
        "[X0X] put back, as Weblate": as_weblate(engine, sources),
        "protected, the model alone": by_the_model_alone(translator, sources, arguments.beams),
        "protected, checked and repaired": [one.text for one in checked],
    }
    protector, found = Protector(), []
    for name, texts in ways.items():
        survived = sum(protector.kept(source, text) for source, text in zip(sources, texts, strict=True))
        found.append(
            {
                "way": name,
                "segments": len(sources),
                "survived": survived,
                "bleu": bleu(texts, targets, arguments.target),
            }
        )
    found[-1]["by"] = dict(Counter(one.placeholders for one in checked))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="a TSV file of sources and targets")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--source", default="de")
    parser.add_argument("--target", default="en")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--most", type=int, default=500, help="how many segments to translate, at most")
    parser.add_argument("--json", default="", help="also write the figures to this file")
    arguments = parser.parse_args()
    found = rows(arguments)
    console.show_table(
        f"Placeholders kept by {arguments.model}, {found[0]['segments']} segments",
        ["way", "segments kept", "share", "BLEU"],
        [
            [row["way"], str(row["survived"]), f"{row['survived'] / row['segments']:.1%}", f"{row['bleu']:.1f}"]
            for row in found
        ],
    )
    by = found[-1]["by"]
    print(", ".join(f"{name}: {by.get(name, 0)}" for name in ("copied", "model", "retry", "repair")))
    if arguments.json:
        write_json(Path(arguments.json), found)


if __name__ == "__main__":
    main()
