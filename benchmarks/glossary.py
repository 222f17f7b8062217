"""How many terms are honoured, and BLEU: without a glossary, by rescoring alone, and by a model trained with one.

    python benchmarks/glossary.py prepare -o terms            # terms/taught.tsv and terms/unseen.tsv
    translora train demo --output runs/plain
    translora train demo --data.glossary terms/taught.tsv --output runs/taught
    python benchmarks/glossary.py measure terms --plain runs/plain --taught runs/taught

The terms come from the training pairs of the embedded corpus alone; a quarter of them, drawn by seed, is kept from
training. Of the test pairs those count whose source has a term that the reference translates so, and none that it
translates otherwise. A term is honoured where the translation has its target, whatever its inflection. BLEU is of the
same pairs, with sacreBLEU's paired bootstrap against the first row. `all` are all test pairs with the terms that were
taught, whatever the references say.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translora.config.load import load_config
from translora.data.splits import read_splits
from translora.io import console
from translora.io.files import write_json
from translora.scoring.significance import paired_test
from translora.training.term_list import term_pairs
from translora.translation.glossary import read_glossary, write_terms
from translora.translation.kept import term_marks
from translora.translation.protect import Protector
from translora.translation.terms import Glossary
from translora.translation.translator import Translator

TASKS = ("taught", "unseen", "all")
_UNSEEN = 0.25
"""The share of the terms that is kept from training."""


def prepare(folder: Path) -> None:
    """Write the terms that training may use, and those that it may not."""
    config = load_config("demo")
    found = term_pairs(read_splits(config).train, config.source, config.target, config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(1)
    unseen = {place for place in range(len(found)) if draw.random() < _UNSEEN}
    for name, wanted in (("taught", set(range(len(found))) - unseen), ("unseen", unseen)):
        write_terms(folder / f"{name}.tsv", [found[place].term for place in sorted(wanted)])
    print(f"{len(found) - len(unseen):,} terms to teach, {len(unseen):,} others")


@dataclass(frozen=True)
class Task:
    """Test pairs and the glossary to translate them with."""

    name: str
    glossary: Glossary
    sources: list[str]
    references: list[str]
    occurred: int


def nouns_of(path: Path, most: int) -> Glossary:
    """The most frequent of the terms that German writes with a capital."""
    terms = read_glossary(path, "de", "en").terms
    return Glossary([one for one in terms if one.source[0][0].isupper()][:most], "de", "en")


def task_of(name: str, terms: Glossary, pairs: Sequence[tuple[str, str]]) -> Task:
    """The test pairs that hold some of `terms` and use them as it says, or `all` pairs."""
    protector = Protector()
    sources, references, met = [], [], Counter[int]()
    for source, reference in pairs:
        wanted = [match.term for match in terms.found(source, protector.spans(source))]
        if name == "all" or (wanted and terms.honoured(wanted, reference) == Counter(wanted)):
            sources.append(source)
            references.append(reference)
            met.update(wanted)
    glossary = Glossary([terms.terms[number] for number in sorted(met)], "de", "en")
    return Task(name, glossary, sources, references, met.total())


def honoured(task: Task, texts: Sequence[str]) -> int:
    """How many occurrences of the terms are honoured."""
    protector, total = Protector(), 0
    for source, text in zip(task.sources, texts, strict=True):
        wanted = [match.term for match in task.glossary.found(source, protector.spans(source))]
        total += task.glossary.honoured(wanted, text).total()
    return total


def annotated_alone(translator: Translator, task: Task, beams: int) -> list[str]:
    """Annotated and translated once, without a search for other candidates."""
    guard = translator.guard(translator.scored_as)
    terms = translator.terminology(task.glossary, guard)
    assert terms is not None
    marks = term_marks(translator.tokenizer)
    assert marks is not None
    found = translator.translate(terms.sent(task.sources), beams=beams, protect=translator.scored_as)
    return [marks.clean(one) for one in found]


def rows(task: Task, plain: Translator, taught: Translator, beams: int) -> list[dict[str, Any]]:
    """One row per way of translating."""

    def of(translator: Translator, glossary: Glossary | None) -> list[str]:
        return translator.translate(task.sources, beams=beams, protect=translator.scored_as, glossary=glossary)

    ways = {"no glossary": of(plain, None), "trained with one, none given": of(taught, None)}
    if task.name != "all":
        ways["rescoring alone"] = of(plain, task.glossary)
        ways["trained with one, annotated"] = annotated_alone(taught, task, beams)
    ways["annotated and rescored"] = of(taught, task.glossary)
    base, found = ways["no glossary"], []
    for name, texts in ways.items():
        difference = paired_test(base, texts, [task.references], "en")["bleu"]
        found.append(
            {
                "terms": task.name,
                "way": name,
                "pairs": len(texts),
                "occurred": task.occurred,
                "honoured": honoured(task, texts),
                "bleu": difference.system.score,
                "p_value": None if texts is base else difference.p_value,
            }
        )
    return found


def measure(arguments: argparse.Namespace) -> None:
    """Translate, count and score."""
    plain, taught = (Translator.from_pretrained(one) for one in (arguments.plain, arguments.taught))
    config = load_config("demo")
    test = [(pair.source, pair.target) for pair in read_splits(config).test]
    found = []
    for name in arguments.tasks:
        terms = nouns_of(arguments.folder / f"{'unseen' if name == 'unseen' else 'taught'}.tsv", arguments.most)
        task = task_of(name, terms, test[: arguments.pairs])
        print(
            f"{name}: {len(task.glossary)} terms, {task.occurred} times in {len(task.sources)} test pairs", flush=True
        )
        found += rows(task, plain, taught, arguments.beams)
        if arguments.json:
            write_json(Path(arguments.json), found)
    console.show_table(
        f"Terms honoured, {arguments.beams} beams",
        ["terms", "way", "honoured", "share", "BLEU", "p"],
        [
            [
                row["terms"],
                row["way"],
                f"{row['honoured']} of {row['occurred']}",
                f"{row['honoured'] / row['occurred']:.1%}",
                f"{row['bleu']:.1f}",
                "" if row["p_value"] is None else f"{row['p_value']:.3f}",
            ]
            for row in found
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("prepare", help="make the lists of terms")
    first.add_argument("-o", "--output", type=Path, required=True)
    second = commands.add_parser("measure", help="translate the test pairs")
    second.add_argument("folder", type=Path, help="with taught.tsv and unseen.tsv")
    second.add_argument("--plain", required=True, help="a run without a glossary")
    second.add_argument("--taught", required=True, help="a run that was trained with taught.tsv")
    second.add_argument("--beams", type=int, default=4)
    second.add_argument("--most", type=int, default=150, help="how many terms of each list, the most frequent")
    second.add_argument("--pairs", type=int, default=1_000, help="how many test pairs to look at")
    second.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    second.add_argument("--json", default="", help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        prepare(arguments.output)
    else:
        measure(arguments)


if __name__ == "__main__":
    main()
