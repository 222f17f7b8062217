"""Score a base model by length, for its card: BLEU on Tatoeba, on interface strings held out, and on the help.

    python scripts/mini/score_base.py runs/mini-base/model --tatoeba tatoeba --base base [--beams 4] [--against mini]

`tatoeba` is the folder that `build_tatoeba.py` wrote, `base` that of `build_base.py`. Prints a table in Markdown: one
row a set of test pairs, or part of it by length in source words, and one column a model and direction. Translations
are greedy without `--beams`. The joined texts are made of the first 1,000 pairs of Tatoeba's test set.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from build_base import pairs_of
from build_tatoeba import Pair

from translora import Translator
from translora.scoring.metrics import bleu, evaluate

DIRECTIONS = (("de", "en"), ("en", "de"))
LENGTHS = ((1, 4), (5, 7), (8, 10), (11, 15), (16, 10**6))
JOINED = (2, 3, 4)
JOINED_OF = 1000
LEAST_PAIRS = 20


def joined(pairs: list[Pair], count: int) -> list[Pair]:
    """Runs of `count` pairs, each put together to one."""
    runs = [pairs[start : start + count] for start in range(0, len(pairs) - count + 1, count)]
    return [(" ".join(german for german, _ in run), " ".join(english for _, english in run)) for run in runs]


def test_sets(tatoeba: Path, base: Path) -> dict[str, list[Pair]]:
    """The German-English test pairs by name."""
    everyday = pairs_of(str(tatoeba / "test.tsv"))
    sets = {
        "Tatoeba": everyday,
        "interface strings": pairs_of(str(base / "interface-test.tsv")),
        "LibreOffice help": pairs_of("mini", "test"),
    }
    return sets | {f"{count} of Tatoeba joined": joined(everyday[:JOINED_OF], count) for count in JOINED}


def rows(name: str, lengths: Iterable[int]) -> dict[str, list[int]]:
    """The rows of a set of test pairs: the indices of all, and of those of some length in words."""
    found = {f"{name}, all": [index for index, _ in enumerate(lengths)]}
    if "joined" in name:
        return found
    for least, most in LENGTHS:
        title = f"{least} to {most} words" if most < 10**6 else f"{least} words and more"
        chosen = [index for index, length in enumerate(lengths) if least <= length <= most]
        if len(chosen) >= LEAST_PAIRS:
            found[f"{name}, {title}"] = chosen
    return found


def kept(sources: Iterable[str], outputs: Iterable[str]) -> str:
    """How many outputs have the placeholder pieces of their sources, each as often."""
    pieces = [[Counter(re.findall(r"<ph\d+>", text)) for text in pair] for pair in zip(sources, outputs, strict=True)]
    those = [found for wanted, found in pieces if wanted]
    whole = sum(wanted == found for wanted, found in pieces if wanted)
    return f"{whole} of {len(those)} interface strings with placeholders have the same ones in the translation"


def score(model: str, source: str, target: str, sets: dict[str, list[Pair]], beams: int) -> dict[str, float]:
    """BLEU by row; rows are by the length of the German side in either direction."""
    translator = Translator.from_pretrained(model, source=source, target=target)
    scores: dict[str, float] = {}
    for name, pairs in sets.items():
        sources, targets = zip(*(pair if source == "de" else pair[::-1] for pair in pairs), strict=True)
        outputs = translator.translate(sources, beams=beams, progress=f"{model}, {source} to {target}, {name}")
        for title, chosen in rows(name, [len(german.split()) for german, _ in pairs]).items():
            scores[title] = bleu([outputs[i] for i in chosen], [targets[i] for i in chosen], target)
        if name == "Tatoeba":
            print(f"{model}, {source} to {target}: {evaluate(outputs, targets, target).as_dict()}")
        if name == "interface strings":
            print(f"{model}, {source} to {target}: {kept(sources, outputs)}")
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the model's folder")
    parser.add_argument("--against", default="", help="another model, from German to English, for a column beside it")
    parser.add_argument("--tatoeba", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--beams", type=int, default=1, help="beam size; 1 is greedy")
    parser.add_argument("--limit", type=int, default=0, help="only the first pairs of each set; 0: all")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    arguments = parser.parse_args()
    whole = test_sets(arguments.tatoeba, arguments.base)
    sets = {name: pairs[: arguments.limit or len(pairs)] for name, pairs in whole.items()}
    models = {f"{source} to {target}": (arguments.model, source, target) for source, target in DIRECTIONS}
    if arguments.against:
        models[f"{arguments.against}, de to en"] = (arguments.against, *DIRECTIONS[0])
    columns = {title: score(*model, sets, arguments.beams) for title, model in models.items()}
    sizes = {t: len(c) for n, pairs in sets.items() for t, c in rows(n, [len(g.split()) for g, _ in pairs]).items()}
    print(f"| pairs, by German words | number | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for title, size in sizes.items():
        print(f"| {title} | {size:,} | {' | '.join(f'{scores[title]:.1f}' for scores in columns.values())} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(columns, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
