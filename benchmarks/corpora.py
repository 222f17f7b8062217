"""Memory and speed of a corpus on its way to training, against the number of its pairs. Linux only.

    python benchmarks/corpora.py                            1 and 10 million generated pairs
    python benchmarks/corpora.py --pairs 100000 1000000 --stages check clean

Stages: `check` and `clean` are those of `translora data`. Then three in one process, as a training has them: `read`
reads, cleans and cuts the splits, `tokenise` makes token ids, and `plan` plans one epoch. The pairs are the embedded
ones with a number behind each side; one in ten came before. "Own memory" is what cannot be dropped (RssAnon); pages of
memory-mapped files are dropped where memory is wanted, and are listed beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from translora import mini
from translora.config import CleaningConfig, Config, DataConfig, SourceConfig, TrainingConfig
from translora.data.check import check_corpus
from translora.data.cleaning.corpus import clean_corpus
from translora.data.readers.sources import read
from translora.data.splits import read_splits
from translora.data.tokens import tokenise
from translora.training.plan import Plan

STAGES = {"check": ("check",), "clean": ("clean",), "tokenise": ("read", "tokenise", "plan")}
THOROUGH = CleaningConfig(bad_lines="skip", duplicates="normalised", identical="drop")
REPEATED = 10
SAMPLE_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--worker", nargs=2, metavar=("STAGE", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measured(*options.worker)))
        return
    figures = [one for pairs in options.pairs for one in of_size(pairs, options.stages)]
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def of_size(pairs: int, stages: list[str]) -> Iterator[dict[str, Any]]:
    """The figures of all stages for one corpus, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "corpus.tsv"
        write_pairs(file, pairs)
        for stage in stages:
            command = [sys.executable, __file__, "--worker", stage, str(file)]
            environment = {**os.environ, "TRANSLORA_CACHE": f"{folder}/cache"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            for one in json.loads(done.stdout.splitlines()[-1]):
                print(f"{pairs:,} pairs: {one}", file=sys.stderr)
                yield {"pairs": pairs, "pairs_per_second": pairs / one["seconds"], **one}


def write_pairs(file: Path, pairs: int) -> None:
    """The embedded pairs, again and again, with numbers; see above."""
    known = list(read(SourceConfig(path="mini"), "de", "en"))
    with file.open("w", encoding="utf-8") as stream:
        for number in range(pairs):
            repeated = number - REPEATED // 2 if number % REPEATED == REPEATED - 1 else number
            pair = known[repeated % len(known)]
            stream.write(f"{pair.source} {repeated}\t{pair.target} {repeated}\n")


def measured(stage: str, file: str) -> list[dict[str, Any]]:
    """The figures of a stage, or of all that follow each other in it."""
    source, output = SourceConfig(path=file), Path(file).with_name("clean.tsv")
    if stage == "check":
        return [timed(stage, lambda: check_corpus(source, "de", "en", CleaningConfig()))[0]]
    if stage == "clean":
        return [timed(stage, lambda: clean_corpus(source, "de", "en", THOROUGH, output, overwrite=True))[0]]
    tokenizer = AutoTokenizer.from_pretrained(mini.MODEL)
    config = Config(data=DataConfig(train=source, validation_size=500, test_size=500))
    reading, splits = timed("read", lambda: read_splits(config))
    tokenising, tokens = timed("tokenise", lambda: tokenise(splits.train, tokenizer, "", config.data.max_tokens))
    planning, _ = timed(
        "plan", lambda: Plan(tokens.source_lengths, tokens.target_lengths, TrainingConfig(epochs=1), seed=1)
    )
    return [reading, tokenising, planning]


def timed(stage: str, work: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
    """The time of `work` and the most memory while it ran, in bytes; and its result."""
    with peaks() as most:
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
    return {"stage": stage, "seconds": seconds, **most}, result


@contextmanager
def peaks() -> Iterator[dict[str, int]]:
    """The highest values of own memory and of mapped files inside the block, in bytes, looked at 50 times a second."""
    most = {"own_memory": 0, "mapped_files": 0}
    ended = threading.Event()

    def look() -> None:
        while True:
            status = Path("/proc/self/status").read_text()
            for name, field in (("own_memory", "RssAnon"), ("mapped_files", "RssFile")):
                (kibibytes,) = re.findall(rf"^{field}:\s+(\d+) kB", status, flags=re.MULTILINE)
                most[name] = max(most[name], int(kibibytes) * 1024)
            if ended.wait(SAMPLE_SECONDS):
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def show(figures: list[dict[str, Any]]) -> None:
    table = Table(title="a corpus on its way to training, one process")
    for heading in ("pairs", "stage", "own memory, MiB", "mapped files, MiB", "pairs/s"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for one in figures:
        memory = (f"{one[name] / 2**20:,.0f}" for name in ("own_memory", "mapped_files"))
        table.add_row(f"{one['pairs']:,}", one["stage"], *memory, f"{one['pairs_per_second']:,.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
