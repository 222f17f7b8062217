"""Which pairs each optimiser step sees: a pure function of the lengths, the recipe and the seed."""

from __future__ import annotations

import math

from translora.config import TrainingConfig
from translora.data.batching import Ints, epoch_batches, epoch_groups

STEP_BUDGET = 4096
"""Padded tokens of a step whose size the recipe leaves open."""


class Plan:
    """The pairs of every optimiser step of a run, and where it validates.

    A step whose size the recipe states (`step_pairs`, `step_tokens`) is a random draw; without, it is one batch by
    token budget out of length-sorted pools. How a step is cut into micro-batches is no part of the plan, so that the
    memory at hand does not change what is learnt.
    """

    def __init__(self, source: Ints, target: Ints, config: TrainingConfig, seed: int) -> None:
        self._source, self._target, self._config, self._seed = source, target, config, seed
        self._cached: tuple[int, list[Ints]] = (-1, [])
        self.epoch_ends: list[int] = []
        """The number of steps done at the end of each epoch; the last may be a part of one."""
        steps = 0
        for epoch in range(math.ceil(config.epochs)):
            share = min(1.0, config.epochs - epoch)
            steps += math.ceil(share * len(self._epoch(epoch)))
            if config.max_steps and steps >= config.max_steps:
                self.epoch_ends.append(config.max_steps)
                break
            self.epoch_ends.append(steps)
        self.total_steps = self.epoch_ends[-1] if self.epoch_ends else 0

    def _epoch(self, epoch: int) -> list[Ints]:
        """The pairs of each step of `epoch`, were it done whole."""
        if self._cached[0] != epoch:
            config = self._config
            if config.step_pairs or config.step_tokens:
                steps = epoch_groups(self._target, config.step_pairs, config.step_tokens, self._seed, epoch)
            else:
                budget = STEP_BUDGET if config.batch_tokens == "auto" else config.batch_tokens
                steps = epoch_batches(self._source, self._target, budget, self._seed, epoch)
            self._cached = (epoch, steps)
        return self._cached[1]

    def epoch_of(self, step: int) -> int:
        """The epoch, from 0, that `step`, from 0, belongs to."""
        return next(epoch for epoch, end in enumerate(self.epoch_ends) if step < end)

    def epochs_done(self, steps: int) -> float:
        """How many passes over the data `steps` steps are."""
        epoch = self.epoch_of(steps - 1)
        first = self.epoch_ends[epoch - 1] if epoch else 0
        return epoch + (steps - first) / len(self._epoch(epoch))

    def pairs(self, step: int) -> Ints:
        """The indices of the pairs of `step`, from 0."""
        epoch = self.epoch_of(step)
        return self._epoch(epoch)[step - (self.epoch_ends[epoch - 1] if epoch else 0)]

    def validates_after(self, steps: int) -> bool:
        """Whether a validation follows the first `steps` steps."""
        every = self._config.evaluate_every
        return steps > 0 and (steps == self.total_steps or (steps % every == 0 if every else steps in self.epoch_ends))
