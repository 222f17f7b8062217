"""Which pairs each optimiser step sees: a pure function of the lengths, the recipe and the seed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from translora.config import TrainingConfig
from translora.data.batching import Ints, epoch_batches


class Plan:
    """The micro-batches of every optimiser step of a run, and where it validates."""

    def __init__(self, source: Ints, target: Ints, config: TrainingConfig, seed: int) -> None:
        self._source, self._target, self._config, self._seed = source, target, config, seed
        self._cached: tuple[int, list[Ints]] = (-1, [])
        self.epoch_ends: list[int] = []
        """The number of steps done at the end of each epoch; the last may be a part of one."""
        steps = 0
        for epoch in range(math.ceil(config.epochs)):
            share = min(1.0, config.epochs - epoch)
            steps += math.ceil(share * math.ceil(len(self._batches(epoch)) / config.accumulate))
            if config.max_steps and steps >= config.max_steps:
                self.epoch_ends.append(config.max_steps)
                break
            self.epoch_ends.append(steps)
        self.total_steps = self.epoch_ends[-1] if self.epoch_ends else 0

    def _batches(self, epoch: int) -> list[Ints]:
        if self._cached[0] != epoch:
            budget = self._config.batch_tokens
            self._cached = (epoch, epoch_batches(self._source, self._target, budget, self._seed, epoch))
        return self._cached[1]

    def epoch_of(self, step: int) -> int:
        """The epoch, from 0, that `step`, from 0, belongs to."""
        return next(epoch for epoch, end in enumerate(self.epoch_ends) if step < end)

    def epochs_done(self, steps: int) -> float:
        """How many passes over the data `steps` steps are."""
        epoch = self.epoch_of(steps - 1)
        first = self.epoch_ends[epoch - 1] if epoch else 0
        whole = math.ceil(len(self._batches(epoch)) / self._config.accumulate)
        return epoch + (steps - first) / whole

    def steps(self, start: int = 0) -> Iterator[tuple[int, list[Ints]]]:
        """Each step from `start` on with the pair indices of its micro-batches."""
        for step in range(start, self.total_steps):
            epoch = self.epoch_of(step)
            first = (step - (self.epoch_ends[epoch - 1] if epoch else 0)) * self._config.accumulate
            yield step, self._batches(epoch)[first : first + self._config.accumulate]

    def validates_after(self, step: int) -> bool:
        """Whether a validation follows `step`."""
        done, every = step + 1, self._config.evaluate_every
        return done == self.total_steps or (done % every == 0 if every else done in self.epoch_ends)
