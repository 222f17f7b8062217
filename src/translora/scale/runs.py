"""Places for the runs of a comparison on a cluster of Ray: each on whichever machine has room for it.

A run is a process there, started as it is on this machine. Run folders lie on a file system that all machines share.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from translora.comparison.folder import marker_of
from translora.comparison.places import (
    Result,
    RunProcess,
    Stage,
    Started,
    cores,
    cpu_share,
    require_one_device,
    to_try_again,
)
from translora.comparison.variants import Variant
from translora.config import Config
from translora.errors import ConfigError, DataError, StorageError
from translora.io.files import only_process, read_json
from translora.runs.folder import Run
from translora.scale.cluster import LostWorkerError, RayEngine, Worker

_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
"""The time without room after which that is said."""
_HELD_SECONDS = 120.0
"""How long a process that lost its machine may need to end after its step."""
_Call = Callable[[str], tuple[list[str], Result | None]]


@dataclass(frozen=True)
class _Cluster:
    """What the places of one comparison share."""

    engine: RayEngine
    folder: Path
    """The comparison's."""
    needs: Mapping[str, float]
    """What a run takes of a machine, by Ray's names."""
    share: tuple[int, int]
    """The threads of a run, and how many runs go on at a time."""
    left: dict[str, str] = field(default_factory=dict)
    """The node that a run failed on, by its folder."""
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    """The hashes of the data that the first run of each kind saw."""


@dataclass(frozen=True)
class RunPlace:
    """Room for one run at a time; the machine may be another one each time."""

    cluster: _Cluster

    def start(self, config: Config, stage: Stage) -> Started:
        """Begin `stage` of `config`, once a machine has room."""
        return _RemoteRun(self.cluster, config, stage)


def ray_places(
    engine: RayEngine, parallel: int | None, config: Config, variants: Sequence[Variant] = ()
) -> list[RunPlace]:
    """Places for `parallel` runs at a time: a GPU each, or a part of a machine's CPU.

    By default there is one for each GPU of the cluster, or, on CPUs, as many as there are machines.

    Raises `ConfigError` where the cluster does not have so many GPUs or CPUs.
    """
    if parallel is not None and parallel < 1:
        raise ConfigError(f"--parallel {parallel}: must be at least 1")
    require_one_device(config, variants, "--engine ray")
    if config.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--engine ray: runs cannot share {config.device}: use --device cuda, cpu or auto")
    machines = [(int(one.get("GPU", 0)), int(one.get("CPU", 0))) for one in engine.machines()]
    gpus, cpus = sum(gpu for gpu, _ in machines), [cpu for _, cpu in machines if cpu]
    if config.device == "cuda" and not gpus:
        raise ConfigError("device 'cuda': the cluster has no GPU: use cpu or auto")
    if gpus and config.device != "cpu":
        kind, most, runs, needs = "GPUs", gpus, parallel or gpus, {"CPU": 1.0, "GPU": 1.0}
        threads = min(cpu // gpu for gpu, cpu in machines if gpu)
    else:
        kind, most, runs = "CPUs", sum(cpus), parallel or len(cpus)
        threads = _share(cpus, runs)
        needs = {"CPU": float(threads)}
    if not 1 <= runs <= most:
        raise ConfigError(f"--parallel {runs}: the cluster has {most} {kind}: name at most so many")
    return [RunPlace(_Cluster(engine, Path(config.output), needs, (max(1, threads), runs)))] * runs


def _share(cpus: Sequence[int], runs: int) -> int:
    """The most CPUs that each of so many runs at a time can have, where a run is on one machine."""
    shares = range(max(cpus, default=1), 0, -1)
    return next((share for share in shares if sum(cpu // share for cpu in cpus) >= runs), 1)


@dataclass(frozen=True)
class Seen:
    """What the machine that gives the work sees of the file system."""

    cwd: str
    folder: str
    """The comparison's."""
    marker: str
    """The content of its marker."""

    def fault(self) -> str:
        """Why a run cannot be done on this machine; empty where it sees the same."""
        if not os.path.isdir(self.cwd) or marker_of(Path(self.cwd) / self.folder) != self.marker:
            path = Path(self.cwd) / self.folder
            return f"does not see {path}: start the command on a file system that all machines share, for --output too"
        return ""


class _RemoteRun:
    """A stage of a run in a process on some machine of a cluster; see `Started`."""

    def __init__(self, cluster: _Cluster, config: Config, stage: Stage) -> None:
        self._cluster, self._config = cluster, config
        seen = Seen(os.getcwd(), str(cluster.folder), marker_of(cluster.folder))
        self._make = pickle.dumps(partial(_begin, config, stage, seen, *cluster.share, "GPU" in cluster.needs))
        self._worker: Worker | None = None
        self._asked: object = None
        self._order = ""
        self._said = self._since = time.monotonic()

    def poll(self) -> tuple[list[str], Result | None]:
        """See `Started`; raises `ClusterError` and `DataError` for a machine that cannot do the work."""
        if self._worker is None:
            if self._order:
                return [], to_try_again("it was ended")
            if self._is_held():
                time.sleep(_POLL_SECONDS)
                return self._waiting("until an earlier process has left the run folder"), None
            needs, left = self._cluster.needs, self._cluster.left.get(self._config.output, "")
            self._worker = self._cluster.engine.worker(self._make, needs, left)
            self._asked = self._worker.begun
        worker = self._worker
        if not worker.is_answered(self._asked, _POLL_SECONDS):
            return [] if worker.host else self._waiting("until a machine has room for it"), None
        try:
            if not worker.host:
                worker.began()
                lines, result = [f"on {worker.host}"], None
            else:
                lines, result = worker.answer(self._asked)
        except LostWorkerError as error:
            lines, result = [], to_try_again(f"{worker.host or 'its worker'} was lost ({error})")
        if result is None:
            self._asked, self._order = worker.ask(self._order), ""
        else:
            self._ended(worker, result)
        return lines, result

    def _is_held(self) -> bool:
        """Whether a process that has lost the machine of its worker may still be at work in the run folder."""
        folder = Path(self._config.output)
        if not folder.exists() or time.monotonic() - self._since > _HELD_SECONDS:
            return False
        try:
            with only_process(folder):
                return False
        except StorageError:
            return True

    def _waiting(self, until: str) -> list[str]:
        """The line that says so, now and then."""
        now = time.monotonic()
        if now - self._said < _PATIENCE_SECONDS:
            return []
        self._said = now
        return [f"waits {until}"]

    def _ended(self, worker: Worker, result: Result) -> None:
        """Note a machine that failed, and compare the data of one that did not with those of the others."""
        config, run = self._config, Run(Path(self._config.output))
        if result["exit_code"]:
            self._cluster.left[config.output] = worker.node
            return
        for _ in run.folder.rglob("*"):
            """Reading a folder makes NFS forget which files were not there before."""
        found = read_json(run.inputs)
        kind = config.data, config.model, config.revision, config.method == "none"  # which may read no training pairs
        first = self._cluster.inputs.setdefault(repr(kind), found)
        other = [name for name in first if found.get(name) != first[name]]
        if other:
            raise DataError(
                f"--engine ray: the {other[0]} on {worker.host} differ from those that another machine has: give all "
                f"machines the same, and start over with --overwrite"
            )

    def end(self) -> None:
        """See `Started`."""
        self._order = "end"
        if self._worker and not self._worker.host:  # it has no process yet
            self._worker.close()

    def close(self) -> None:
        """See `Started`; a process there ends after its step when it finds its worker gone."""
        if self._worker:
            self._worker.close()


def _begin(config: Config, stage: Stage, seen: Seen, threads: int, runs: int, gpu: bool) -> _Call | str:
    """Start a stage on this machine; returns what to call for news of it, or why it cannot be done here."""
    if fault := seen.fault():
        return fault
    environment = cpu_share(threads, max(1, min(runs, cores() // threads)))
    if not gpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    process = RunProcess(config, stage, environment, cwd=seen.cwd)

    def call(order: str) -> tuple[list[str], Result | None]:
        if order:
            process.end()
        lines, result = process.poll()
        if result is not None:
            process.close()
        return lines, result

    return call
