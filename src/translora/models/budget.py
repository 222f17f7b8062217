"""The memory of a training step: a prediction before the run, and a retry with half the tokens where it runs out.

The prediction runs the step on tensors that have a shape but no data, and counts the bytes alive. It therefore covers
every model, adapter and option of a step.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from translora.data.tokens import Batch
from translora.errors import OutOfMemoryError
from translora.io import console
from translora.models.load import LoadedModel

Result = TypeVar("Result")

_LEAST_TOKENS = 2
_HEAP_HOLES = {False: 1.25, True: 2.0}
"""How much larger a CPU's heap grows than its living tensors, without and with gradient checkpointing: measured at 1.0
to 1.4, and at 1.8 to 2.4."""


def step_bytes(translator: LoadedModel, pairs: int, source: int, target: int) -> int:
    """The peak bytes of the tensors of one forward and backward pass over a batch, without the model itself.

    The batch has `pairs` pairs of `source` and `target` tokens each, without padding.
    """
    trained = [parameter for parameter in translator.model.parameters() if parameter.requires_grad]
    training = translator.model.training
    living = _Living()
    translator.model.train()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), living:
            lengths = np.full(pairs, source), np.full(pairs, target)
            ids, labels = (torch.ones(pairs, length, dtype=torch.int64) for length in (source, target))
            loss = translator.loss(Batch(ids, labels, *lengths))
            if trained:
                torch.autograd.grad(loss.objective, trained, allow_unused=True)
            del loss
    finally:
        translator.model.train(training)
    if translator.device.type != "cpu":
        return living.most
    checkpointing = any(getattr(module, "gradient_checkpointing", False) for module in translator.model.modules())
    return round(living.most * _HEAP_HOLES[checkpointing])


class _Living(TorchDispatchMode):
    """Counts the bytes of the tensors alive, and keeps the peak."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, FakeTensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def forget(_: Any) -> None:
            del self._known[key]
            self._now -= size

        self._known[key] = weakref.ref(storage, forget)
        self._now += size
        self.most = max(self.most, self._now)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a CPU or a GPU has no memory left."""
    words = "can't allocate memory", "out of memory", "not enough memory"
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in words)


class Budget:
    """The number of padded tokens to compute at a time, halved each time memory runs out."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def run(self, work: Callable[[int], Result], agree: Callable[[bool], bool] = bool) -> Result:
        """Return `work(tokens)`; run it again with half the tokens where memory runs out.

        Where others do their part of the work, `agree` is told whether memory ran out here and returns whether it did
        anywhere.

        Raises `OutOfMemoryError` where memory runs out even with single pairs.
        """
        while True:
            done: list[Result] = []
            cause: BaseException | None = None
            try:
                done.append(work(self.tokens))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                cause = error.with_traceback(None)  # its frames hold tensors
            if not agree(not done):
                return done[0]
            done.clear()
            self.halve(cause)
            free_unused()

    def halve(self, error: BaseException | None) -> None:
        """Compute half as many tokens at a time; raises `OutOfMemoryError` where that leaves less than a pair."""
        if self.tokens < 2 * _LEAST_TOKENS:
            raise OutOfMemoryError("out of memory even with one pair at a time") from error
        self.tokens //= 2
        console.notice(f"out of memory: goes on with {self.tokens:,} padded tokens at a time")


def free_unused() -> None:
    """Give back what no tensor uses any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
