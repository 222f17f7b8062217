"""Build the everyday-sentence corpus that the embedded base model is trained on, from Tatoeba's German and English.

    python scripts/mini/build_tatoeba.py deu-eng.zip -o FOLDER

`deu-eng.zip` comes from <https://www.manythings.org/anki/>; its `deu.txt` holds `English<TAB>German` and, in newer
files, an attribution. FOLDER gets `train.tsv.gz`, `valid.tsv` and `test.tsv`, each `German<TAB>English`. Exact
duplicates are removed, and no sentence of one split, German or English, occurs in another.
"""

from __future__ import annotations

import argparse
import gzip
import random
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from translora.io.files import atomic_file

HELD_OUT = 2000
SEED = 20180513
MEMBER = "deu.txt"

Pair = tuple[str, str]


def read_pairs(archive: Path) -> tuple[list[Pair], int]:
    """The German-English pairs of `archive` in its order, and how many lines are not a pair of texts."""
    try:
        with zipfile.ZipFile(archive) as opened:
            text = opened.read(MEMBER).decode("utf-8-sig")
    except OSError as error:
        raise SystemExit(f"{archive}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise SystemExit(f"{archive}: not a zip file with UTF-8 text: {error}") from None
    except KeyError:
        raise SystemExit(f"{archive}: has no {MEMBER}; expected deu-eng.zip of manythings.org/anki") from None
    pairs, broken = [], 0
    for line in text.removesuffix("\n").split("\n"):
        english, german, *_ = [field.strip() for field in line.split("\t")] + ["", ""]
        if english and german:
            pairs.append((german, english))
        else:
            broken += 1
    return pairs, broken


def split(pairs: list[Pair], held_out: int, seed: int, key: Callable[[str], str] = str) -> list[list[Pair]]:
    """Train, validation and test, the latter two of `held_out` pairs each; no sentence is in two of them.

    Two texts are the same sentence if `key` makes them equal. Only pairs whose two sentences occur in no other pair are
    held out, so that each counts once in a score. Train keeps the order of `pairs`; the others are in random order.
    """
    keys = [{key(source), key(target)} for source, target in pairs]
    occurrences = Counter(sentence for sentences in keys for sentence in sentences)
    alone = [index for index, sentences in enumerate(keys) if all(occurrences[sentence] == 1 for sentence in sentences)]
    if len(alone) < 2 * held_out:
        raise SystemExit(f"too few pairs: cannot hold out twice {held_out:,}, only {len(alone):,} share no sentence")
    chosen = random.Random(seed).sample(alone, 2 * held_out)
    taken = set(chosen)
    train = [pair for index, pair in enumerate(pairs) if index not in taken]
    validation, test = chosen[:held_out], chosen[held_out:]
    return [train, [pairs[index] for index in validation], [pairs[index] for index in test]]


def write_pairs(path: Path, pairs: list[Pair]) -> None:
    """Write `pairs` tab-separated, atomically; a name that ends in `.gz` is compressed, always to the same bytes."""
    data = "".join(f"{source}\t{target}\n" for source, target in pairs).encode()
    with atomic_file(path) as temporary, open(temporary, "wb") as stream:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
                packed.write(data)
        else:
            stream.write(data)


def write_splits(folder: Path, names: list[str], splits: list[list[Pair]]) -> None:
    """Write each split under its name in `folder` and print how many pairs it holds."""
    for name, part in zip(names, splits, strict=True):
        try:
            write_pairs(folder / name, part)
        except OSError as error:
            raise SystemExit(f"{folder / name}: {error.strerror or error}") from None
        print(f"{len(part):>9,} pairs in {folder / name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="deu-eng.zip")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the corpus's folder")
    arguments = parser.parse_args()
    read, broken = read_pairs(arguments.archive)
    pairs = list(dict.fromkeys(read))
    splits = split(pairs, HELD_OUT, SEED)
    print(f"{len(read) + broken:>9,} lines read")
    print(f"{broken:>9,} dropped: not two texts")
    print(f"{len(read) - len(pairs):>9,} dropped: duplicate")
    print(f"{len(pairs):>9,} kept")
    write_splits(arguments.output, ["train.tsv.gz", "valid.tsv", "test.tsv"], splits)


if __name__ == "__main__":
    main()
