"""The training loop. Knows when to step, validate, save and stop; knows nothing of files of data or of LoRA."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from translora.config import TrainingConfig
from translora.errors import InterruptedRunError
from translora.io import console
from translora.io.console import Meter, meter
from translora.io.interrupt import StopRequest, stop_between_steps
from translora.models.hardware import peak_memory_bytes
from translora.training.checkpoint import Checkpoints, Snapshot, TrainingState, put_weights, share, trained_weights
from translora.training.optimizer import rate_at, set_rate
from translora.training.plan import Plan
from translora.training.ranks import Ranks
from translora.training.step import Stepper
from translora.training.tracking import Journal


class Validation(NamedTuple):
    """The figures of a validation."""

    loss: float
    """Cross-entropy in nats per target token."""
    bleu: float


def fit(
    stepper: Stepper,
    plan: Plan,
    checkpoints: Checkpoints,
    validate: Callable[[StopRequest], Validation | None],
    journal: Journal,
) -> TrainingState:
    """Train the weights of the stepper's model that require a gradient, and leave the best of them in it.

    Goes on from the last of `checkpoints`, if there is one, as if it had never stopped. At most as many padded tokens
    as the stepper's budget allows are computed at a time, and fewer once memory has run out. `validate` gives None
    where a signal cut it short. Of several ranks, the first alone uses `checkpoints` and `journal`.

    Raises `NotFiniteError` where numbers overflow, `OutOfMemoryError`, `StorageError`, and `InterruptedRunError` after
    Ctrl-C or SIGTERM; a checkpoint is then kept.
    """
    model, ranks = stepper.translator.model, stepper.ranks
    found = ranks.on_first(lambda: checkpoints.read(model))
    state = share(ranks, found or Snapshot()).put(model, stepper.optimizer)
    if ranks.size > 1 and not state.step:  # rank 0 alone may have begun the adapter from the gradient
        put_weights(model, ranks.broadcast_tensors(trained_weights(model)))
    most = stepper.budget.tokens
    stepper.budget.tokens = ranks.least(min(most, state.batch_tokens or most))
    if stepper.encoded:
        state.add_seconds(stepper.encoded.seconds)
    ranks.on_first(lambda: journal.rewind(state.step))
    _say_unreached_rate(plan.total_steps, stepper.training)
    loop = _Loop(stepper, plan, checkpoints, validate, journal, state)
    with stop_between_steps() as stop, meter("train", plan.total_steps, "pairs", state.step) as progress:
        loop.pause(stop)  # a validation that a signal cut short is done first
        while not loop.finished:
            loop.step(progress)
            loop.pause(stop)
    best = ranks.on_first(lambda: checkpoints.best_weights(model, state.best_step))
    put_weights(model, ranks.broadcast_tensors(best or {}))
    return state


def _say_unreached_rate(steps: int, training: TrainingConfig) -> None:
    """Say where a run is over before its warm-up is."""
    warmup, peak = training.warmup_steps, training.learning_rate
    if 0 < steps < warmup:
        console.notice(
            f"training.warmup_steps {warmup:,}: the run is over after {steps:,} steps, so that the learning rate rises "
            f"to {rate_at(steps - 1, steps, training):.2g} in place of {peak:g}: lower it, or take more steps"
        )


@dataclass
class _Loop:
    """A training under way."""

    stepper: Stepper
    plan: Plan
    checkpoints: Checkpoints
    validate: Callable[[StopRequest], Validation | None]
    journal: Journal
    state: TrainingState

    @property
    def ranks(self) -> Ranks:
        """Those who train together."""
        return self.stepper.ranks

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        patience = self.stepper.training.patience
        return self.state.step == self.plan.total_steps or bool(patience and self.state.stale >= patience)

    def step(self, progress: Meter) -> None:
        """Do one step, and record its figures."""
        state, training = self.state, self.stepper.training
        started, pairs = time.monotonic(), self.plan.pairs(state.step)
        self.ranks.beat(f"step {state.step + 1}")
        rate = rate_at(state.step, self.plan.total_steps, training)
        set_rate(self.stepper.optimizer, rate, training.scale_parameter)
        loss, tokens = self.stepper.step(state.step, pairs)
        state.add_step(len(pairs), loss, tokens, time.monotonic() - started)
        state.batch_tokens = self.stepper.budget.tokens
        progress.advance(counted=len(pairs), note=f"loss {loss / tokens:.3f}")
        figures = {"loss": loss / tokens, "learning_rate": rate, "target_tokens": tokens}
        if self.ranks.first:
            self.journal.record(state.step, figures)

    def pause(self, stop: StopRequest) -> None:
        """Between two steps: validate and save where it is time to; raise `InterruptedRunError` where asked to stop.

        A signal at any of the ranks stops them all.
        """
        if self._validation_is_due:
            self.ranks.beat(f"the validation after step {self.state.step}")
        result = self.validate(stop) if self._validation_is_due else None
        if result:
            self._keep(result)
        number = self.ranks.most(stop.signal_number)  # asked once: one that comes during the save waits
        if number:
            self._save_together()
            done = f"stopped after step {self.state.step} of {self.plan.total_steps}"
            raise InterruptedRunError(f"{done}; a checkpoint is kept: the same command goes on from it", number)
        if self.stepper.sharded:
            due = self.ranks.any(self.ranks.first and self.checkpoints.due(self.state.step))
            if result or due:
                self._save_together()
        elif self.ranks.first and (result or self.checkpoints.due(self.state.step)):
            self._save()

    @property
    def _validation_is_due(self) -> bool:
        """Whether a validation after the steps so far is due and not done."""
        step, rows = self.state.step, self.state.rows
        return self.plan.validates_after(step) and not (rows and rows[-1].step == step)

    def _keep(self, result: Validation) -> None:
        """Record a validation, and keep the weights if they are the best so far."""
        state = self.state
        better = state.add_validation(self.plan.epochs_done(state.step), result.loss, result.bleu)
        if self.ranks.first:
            self.journal.record(state.step, {"validation_loss": result.loss, "validation_bleu": result.bleu})
        if better and (self.ranks.first or self.stepper.sharded):
            self.checkpoints.save_best(self.stepper.translator.model, state.step)

    def _save_together(self) -> None:
        """Save while the others wait, or, where the weights are in pieces, with the others' help."""
        if self.stepper.sharded:
            self._save()
        else:
            self.ranks.on_first(self._save)

    def _save(self) -> None:
        state, translator = self.state, self.stepper.translator
        state.peak_memory_bytes = max(state.peak_memory_bytes, peak_memory_bytes(translator.device))
        self.checkpoints.save(translator.model, self.stepper.optimizer, state)
