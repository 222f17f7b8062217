"""Jobs on a cluster of Ray, each in a process of its own, since Ray starts threads and processes.

    python ray_jobs.py JOB ADDRESS INPUT OUTPUT

It waits after two shards, says on which node, and goes on at a line of input.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from translora.config import CleaningConfig, SourceConfig
from translora.data.check import Extra, as_dict, check_corpus
from translora.data.cleaning.corpus import CleanJob
from translora.data.readers.sources import read
from translora.io.console import logger
from translora.scale.cluster import RayEngine
from translora.scale.shards import Shard, Work
from translora.translation import evaluation

RULES = CleaningConfig(bad_lines="skip", duplicates="near", identical="drop", leakage="near")
HELD_OUT = SourceConfig(path="mini", split="test", limit=50)
ROWS = 100
LINES = 4


class Pausing(RayEngine):
    """Waits for a line of input when the first shard is written and the second is done."""

    def each(self, work: Work, shards: Iterator[Shard]) -> Iterator[tuple[Shard, bytes]]:
        for number, done in enumerate(super().each(work, shards)):
            if number == 1:
                print(self._pool._idle[-1].node, flush=True)
                input()
            yield done


def main() -> None:
    kind, address, corpus, name = sys.argv[1:]
    output = Path(name)
    evaluation.RANGE = LINES
    with Pausing(address) as engine:
        JOBS[kind](corpus, output, engine)


def check(corpus: str, output: Path, engine: RayEngine | None) -> None:
    from translora.scale.corpora import check_in_shards

    config, extra = SourceConfig(path=corpus), Extra(list(read(HELD_OUT, "de", "en")), near=True)
    if engine:
        found = check_in_shards(config, ("de", "en"), RULES, extra, engine, ROWS)
    else:
        found = check_corpus(config, "de", "en", RULES, extra)
    output.write_text(json.dumps(as_dict([found])))


def clean(corpus: str, output: Path, engine: RayEngine | None) -> None:
    from translora.scale.corpora import clean_in_shards

    job = CleanJob(SourceConfig(path=corpus), "de", "en", RULES, output, [HELD_OUT])
    cleaner = clean_in_shards(job, engine, ROWS) if engine else job.run()
    output.with_suffix(".json").write_text(json.dumps([cleaner.kept, {k: vars(v) for k, v in cleaner.dropped.items()}]))


def translate(corpus: str, output: Path, engine: RayEngine | None) -> None:
    """The sources of the corpus, with a translation memory and a glossary, rated."""
    from translora.scale.lines import LineJob, ModelName, translate_file_in_shards
    from translora.translation import stream
    from translora.translation.memory import Memory
    from translora.translation.quality import Rater
    from translora.translation.review import Review
    from translora.translation.terms import Glossary, Term

    lines = Path(corpus).with_name("in.txt")
    pairs = [line.split("\t") for line in Path(corpus).read_text(encoding="utf-8").splitlines()[:36]]
    lines.write_text("".join(pair[0] + "\n" for pair in pairs), encoding="utf-8")
    memory = Memory("memory", {pairs[3][0]: "from memory", pairs[33][0]: "and again"})
    glossary = Glossary([Term(("Datei",), ("file",)), Term(("Seite",), ("page",))], "de", "en")
    options = stream.TextOptions(memory=memory, glossary=glossary)
    model = ModelName("mini", max_tokens=8)
    rated = output.with_name("rated.jsonl")
    with rated.open("w", encoding="utf-8") as stream_of_rows, notices_to(output.with_name("said.txt")):
        review = Review(Rater("de", "en", ()), stream_of_rows)
        translator = model.load()
        if engine:
            job = LineJob(model, translator, options, scores=True, rows=LINES)
            translate_file_in_shards(job, lines, output, engine, review)
        else:
            stream.translate_file(translator, lines, output, options, review=review)


def evaluate(corpus: str, output: Path, engine: RayEngine | None) -> None:
    """Some pairs of the corpus."""
    data = SourceConfig(path=corpus, split="[:40]")
    request = evaluation.Request(model="mini", data=data, max_tokens=8, output=str(output))
    with notices_to(output.with_name("said.txt")):
        found = evaluation.run_evaluation(request, engine)
    output.with_suffix(".json").write_text(json.dumps(found.as_dict()))


@contextmanager
def notices_to(path: Path) -> Iterator[None]:
    """Also write to `path` what is said of lines; not what is said of shards."""
    handler = logging.FileHandler(path)
    handler.addFilter(lambda record: not {"shard", "shards", "worker"} & set(record.getMessage().split()))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


JOBS = {"check": check, "clean": clean, "translate": translate, "evaluate": evaluate}


if __name__ == "__main__":
    main()
