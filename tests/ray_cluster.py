"""A cluster of Ray of three machines on this one. Prints its address, and obeys lines of input until they end.

`kill NAME` puts a machine in the place of another, that of this name or that on which the process of this number runs;
`path FOLDER` puts one that finds packages in FOLDER first in the place of all.
"""

import os
import sys
from pathlib import Path

import psutil
from ray._private.node import Node
from ray.cluster_utils import Cluster


def main() -> None:
    """A head without CPUs, on which drivers run, and two machines of one CPU each."""
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
            (node,) = (one for one in cluster.worker_nodes if name in (one.node_id, *processes(one)))
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1, **common)
        elif word == "path":
            for node in list(cluster.worker_nodes):
                cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": name}, **common)
        print("done", flush=True)
    cluster.shutdown()


def processes(node: Node) -> list[str]:
    """The ids of a machine's processes."""
    (raylet,) = node.all_processes["raylet"]
    return [str(one.pid) for one in psutil.Process(raylet.process.pid).children(recursive=True)]


if __name__ == "__main__":
    main()
