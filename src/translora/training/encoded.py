"""Encoder states that are computed once for a whole run, where nothing that is trained can change them.

They lie in a file of the run folder that has no name, or loses it, so that the system deletes it with the process.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from translora.data.batching import Ints, sorted_batches
from translora.data.tokens import TokenisedCorpus
from translora.errors import StorageError
from translora.io import console
from translora.io.console import meter
from translora.models.budget import Budget
from translora.models.load import LoadedModel, has_dropout
from translora.models.loss import encode_batch
from translora.training.plan import STEP_BUDGET, Plan

_MOST_OF_DISK = 0.5
"""The share of the free space that the file may take."""


class EncodedSources:
    """The encoder's states of every example, in a file, each read when its step needs it."""

    def __init__(self, stream: BinaryIO, lengths: Ints, offsets: Ints, width: int, dtype: torch.dtype) -> None:
        """`lengths` are the source tokens of each example, and `offsets` the tokens before it in `stream`."""
        self._stream, self._lengths, self._offsets = stream, lengths, offsets
        self._width, self._dtype = width, dtype
        self.seconds = 0.0
        """The time that it took to compute them."""

    def of(self, pairs: Ints) -> torch.Tensor:
        """The states of all source tokens of the examples `pairs`, in their order, shape (tokens, width).

        Raises `StorageError` where they cannot be read.
        """
        states = torch.empty(int(self._lengths[pairs].sum()), self._width, dtype=self._dtype)
        into = memoryview(_bytes(states))
        size = self._width * self._dtype.itemsize
        start = 0
        for pair in pairs:
            end = start + int(self._lengths[pair]) * size
            self._stream.seek(int(self._offsets[pair]) * size)
            if self._stream.readinto(into[start:end]) != end - start:  # type: ignore[attr-defined]
                raise StorageError("the file of encoder states was cut: set training.cache_encoder to off")
            start = end
        return states


@contextmanager
def encoder_states_in(
    folder: Path, translator: LoadedModel, examples: TokenisedCorpus, plan: Plan, done: int, budget: Budget
) -> Iterator[EncodedSources | None]:
    """The encoder's states of `examples` in a file of `folder`; None where they are computed in each step instead.

    `done` steps of `plan` are done. The states are computed in the same batches each time, so that a run that goes on
    computes with the same numbers.
    """
    if not is_worthwhile(translator, plan, done):
        yield None
        return
    needs, free = state_bytes(translator, examples), shutil.disk_usage(folder).free
    if needs > _MOST_OF_DISK * free:
        _say_left_out(f"they would take {needs / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free in {folder}")
        yield None
        return
    with tempfile.TemporaryFile(dir=folder, suffix=".tmp") as file:
        encoded = None
        try:
            encoded = _written(translator, examples, cast(BinaryIO, file), budget)
            console.notice(f"encoder: its states are computed once and kept in a file ({needs / 2**20:,.0f} MiB)")
        except OSError as error:
            _say_left_out(f"they cannot be written to {folder} ({error.strerror})")
        yield encoded


def _say_left_out(reason: str) -> None:
    console.notice(f"encoder: its states are computed in each epoch, for {reason}")


def is_worthwhile(translator: LoadedModel, plan: Plan, done: int = 0) -> bool:
    """Whether training after the first `done` steps computes the same states of the encoder more than once.

    Only the fast path on a CPU is asked: there it was measured.
    """
    if translator.path != "fast" or translator.device.type != "cpu":
        return False
    if not plan.total_steps or plan.total_steps - done <= plan.epoch_ends[0]:  # at most one epoch is left
        return False
    encoder = cast(Any, translator.model).get_encoder()
    return not has_dropout(encoder) and not any(p.requires_grad for p in encoder.parameters())


def state_bytes(translator: LoadedModel, examples: TokenisedCorpus) -> int:
    """The size of the states of all `examples`."""
    return int(examples.source_lengths.sum()) * int(translator.model.config.d_model) * translator.dtype.itemsize


def _written(translator: LoadedModel, examples: TokenisedCorpus, stream: BinaryIO, budget: Budget) -> EncodedSources:
    """Compute the states of all `examples`, and write them to `stream`."""
    started = time.monotonic()
    model, dtype, lengths = translator.model, translator.dtype, examples.source_lengths
    offsets = np.zeros_like(lengths)

    def write(most: int) -> None:
        stream.seek(0)
        before = 0
        with meter("encode", len(lengths), "pairs") as progress, torch.inference_mode():
            for pairs in sorted_batches(lengths, np.zeros_like(lengths), min(most, STEP_BUDGET)):
                states = encode_batch(model, examples.batch(pairs), dtype)
                stream.write(memoryview(_bytes(states)))
                offsets[pairs] = before + np.cumsum(lengths[pairs]) - lengths[pairs]
                before += len(states)
                progress.advance(len(pairs))
        stream.flush()

    budget.run(write)
    encoded = EncodedSources(stream, lengths, offsets, model.config.d_model, dtype)
    encoded.seconds = time.monotonic() - started
    return encoded


def _bytes(states: torch.Tensor) -> Any:
    """The memory of `states`, flat."""
    return states.contiguous().view(torch.uint8).flatten().numpy()
