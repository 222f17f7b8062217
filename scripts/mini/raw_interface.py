"""The interface strings of the base model as they are in the programs, before pieces replaced placeholders.

    python scripts/mini/raw_interface.py --packages packages -o interface

`build_base.py` says how to get the packages. The folder gets `train.tsv`, the strings that the base was trained on;
`test.tsv`, those that it was not trained on, a fifth of which chose its checkpoint; and `validation.tsv`, others that
it never met. `marked-train.tsv` and `marked-validation.tsv` have those with the same placeholders on both sides.
`benchmarks/placeholders.py` measures on the test strings. No training pair is nearly one of the others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from build_base import VALIDATION, clean, held_out_of, interface_pairs, pairs_of

from translora.data.cleaning.leakage import Leakage
from translora.data.pairs import Pair
from translora.io.files import write_lines
from translora.translation.protect import Protector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="the folder of the Debian packages and the wheel")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of the files")
    arguments = parser.parse_args()
    help_pairs = [Pair(*pair) for part in ("validation", "test") for pair in pairs_of("mini", part)]
    with tempfile.TemporaryDirectory() as folder:
        strings, _ = clean(interface_pairs(arguments.packages, Path(folder)), Leakage(help_pairs, near=True))
    train, validation, test = held_out_of(strings)
    chose_checkpoint = VALIDATION // 2
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = Protector().found
    files = {
        "train.tsv": train,
        "validation.tsv": validation[chose_checkpoint:],
        "test.tsv": [*test, *validation[:chose_checkpoint]],
    }
    for name, pairs in files.items():
        marked = [(old, new) for old, new in pairs if found(old) and sorted(found(old)) == sorted(found(new))]
        write_lines(arguments.output / name, ["\t".join(pair) for pair in pairs])
        if name != "test.tsv":
            write_lines(arguments.output / f"marked-{name}", ["\t".join(pair) for pair in marked])
        print(f"{len(pairs):>9,} pairs in {arguments.output / name}, {len(marked):,} of them marked")


if __name__ == "__main__":
    main()
