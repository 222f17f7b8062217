"""Do fuzzy matches help a run that was trained with `data.fuzzy`? BLEU of texts that have one, with and without.

    python benchmarks/fuzzy.py runs/fuzzy --baseline runs/demo --memory mini --data mini

Of the test pairs those count that have a match of the run's `data.fuzzy_least` in the training pairs. They are
translated with the match and without, by the baseline (without) where one is named, and the translation of the match
alone is scored too. The same is told of the texts by how like theirs is: 0.6 to 0.7, 0.7 to 0.8, and so on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Corpus
from translora.data.readers.sources import default_split, read_corpus
from translora.io import console
from translora.io.files import write_json
from translora.scoring.metrics import bleu
from translora.scoring.significance import paired_test
from translora.translation.memory import Memory
from translora.translation.translator import Translator


def corpus(path: str, wanted: str, languages: tuple[str, str]) -> Corpus:
    config = SourceConfig(path=path)
    return read_corpus(SourceConfig(path=path, split=default_split(config, wanted)), *languages)


def level_of(memory: Memory, source: str, least: float) -> float:
    """How like a text its fuzzy match is, at least: `least`, or more in tenths."""
    higher = [level / 10 for level in range(9, 0, -1) if level / 10 > least]
    return next((level for level in higher if memory.similar(source, level)), least)


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    translator = Translator.from_pretrained(arguments.run)
    if translator.config.data.fuzzy != "memory":
        raise SystemExit(f"{arguments.run}: not trained with data.fuzzy: memory")
    languages = translator.config.source, translator.config.target
    memory = Memory(arguments.memory)
    memory.add(corpus(arguments.memory, "train", languages), Path(arguments.memory))
    pairs = corpus(arguments.data, "test", languages)
    least = translator.config.data.fuzzy_least
    found = [memory.get(pair.source) is None and memory.similar(pair.source, least) for pair in pairs]
    chosen = [i for i, match in enumerate(found) if match]
    levels = [level_of(memory, pairs.sources[i], least) for i in chosen]
    sources, targets = [pairs.sources[i] for i in chosen], [pairs.targets[i] for i in chosen]
    beams = arguments.beams
    texts = {"the match's translation as it is": [str(found[i]) for i in chosen]}
    if arguments.baseline:
        texts["baseline"] = Translator.from_pretrained(arguments.baseline).translate(sources, beams=beams)
    texts["without the match"] = translator.translate(sources, beams=beams)
    texts["with the match"] = [one.text for one in translator.decode(sources, beams=beams, memory=memory)]
    differences = paired_test(texts["without the match"], texts["with the match"], [targets], languages[1])
    bands = []
    for level in sorted(set(levels)):
        of_it = [i for i, one in enumerate(levels) if one == level]
        scores = {
            name: bleu([one[i] for i in of_it], [targets[i] for i in of_it], languages[1])
            for name, one in texts.items()
        }
        bands.append({"least": level, "segments": len(of_it), "bleu": scores})
    return {
        "bands": bands,
        "segments": len(chosen),
        "of": len(pairs),
        "bleu": {name: bleu(one, targets, languages[1]) for name, one in texts.items()},
        "p_value": differences["bleu"].p_value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run that was trained with data.fuzzy: memory")
    parser.add_argument("--baseline", default="", help="a run or a model to compare with")
    parser.add_argument("--memory", default="mini", help="the pairs among which matches are found")
    parser.add_argument("--data", default="mini", help="the pairs to translate")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--json", default="", help="also write the figures to this file")
    arguments = parser.parse_args()
    found = measured(arguments)
    bands = found["bands"]
    console.show_table(
        f"Fuzzy matches: {found['segments']} of {found['of']} segments have one, beams {arguments.beams}",
        ["BLEU", "all", *(f"from {band['least']:g} ({band['segments']})" for band in bands)],
        [
            [name, f"{score:.1f}", *(f"{band['bleu'][name]:.1f}" for band in bands)]
            for name, score in found["bleu"].items()
        ],
    )
    print(f"with against without: p = {found['p_value']:.3f} by paired bootstrap resampling")
    if arguments.json:
        write_json(Path(arguments.json), found)


if __name__ == "__main__":
    main()
