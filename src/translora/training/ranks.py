"""The processes that train one model together, started by torchrun: what they share out, add up and agree on.

Every rank computes the same plan from the seed. Adapter and optimiser are replicated: all ranks take the same step
from the same sum of gradients. Rank 0 alone reads and writes the run folder. Messages are JSON; nothing is pickled.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from translora.data.batching import Ints
from translora.errors import OtherRankError, RankError, TransloraError
from translora.io import console
from translora.io.launcher import Place, place
from translora.training.rollcall import RollCall, open_store, waiting_seconds

Result = TypeVar("Result")

_BUCKET_BYTES = 32 << 20
"""Gradients are added up in pieces of this size, so that a whole model needs no second copy of them."""


class Ranks:
    """One process alone; with several, `joined` gives another of the same interface."""

    rank = 0
    size = 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share(self, costs: Sequence[int] | Ints) -> Ints:
        """The numbers of the items that this rank does, in order; every item is one rank's."""
        return np.array(shared_out(costs, self.size)[self.rank], dtype=np.int64)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank."""
        return bool(self.most(int(flag)))

    def most(self, number: int) -> int:
        """The largest `number` of all ranks."""
        return number

    def least(self, number: int) -> int:
        """The smallest `number` of all ranks."""
        return -self.most(-number)

    def add_up(self, loss: float, parameters: Sequence[torch.nn.Parameter]) -> float:
        """Give each of `parameters` the sum of its gradients on all ranks; returns the sum of `loss`."""
        return loss

    def gather(self, value: Any) -> list[Any]:
        """The `value` of each rank, by rank; anything that JSON holds."""
        return [value]

    def broadcast(self, value: Any) -> Any:
        """The `value` of rank 0; anything that JSON holds."""
        return value

    def broadcast_tensors(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The `tensors` of rank 0, which are on the CPU."""
        return dict(tensors)

    def together(self, work: Callable[[], Result]) -> Result:
        """Return `work()`, which every rank does; where one fails, all raise: that rank its own error."""
        return work()

    def on_first(self, work: Callable[[], Result]) -> Result | None:
        """Return `work()`, which rank 0 does while the others wait; None on these. Where it fails, all raise."""
        return work()

    def exchange(self, work: Callable[[], Result]) -> Result:
        """Return `work()`, which calls `torch.distributed`; raise the error that says who is missing where it fails."""
        return work()

    def passes(self, work: Callable[[], Result]) -> Result:
        """As `exchange`, for passes through a model in pieces, which may fail for other reasons too."""
        return work()

    def require_same(self, facts: Mapping[str, str]) -> None:
        """Raise `ConfigError`, naming the difference, where another rank has other `facts`."""

    def beat(self, doing: str) -> None:
        """Record the work that this rank begins, for the message of a rank that waits for it in vain."""

    def remember(self, fact: str) -> None:
        """Keep `fact` beyond a restart of the ranks."""

    def remembers(self, fact: str) -> bool:
        """Whether the ranks were restarted, and an earlier start remembered `fact`."""
        return False


ALONE = Ranks()
"""One process."""


def shared_out(costs: Sequence[int] | Ints, ranks: int) -> list[list[int]]:
    """The numbers of the items that each of `ranks` does, in order: the costliest first, each to who has least."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0, rank) for rank in range(ranks)]
    for item in sorted(range(len(costs)), key=lambda item: (-int(costs[item]), item)):
        load, rank = loads[0]
        shares[rank].append(item)
        heapq.heapreplace(loads, (load + int(costs[item]), rank))
    return [sorted(share) for share in shares]


class _Group(Ranks):
    """One of several ranks, in a process group."""

    def __init__(self, place: Place, calls: RollCall) -> None:
        self.rank, self.size = place.rank, place.size
        self._calls = calls

    def most(self, number: int) -> int:
        found = torch.tensor([number], dtype=torch.int64)
        self.exchange(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
        return int(found)

    def add_up(self, loss: float, parameters: Sequence[torch.nn.Parameter]) -> float:
        """A parameter that no rank has a gradient of keeps None."""
        counts = torch.tensor([loss, *(p.grad is not None for p in parameters)], dtype=torch.float64)
        self.exchange(lambda: dist.all_reduce(counts))
        total, *having = counts.tolist()
        for bucket in _buckets([p for p, some in zip(parameters, having, strict=True) if some]):
            flat = _flattened(bucket)
            self.exchange(lambda flat=flat: dist.all_reduce(flat))  # type: ignore[misc]
            for parameter, part in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                parameter.grad = part.view_as(parameter)
        return float(total)

    def gather(self, value: Any) -> list[Any]:
        data = _as_bytes(value)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        self.exchange(lambda: dist.all_gather(sizes, torch.tensor([len(data)])))
        padded = torch.zeros(int(max(sizes)), dtype=torch.uint8)
        padded[: len(data)] = data
        found = [torch.empty_like(padded) for _ in range(self.size)]
        self.exchange(lambda: dist.all_gather(found, padded))
        return [_from_bytes(one[: int(size)]) for one, size in zip(found, sizes, strict=True)]

    def broadcast(self, value: Any) -> Any:
        data = _as_bytes(value if self.first else None)
        size = torch.tensor([len(data)])
        self.exchange(lambda: dist.broadcast(size, 0))
        found = data if self.first else torch.empty(int(size), dtype=torch.uint8)
        self.exchange(lambda: dist.broadcast(found, 0))
        return _from_bytes(found)

    def broadcast_tensors(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        shapes = self.broadcast({name: [str(t.dtype)[6:], *t.shape] for name, t in tensors.items()})
        found = {}
        for name, (dtype, *shape) in shapes.items():
            one = tensors[name].contiguous() if self.first else torch.empty(shape, dtype=getattr(torch, dtype))
            self.exchange(lambda one=one: dist.broadcast(one, 0))  # type: ignore[misc]
            found[name] = one
        return found

    def together(self, work: Callable[[], Result]) -> Result:
        try:
            result, error = [work()], None
        except TransloraError as caught:
            result, error = [], caught
        codes = self.gather(error.exit_code if error else 0)
        failed = [rank for rank, code in enumerate(codes) if code]
        if error and failed[0] == self.rank:
            raise error
        if failed:
            raise OtherRankError(codes[failed[0]])
        return result[0]

    def on_first(self, work: Callable[[], Result]) -> Result | None:
        result, error = None, None
        if self.first:
            try:
                result = work()
            except TransloraError as caught:
                error = caught
        code = self.broadcast(error.exit_code if error else 0)
        if error:
            raise error
        if code:
            raise OtherRankError(code)
        return result

    def require_same(self, facts: Mapping[str, str]) -> None:
        self._calls.require_same(self.gather(dict(facts)))

    def beat(self, doing: str) -> None:
        self._calls.beat(doing)

    def remember(self, fact: str) -> None:
        self._calls.remember(fact)

    def remembers(self, fact: str) -> bool:
        return self._calls.remembers(fact)

    def exchange(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except RuntimeError as error:
            raise self._calls.why(error) from error

    def passes(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except RuntimeError as error:
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                raise self._calls.why(error) from error
            raise


def _as_bytes(value: Any) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _from_bytes(data: torch.Tensor) -> Any:
    return json.loads(data.numpy().tobytes())


def _buckets(parameters: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """Cut `parameters` into runs of one dtype and of at most `_BUCKET_BYTES`; a larger one is alone."""
    bucket: list[torch.nn.Parameter] = []
    size = 0
    for parameter in parameters:
        more = parameter.numel() * parameter.element_size()
        if bucket and (size + more > _BUCKET_BYTES or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += more
    if bucket:
        yield bucket


def _flattened(bucket: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """The gradients of `bucket` one after the other; zeros where this rank has none."""
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
    return torch.cat([one.reshape(-1) for one in gradients]) if len(bucket) > 1 else gradients[0].reshape(-1)


_current: Ranks | None = None
_joined = 0
"""How often this process has joined; the others as often."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that this process belongs to, while the block runs; inside another such block, the same.

    A rank other than 0 shows no notices and no progress. A rank that fails tells the others why, and they raise
    `OtherRankError`, which needs no words. Raises `RankError` where a rank is missing, and `ConfigError` where their
    versions differ.
    """
    global _current, _joined
    here = place()
    if _current is not None or here.size == 1:
        yield _current or ALONE
        return
    seconds = waiting_seconds()
    if dist.is_initialized():
        raise RankError("torch.distributed is in use by this program already: call translora before it, or without")
    calls = RollCall(open_store(here, seconds), here, seconds, _joined)
    _joined += 1
    with console.quiet(here.rank != 0):
        try:
            _make_group(here, calls, seconds)
            _current = _Group(here, calls)
            yield _current
            _current.any(False)  # no rank takes the store away before the last has finished
        except BaseException as error:
            told = calls.leave(error)
            if told is error:
                raise
            raise told from error
        finally:
            _current = None
            with suppress(RuntimeError, AssertionError, ValueError):
                dist.destroy_process_group()


def _make_group(here: Place, calls: RollCall, seconds: float) -> None:
    """Make the process group: gloo for messages and CPUs, NCCL for GPUs."""
    backend = "gloo"
    if dist.is_nccl_available() and torch.cuda.is_available() and here.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(here.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    calls.arrive(backend)
    limit = timedelta(seconds=seconds)
    try:
        dist.init_process_group(backend, store=calls.store, rank=here.rank, world_size=here.size, timeout=limit)
    except RuntimeError as error:
        raise calls.why(error) from error
