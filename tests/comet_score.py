"""The command line of unbabel-comet's `comet-score` (2.2), with chrF and the source's length in place of its model.

COMET itself needs another transformers and gigabytes of weights. Arguments, files and output are those of the original:
unknown arguments are refused, files are read line by line, and a line per segment is printed unless only the system's
score is asked for.
"""

import argparse

from sacrebleu.metrics import CHRF


def segment_scores(sources, translations, references):
    """One score per segment; another order of the files gives others."""
    chrf = CHRF()
    return [
        chrf.sentence_score(translation, [reference]).score / 100 + len(source) / 1000
        for source, translation, reference in zip(sources, translations, references, strict=True)
    ]


def lines_of(path):
    with open(path, encoding="utf-8") as stream:
        return [line.strip() for line in stream.readlines()]


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-s", "--sources", required=True)
    parser.add_argument("-t", "--translations", nargs="+", required=True)
    parser.add_argument("-r", "--references", required=True)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--only_system", action="store_true")
    parser.add_argument("--model", default="Unbabel/wmt22-comet-da")
    options = parser.parse_args()
    if options.model != "Unbabel/wmt22-comet-da":
        parser.error(f"no model {options.model}")
    sources, references = lines_of(options.sources), lines_of(options.references)
    for file in options.translations:
        scores = segment_scores(sources, lines_of(file), references)
        if not options.only_system:
            for number, score in enumerate(scores):
                print(f"{file}\tSegment {number}\tscore: {score:.4f}")
        print(f"{file}\tscore: {sum(scores) / len(scores):.4f}")


if __name__ == "__main__":
    main()
