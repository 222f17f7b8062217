"""How many near duplicates are found, by similarity: MinHash signatures and bands against exact Jaccard of all pairs.

    python benchmarks/near_duplicates.py                  the training pairs of the embedded corpus
    python benchmarks/near_duplicates.py --pairs 5000     a sample of them

A pair is compared with each other one. "By formula" is what the number of bands and of hash functions lets expect for
sides that are equally similar: the chance of an equal band times that of an estimate of at least 0.8. Speed is that of
the judgement alone, on one core, beside that of normalised duplicates.
"""

from __future__ import annotations

import argparse
import math
import re
import time
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from translora.config import SourceConfig
from translora.data.cleaning import minhash
from translora.data.cleaning.leakage import Duplicates, normalised
from translora.data.cleaning.near import NearDuplicates
from translora.data.pairs import Pair
from translora.data.readers.sources import read_corpus
from translora.io import console
from translora.io.files import write_json

EDGES = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.01)
_WORD = re.compile(r"[^\W_]+|[^\w\s]")


def features(text: str) -> set[str]:
    """The words and word bigrams of a text of a script with spaces."""
    found = _WORD.findall(normalised(text))
    words = [word for word in found if word[0].isalnum() or unicodedata.category(word[0])[0] == "S"]
    return {*words, *map(" ".join, pairwise(words))}


def jaccard(some: set[str], others: set[str]) -> float:
    """The share of the features of either text that both have."""
    return len(some & others) / len(some | others) if some | others else 1.0


class Side:
    """One side of all pairs, with the pairs that have each feature."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.sets = [features(text) for text in texts]
        self.sizes = np.array([len(one) for one in self.sets])
        places: dict[str, list[int]] = {}
        for number, one in enumerate(self.sets):
            for feature in one:
                places.setdefault(feature, []).append(number)
        self.places = {feature: np.array(numbers) for feature, numbers in places.items()}

    def similarities(self, number: int) -> npt.NDArray[np.float64]:
        """The Jaccard similarity of a text with all before it."""
        shared = np.zeros(len(self.sets), dtype=np.int64)
        for feature in self.sets[number]:
            shared[self.places[feature]] += 1
        union = self.sizes[:number] + self.sizes[number] - shared[:number]
        found: npt.NDArray[np.float64] = np.where(union == 0, 1.0, shared[:number] / np.maximum(union, 1))
        return found


def all_pairs(sides: Sequence[Side], least: float) -> Iterator[tuple[int, int, float]]:
    """Numbers of two pairs and their similarity, where it is at least that much."""
    for number in range(len(sides[0].sets)):
        means = sum(side.similarities(number) for side in sides) / len(sides)
        for other in np.flatnonzero(means >= least).tolist():
            yield number, other, float(means[other])


def found_pairs(rows: minhash.Rows) -> set[tuple[int, int]]:
    """All two pairs that are equal in a band and whose similarity is estimated at the threshold or more."""
    found: set[tuple[int, int]] = set()
    for keys in rows.T:
        order = keys.argsort(kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            found.update((later, earlier) for earlier, later in combinations(group.tolist(), 2))
    numbers = np.array(sorted(found)).reshape(-1, 2)
    near = minhash.alike(rows[numbers[:, 0]], rows[numbers[:, 1]])
    return set(map(tuple, numbers[near].tolist()))


def estimated(similarity: float) -> float:
    """The chance that the estimate is at least the threshold, for sides that are equally similar."""
    functions, chance = minhash.BANDS * minhash.BAND_ROWS, 2.0**-4
    equal = similarity + (1 - similarity) * chance
    least = round(functions * (minhash.THRESHOLD + (1 - minhash.THRESHOLD) * chance))
    terms = (math.comb(functions, n) * equal**n * (1 - equal) ** (functions - n) for n in range(least, functions + 1))
    return min(1.0, sum(terms))


def speeds(pairs: Sequence[Pair]) -> dict[str, float]:
    """Pairs per second of CPU time, the better of two times."""
    best: dict[str, float] = {}
    for _ in range(2):
        known, near = Duplicates(True), NearDuplicates()
        for name, judge in (
            ("normalised", lambda known=known: [known.seen(pair) for pair in pairs]),
            ("near", lambda near=near: list(near.each(pairs))),
        ):
            started = time.process_time()
            judge()
            best[name] = max(best.get(name, 0), len(pairs) / (time.process_time() - started))
    return best


def measure(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The rows of the table, the precision, how many pairs are left out, and speeds."""
    sides = [Side([pair[:2][side] for pair in pairs]) for side in (0, 1)]
    exact = list(all_pairs(sides, EDGES[0]))
    found = found_pairs(minhash.signatures(pairs))
    rows = []
    for low, high in pairwise(EDGES):
        inside = [(one, other, value) for one, other, value in exact if low <= value < high]
        if inside:
            chances = [minhash.found_by_bands(value) * estimated(value) for _, _, value in inside]
            hits = sum((one, other) in found for one, other, _ in inside)
            rows.append({"from": low, "pairs": len(inside), "formula": sum(chances) / len(inside),
                         "measured": hits / len(inside)})  # fmt: skip
    true = {(one, other): value for one, other, value in exact}
    similar = sorted(true.get(one, 0.0) for one in found)
    late = {one for one, _, value in exact if value >= minhash.THRESHOLD}
    left_out = {number for number, (_, earlier) in enumerate(NearDuplicates().each(pairs)) if earlier}
    return {
        "rows": rows,
        "found": len(found),
        "precision": {str(least): sum(one >= least for one in similar) / len(similar) for least in (0.8, 0.75, 0.7)},
        "least_similarity_found": similar[0],
        "pairs_with_an_earlier_near_one": len(late),
        "left_out": len(left_out),
        "left_out_of_these": len(late & left_out),
        "pairs_per_second": speeds(pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=0, help="a sample of so many pairs; 0: all (default)")
    parser.add_argument("--json", default="", help="also write the figures to this file")
    arguments = parser.parse_args()
    corpus = read_corpus(SourceConfig(path="mini"), "de", "en")
    pairs = list(corpus.sample(arguments.pairs, 0) if arguments.pairs else corpus)
    found = measure(pairs)
    console.show_table(
        f"Two of {len(pairs):,} pairs, found as near duplicates",
        ["similarity from", "pairs", "found by formula", "found"],
        [
            [f"{row['from']:.2f}", f"{row['pairs']:,}", f"{row['formula']:.1%}", f"{row['measured']:.1%}"]
            for row in found["rows"]
        ],
    )
    for name in [name for name in found if name != "rows"]:
        console.results.print(f"{name}: {found[name]}")
    if arguments.json:
        write_json(Path(arguments.json), found)


if __name__ == "__main__":
    main()
