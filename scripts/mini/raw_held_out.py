"""The held-out interface strings of the base model as they are in the programs, before pieces replaced placeholders.

    python scripts/mini/raw_held_out.py --packages packages --held-out interface-test.tsv valid.tsv -o raw.tsv

`benchmarks/placeholders.py` measures on them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from build_base import interface_pairs, protected

from translora.io.files import write_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="the folder of the Debian packages and the wheel")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="files that build_base.py wrote")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [line for path in arguments.held_out for line in path.read_text(encoding="utf-8").splitlines()]
    wanted = [tuple(line.split("\t")) for line in lines]
    raw: dict[tuple[str, ...], tuple[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _, pair in interface_pairs(arguments.packages, Path(folder)):
            raw.setdefault(protected(pair) or pair, pair)
    found = [raw[pair] for pair in wanted if pair in raw]
    write_lines(arguments.output, ["\t".join(pair) for pair in found])
    print(f"{len(found):,} of {len(wanted):,} pairs, {sum('<ph' in pair[0] for pair in wanted):,} with placeholders")


if __name__ == "__main__":
    main()
