"""The training loop. Knows when to step, validate and stop; knows nothing of files of data or of LoRA."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from translora.config import Config
from translora.data.batching import Ints
from translora.data.tokens import TokenisedCorpus
from translora.errors import InterruptedRunError
from translora.io.console import meter
from translora.io.interrupt import stop_between_steps
from translora.models.budget import Budget
from translora.models.hardware import peak_memory_bytes
from translora.models.load import LoadedModel
from translora.runs.summary import ValidationRow
from translora.training.checkpoint import Checkpoints, TrainingState
from translora.training.optimizer import build_optimizer, rate_at, set_rate
from translora.training.plan import Plan
from translora.training.step import Stepper
from translora.training.tracking import Journal


class Validation(NamedTuple):
    """What a validation measured."""

    loss: float
    """Cross-entropy in nats a target token."""
    bleu: float


def fit(
    translator: LoadedModel,
    examples: TokenisedCorpus,
    config: Config,
    checkpoints: Checkpoints,
    validate: Callable[[], Validation],
    journal: Journal,
    batch_tokens: int,
) -> TrainingState:
    """Train the weights of `translator.model` that require a gradient, and leave the best of them in it.

    Goes on from the last of `checkpoints`, if there is one, as if it had never stopped. At most `batch_tokens` padded
    tokens are computed at a time, and fewer once memory has run out.

    Raises `NotFiniteError` where numbers overflow, `OutOfMemoryError`, `StorageError`, and `InterruptedRunError` after
    Ctrl-C or SIGTERM; a checkpoint is then kept.
    """
    model, training = translator.model, config.training
    optimizer = build_optimizer(model, training, config.lora.b_rate)
    state = checkpoints.restore(model, optimizer)
    journal.rewind(state.step)
    plan = Plan(examples.source_lengths, examples.target_lengths, training, config.seed)
    stepper = Stepper(translator, examples, optimizer, config, Budget(state.batch_tokens or batch_tokens))
    with stop_between_steps() as stop, meter("train", plan.total_steps, "pairs", state.step) as progress:
        while True:
            result = stop.unless_stopped(validate) if _validation_due(state, plan) else None
            if result:
                _validated(state, result, plan, checkpoints, model, journal)
            if result or stop or checkpoints.due(state.step):
                state.peak_memory_bytes = max(state.peak_memory_bytes, peak_memory_bytes(translator.device))
                checkpoints.save(model, optimizer, state)
            if stop:
                raise _interrupted(state, plan, stop.signal_number)
            if state.step == plan.total_steps or (training.patience and state.stale >= training.patience):
                break
            started, pairs = time.monotonic(), plan.pairs(state.step)
            rate = rate_at(state.step, plan.total_steps, training)
            set_rate(optimizer, rate, training.scale_parameter)
            loss, tokens = stepper.step(state.step, pairs)
            _count(state, pairs, loss, tokens, stepper.budget.tokens, time.monotonic() - started)
            progress.advance(counted=len(pairs), note=f"loss {loss / tokens:.3f}")
            journal.record(state.step, {"loss": loss / tokens, "learning_rate": rate, "target_tokens": tokens})
    checkpoints.load_best(model, state.best_step)
    return state


def _validation_due(state: TrainingState, plan: Plan) -> bool:
    """Whether the steps so far are to be validated, and have not been."""
    return plan.validates_after(state.step) and not (state.rows and state.rows[-1].step == state.step)


def _count(state: TrainingState, pairs: Ints, loss: float, tokens: int, budget: int, seconds: float) -> None:
    state.step += 1
    state.pairs += len(pairs)
    state.loss_sum += loss
    state.loss_tokens += tokens
    state.batch_tokens = budget
    state.seconds += seconds
    state.loss_seconds += seconds


def _validated(
    state: TrainingState,
    result: Validation,
    plan: Plan,
    checkpoints: Checkpoints,
    model: torch.nn.Module,
    journal: Journal,
) -> None:
    """Add a line to the table, keep the weights if they are the best so far, and start counting anew."""
    training_loss = state.loss_sum / max(1, state.loss_tokens)
    epoch = plan.epochs_done(state.step)
    state.rows.append(ValidationRow(epoch, state.step, training_loss, result.loss, result.bleu, state.loss_seconds))
    journal.record(state.step, {"validation_loss": result.loss, "validation_bleu": result.bleu})
    state.loss_sum, state.loss_tokens, state.loss_seconds = 0.0, 0, 0.0
    state.stale += 1
    if result.bleu > state.best_bleu:
        state.best_bleu, state.best_step, state.stale = result.bleu, state.step, 0
        checkpoints.save_best(model, state.step)


def _interrupted(state: TrainingState, plan: Plan, number: int) -> InterruptedRunError:
    done = f"stopped after step {state.step} of {plan.total_steps}"
    return InterruptedRunError(f"{done}; a checkpoint is kept: the same command goes on from it", number)
