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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from translora import __version__
from translora.errors import ClusterError, ConfigError, TransloraError, reason_of
from translora.io import console
from translora.scale.shards import Shard, Work
from translora.scale.worker import versions

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
        self._ray = ray
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
        self._pool = _Pool(self._ray, work, self._gpu)
        try:
            yield from self._pool.each(shards)
        finally:
            self._pool.close()


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


@dataclass(eq=False)
class _Worker:
    """An actor of Ray."""

    actor: Any
    host: str = ""
    node: str = ""
    """Ray's name of the machine; both are known once the worker has begun."""


class _Pool:
    """The workers of one piece of work: those that start, those that wait, and those that have a shard."""

    def __init__(self, ray: Any, work: Work, gpu: bool) -> None:
        self._ray, self._label = ray, work.label
        self._needs = {"CPU": 1.0, **({"GPU": 1.0} if gpu and ray.cluster_resources().get("GPU") else {})}
        self._class = _worker_class(ray, self._needs)
        self._make = ray.put(pickle.dumps(work.make))
        self._starting: dict[Any, _Worker] = {}
        self._idle: list[_Worker] = []
        self._busy: dict[Any, tuple[_Worker, Shard]] = {}
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
                self._busy[worker.actor.run.remote(*shard)] = worker, shard
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
        worker = _Worker(self._class.remote())
        self._starting[worker.actor.begin.remote(__version__, versions(), self._make)] = worker

    def _started(self, answer: Any) -> None:
        worker = self._starting.pop(answer)
        try:
            worker.host, worker.node, fault = self._get(answer)
        except self._ray.exceptions.RayError as error:
            self._count_loss(-1, error)
            return
        if fault:
            raise ClusterError(f"--engine ray: {worker.host} {fault}")
        self._idle.append(worker)

    def _finished(self, answer: Any) -> tuple[Shard, bytes] | None:
        """A shard with its result; None where its worker was lost."""
        worker, shard = self._busy.pop(answer)
        try:
            result = self._get(answer)
        except self._ray.exceptions.RayError as error:
            self._end(worker)
            self._count_loss(shard.number, error)
            console.notice(f"{self._label}: the worker on {worker.host} was lost: shard {shard.number} is done again")
            self._waiting.appendleft(shard)
            return None
        self._idle.append(worker)
        return shard, result

    def _get(self, answer: Any) -> Any:
        """What a worker returned; raises what it raised, and `RayError` where it is gone."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TransloraError):
                raise error.cause from None
            raise RuntimeError(f"a worker failed: {error}") from error

    def _count_loss(self, number: int, error: BaseException) -> None:
        """Raise `ClusterError` where that was the last try of a shard, or, with -1, of starting a worker."""
        self._losses[number] += 1
        if self._losses[number] == _TRIES:
            which = "every worker was lost at its start" if number < 0 else f"shard {number} ended {_TRIES} workers"
            raise ClusterError(
                f"{self._label}: {which} ({reason_of(error)}): look into Ray's logs; is there enough memory?"
            )

    def _say_if_alone(self) -> None:
        now = time.monotonic()
        if self._busy or self._idle:
            self._alone_since = now
        elif now - self._alone_since > _PATIENCE_SECONDS:
            self._alone_since = now
            needs = " and a ".join(reversed(self._needs))
            console.notice(f"{self._label}: no worker has begun yet: each needs a free {needs} of the cluster")

    def _end(self, worker: _Worker) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(worker.actor)

    def close(self) -> None:
        """End all workers."""
        for worker in [*self._starting.values(), *self._idle, *(worker for worker, _ in self._busy.values())]:
            self._end(worker)


def _worker_class(ray: Any, needs: dict[str, float]) -> Any:
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

        def run(self, number: int, key: str, rows: bytes) -> bytes:
            """The result of a shard."""
            return self._do(self._function, number, key, rows)

    options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0), "scheduling_strategy": "SPREAD"}
    return ray.remote(**options)(Worker)
