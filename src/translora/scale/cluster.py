"""Workers on a cluster of Ray, one per CPU or GPU; a lost worker is replaced, and its shard done again.

Ray is imported when an engine is entered. Rows go to the workers and results come back over Ray, so the machines need
no shared file system. The class of the workers travels by value: a machine without translora can still say so.
"""

from __future__ import annotations

import os
import pickle
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Any

from translora import __version__
from translora.errors import ClusterError, ConfigError, TransloraError, reason_of
from translora.io import console
from translora.scale.shards import Shard, Work
from translora.scale.worker import shard_worker, versions

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_worker_niceness": "0",
}
"""No reports of use, no overriding of GPUs, the environment as it is, and workers that do not yield to this process."""
_ANSWER_SECONDS = 10.0
"""How long a cluster may take to answer."""
_SETTINGS = b"\4"
"""The type of the frame with which HTTP/2 begins on either side; Ray speaks gRPC over it."""
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0" + _SETTINGS + bytes(5)
_LEAVE_SECONDS = 5.0
"""How long the folder of a Ray that was started here may need to be free of its processes."""
_POLL_SECONDS = 1.0
"""How often a cluster is asked for room for more workers."""
_PATIENCE_SECONDS = 60.0
"""The time without a worker after which that is said."""
_STORE_BYTES = 512 << 20
"""The memory for rows and results on their way, of a Ray that is started here."""
_TRIES = 4
"""Workers that one shard may cost."""
_NODE = "ray.io/node-id"
"""The label in which Ray has the name of a machine."""


class RayEngine:
    """Does the work of shards on a cluster of Ray, inside a `with` block; see `Engine`."""

    def __init__(self, address: str = "", gpu: bool = False) -> None:
        """`address` is that of a cluster, HOST:PORT, or `auto` for the one that this machine is a node of.

        Without one, and without RAY_ADDRESS, Ray is started on this machine for as long as the block runs. With `gpu` a
        worker takes a GPU, if the cluster has any.
        """
        self._address, self._gpu = address or os.environ.get("RAY_ADDRESS", ""), gpu
        self._folder = ""
        self._ray: Any = None

    def __enter__(self) -> RayEngine:
        """Raises `ConfigError` where Ray is not installed, and `ClusterError` where no cluster answers."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if self._address:
            _require_answer(self._address)
        try:
            import ray
        except ImportError as error:
            raise ConfigError('--engine ray: Ray is not installed: pip install "translora[ray]"') from error
        with _signals_kept():
            self._connect(ray)
        self._ray, self._class = ray, _worker_class(ray)
        return self

    def _connect(self, ray: Any) -> None:
        place: dict[str, Any] = {"address": self._address}
        if not self._address:
            self._folder = tempfile.mkdtemp(prefix="translora-ray-")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex())  # else Ray writes one into the home folder
            place = {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
                "_temp_dir": self._folder,
            }
        try:
            ray.init(**place, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # of Ray, of its calls over the network, of its files
            self._leave()
            where = f"--address {self._address}" if self._address else "--engine ray"
            raise ClusterError(f"{where}: {reason_of(error)}") from error

    def __exit__(self, *_: object) -> None:
        with _signals_kept():
            self._ray.shutdown()
        self._leave()

    def _leave(self) -> None:
        deadline = time.monotonic() + _LEAVE_SECONDS
        while self._folder and os.path.exists(self._folder) and time.monotonic() < deadline:
            shutil.rmtree(self._folder, ignore_errors=True)  # Ray's processes may write a last line into it
            time.sleep(_LEAVE_SECONDS / 50)

    def each(self, work: Work, shards: Iterator[Shard]) -> Iterator[tuple[Shard, bytes]]:
        """Each of `shards` with its result, as they come.

        Raises the `TransloraError` that the work raises, and `ClusterError` for a worker that lacks translora or has
        another version, and where a shard ends one worker after the other.
        """
        self._pool = _Pool(self, work)
        try:
            yield from self._pool.each(shards)
        finally:
            self._pool.close()

    def machines(self) -> list[dict[str, float]]:
        """What each machine of the cluster has, such as CPU and GPU."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def worker(self, make: Any, needs: Mapping[str, float], avoid: str = "") -> Worker:
        """A new worker, on a machine that has what it `needs`, once there is one; rather not on the node `avoid`.

        `make` makes the function, pickled, or is Ray's reference to that.
        """
        strategy = self._ray.util.scheduling_strategies
        spread = strategy.NodeLabelSchedulingStrategy({}, soft={_NODE: strategy.NotIn(avoid)}) if avoid else "SPREAD"
        options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0), "scheduling_strategy": spread}
        return Worker(self._ray, self._class.options(**options).remote(), make)


def _require_answer(address: str) -> None:
    """Raise `ClusterError` where no server of Ray answers at HOST:PORT; Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(
            f"--address {address}: give HOST:PORT of the cluster's head node, or auto on one of its nodes"
        )
    try:
        with socket.create_connection((host, int(port)), _ANSWER_SECONDS) as connection:
            connection.sendall(_HELLO)
            answer = connection.recv(9)
        if answer[3:4] != _SETTINGS and not os.environ.get("RAY_USE_TLS"):
            raise OSError("something else listens there")
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"--address {address}: no cluster of Ray answers ({error}): start one with ray start --head, or check the "
            f"address"
        ) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Give back the handlers of signals that Ray takes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Worker:
    """A process on a machine of the cluster that has made a function."""

    def __init__(self, ray: Any, actor: Any, make: Any) -> None:
        self._ray, self._actor = ray, actor
        self.begun = self._actor.begin.remote(__version__, versions(), make)
        """Ray's reference to the answer that `began` takes."""
        self.host = ""
        self.node = ""
        """Ray's name of the machine; both are known once the worker has begun."""

    def began(self) -> None:
        """Note where it is; raises `ClusterError` where that machine cannot do the work, and as `answer` does."""
        self.host, self.node, fault = self.answer(self.begun)
        if fault:
            raise ClusterError(f"--engine ray: {self.host} {fault}")

    def ask(self, *arguments: Any) -> Any:
        """Have it call the function; returns Ray's reference to the answer."""
        return self._actor.run.remote(*arguments)

    def is_answered(self, reference: Any, seconds: float) -> bool:
        """Whether an answer is there within so many seconds, or never will be."""
        return bool(self._ray.wait([reference], timeout=seconds)[0])

    def answer(self, reference: Any) -> Any:
        """What it returned; raises what it raised, and `LostWorkerError` where it is gone."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TransloraError):
                raise error.cause from None
            raise RuntimeError(f"a worker failed: {error}") from error
        except self._ray.exceptions.RayError as error:
            raise LostWorkerError(reason_of(error)) from error

    def close(self) -> None:
        """End it."""
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor)


class LostWorkerError(Exception):
    """A worker is gone, with its machine or alone."""


class _Pool:
    """The workers of one piece of work: those that start, those that wait, and those that have a shard."""

    def __init__(self, engine: RayEngine, work: Work) -> None:
        ray = self._ray = engine._ray
        self._engine, self._label = engine, work.label
        self._needs = {"CPU": 1.0, **({"GPU": 1.0} if engine._gpu and ray.cluster_resources().get("GPU") else {})}
        self._make = ray.put(pickle.dumps(partial(shard_worker, work.make)))
        self._starting: dict[Any, Worker] = {}
        self._idle: list[Worker] = []
        self._busy: dict[Any, tuple[Worker, Shard]] = {}
        self._waiting: deque[Shard] = deque()
        self._losses: Counter[int] = Counter()
        self._alone_since = time.monotonic()

    def each(self, shards: Iterator[Shard]) -> Iterator[tuple[Shard, bytes]]:
        """Each shard with its result, as they come."""
        while True:
            if not self._waiting:
                self._waiting.extend(islice(shards, 1))
            if self._waiting and self._idle:
                worker, shard = self._idle.pop(), self._waiting.popleft()
                self._busy[worker.ask(*shard)] = worker, shard
                continue
            if not self._waiting and not self._busy:
                return
            if self._waiting and len(self._starting) + len(self._busy) < self._room():
                self._start()
            ready, _ = self._ray.wait([*self._starting, *self._busy], num_returns=1, timeout=_POLL_SECONDS)
            for one in ready:
                if one in self._starting:
                    self._started(one)
                elif (done := self._finished(one)) is not None:
                    yield done
            self._say_if_alone()

    def _room(self) -> int:
        """How many workers the machines that are there now can have."""
        there = self._ray.cluster_resources()
        return max(1, min(int(there.get(name, 0) // amount) for name, amount in self._needs.items()))

    def _start(self) -> None:
        worker = self._engine.worker(self._make, self._needs)
        self._starting[worker.begun] = worker

    def _started(self, answer: Any) -> None:
        worker = self._starting.pop(answer)
        try:
            worker.began()
        except LostWorkerError as error:
            self._count_loss(-1, error)
            return
        self._idle.append(worker)

    def _finished(self, answer: Any) -> tuple[Shard, bytes] | None:
        """A shard with its result; None where its worker was lost."""
        worker, shard = self._busy.pop(answer)
        try:
            result = worker.answer(answer)
        except LostWorkerError as error:
            worker.close()
            self._count_loss(shard.number, error)
            console.notice(f"{self._label}: the worker on {worker.host} was lost: shard {shard.number} is done again")
            self._waiting.appendleft(shard)
            return None
        self._idle.append(worker)
        return shard, result

    def _count_loss(self, number: int, error: BaseException) -> None:
        """Raise `ClusterError` where that was the last try of a shard, or, with -1, of starting a worker."""
        self._losses[number] += 1
        if self._losses[number] == _TRIES:
            which = "every worker was lost at its start" if number < 0 else f"shard {number} ended {_TRIES} workers"
            raise ClusterError(f"{self._label}: {which} ({error}): look into Ray's logs; is there enough memory?")

    def _say_if_alone(self) -> None:
        now = time.monotonic()
        if self._busy or self._idle:
            self._alone_since = now
        elif now - self._alone_since > _PATIENCE_SECONDS:
            self._alone_since = now
            needs = " and a ".join(reversed(self._needs))
            console.notice(f"{self._label}: no worker has begun yet: each needs a free {needs} of the cluster")

    def close(self) -> None:
        """End all workers."""
        for worker in [*self._starting.values(), *self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.close()


def _worker_class(ray: Any) -> Any:
    """The class of the workers, defined here so that it travels by value; it uses no name of this module."""

    class Worker:
        def begin(self, own: str, libraries: dict[str, str], make: bytes) -> tuple[str, str, str]:
            """Make the function; returns the names of this machine, and why it cannot do the work, if it cannot."""
            import socket

            import ray

            here = socket.gethostname(), ray.get_runtime_context().get_node_id()
            try:
                import translora
            except ImportError as error:
                return *here, f"cannot import translora ({error}): install translora {own} on every machine"
            if translora.__version__ != own:
                return *here, f"has translora {translora.__version__}, not {own}: install the same on every machine"
            from translora.scale.worker import begin, do

            self._do = do
            self._function = begin(libraries, make)
            return *here, self._function if isinstance(self._function, str) else ""

        def run(self, *arguments: Any) -> Any:
            """What the function gives."""
            return self._do(self._function, *arguments)

    return ray.remote(Worker)
