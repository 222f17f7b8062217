"""How fast a corpus is cleaned, and in how much memory: `translora data clean` as a process of its own, on one core.

    python benchmarks/cleaning.py                     a million pairs
    python benchmarks/cleaning.py --pairs 4500000     as many as WMT16 has for German and English

The pairs are those of the embedded corpus, numbered so that few are duplicates.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.io import console
from translora.io.files import write_json

ROWS = {
    "default rules": ([], 1),
    "also normalised duplicates": (["--duplicates=normalised"], 1),
    "also near duplicates": (["--duplicates=near"], 1),
    "also languages": (["--duplicates=normalised", "--language=drop"], 50),
}
"""What is measured: the rules, and by how much the corpus is cut, for languages take much longer."""


def write_corpus(path: Path, pairs: int) -> None:
    """`pairs` lines of German and English."""
    texts = list(read(SourceConfig(path="mini"), "de", "en"))
    with open(path, "w", encoding="utf-8") as stream:
        for number, pair in zip(range(pairs), itertools.cycle(texts), strict=False):
            stream.write(f"{pair.source} {number // len(texts)}\t{pair.target} {number // len(texts)}\n")


def measure(corpus: Path, rules: list[str]) -> tuple[float, int]:
    """Seconds and peak memory in bytes of cleaning a file."""
    command = ["data", "clean", str(corpus), "-o", str(corpus.with_name("out.tsv")), "--overwrite"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "translora", *command, "--duplicates=exact", *rules],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"translora {' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def rows(pairs: int) -> list[dict[str, Any]]:
    """A row for each set of rules."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.tsv"
        for name, (rules, part) in ROWS.items():
            write_corpus(corpus, pairs // part)
            seconds, peak = measure(corpus, rules)
            found.append({"rules": name, "pairs": pairs // part, "seconds": seconds, "peak_memory_bytes": peak})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--json", default="", help="also write the figures to this file")
    arguments = parser.parse_args()
    found = rows(arguments.pairs)
    console.show_table(
        "Cleaning on one core, reading and writing included",
        ["rules", "pairs", "seconds", "pairs/s", "peak memory"],
        [
            [row["rules"], f"{row['pairs']:,}", f"{row['seconds']:.1f}", f"{row['pairs'] / row['seconds']:,.0f}",
             f"{row['peak_memory_bytes'] / 2**20:.0f} MiB"]
            for row in found
        ],
    )  # fmt: skip
    if arguments.json:
        write_json(Path(arguments.json), found)


if __name__ == "__main__":
    main()
