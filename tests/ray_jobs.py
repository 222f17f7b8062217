"""A cluster of Ray on this machine, and jobs on it, each in a process of its own: Ray starts threads and processes.

python ray_jobs.py cluster                       prints its address; obeys lines of `kill NODE` until its input ends
python ray_jobs.py JOB ADDRESS INPUT OUTPUT      waits after two shards, tells the node, goes on at a line of input
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from translora.config import CleaningConfig, SourceConfig
from translora.data.check import Extra, as_dict, check_corpus
from translora.data.cleaning.corpus import CleanJob
from translora.data.readers.sources import read
from translora.scale.cluster import RayEngine
from translora.scale.shards import Shard, Work

RULES = CleaningConfig(bad_lines="skip", duplicates="normalised", identical="drop", leakage="near")
HELD_OUT = SourceConfig(path="mini", split="test", limit=50)
ROWS = 100


class Pausing(RayEngine):
    """Waits for a line of input when the first shard is written and the second is done."""

    def each(self, work: Work, shards: Iterator[Shard]) -> Iterator[tuple[Shard, bytes]]:
        for number, done in enumerate(super().each(work, shards)):
            if number == 1:
                print(self._pool._idle[-1].node, flush=True)
                input()
            yield done


def main() -> None:
    kind, *arguments = sys.argv[1:]
    if kind == "cluster":
        run_cluster()
        return
    address, corpus, output = arguments[0], arguments[1], Path(arguments[2])
    if address == "none":
        JOBS[kind](corpus, output, None)
        return
    with Pausing(address) as engine:
        JOBS[kind](corpus, output, engine)


def check(corpus: str, output: Path, engine: RayEngine | None) -> None:
    from translora.scale.corpora import check_in_shards

    config, extra = SourceConfig(path=corpus), Extra(list(read(HELD_OUT, "de", "en")))
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


JOBS = {"check": check, "clean": clean}


def run_cluster() -> None:
    """A head without CPUs, on which drivers run, and two machines of one CPU each."""
    from ray.cluster_utils import Cluster

    Path(os.environ["RAY_TMPDIR"], "ray").mkdir()
    common = {"object_store_memory": 80 << 20, "include_dashboard": False}
    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": soon, **common})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **common)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        word, _, name = line.strip().partition(" ")
        if word == "kill":
            (node,) = (one for one in cluster.worker_nodes if one.node_id == name)
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1, **common)
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
