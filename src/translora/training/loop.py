"""The training loop. Knows when to step, validate and stop; knows nothing of files of data or of LoRA."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from translora import terminal
from translora.config import Config
from translora.data.batching import Ints
from translora.data.tokens import TokenisedCorpus
from translora.errors import InterruptedRunError
from translora.model.hardware import peak_memory_bytes
from translora.model.load import Translator
from translora.model.memory import Budget
from translora.progress import meter
from translora.training.checkpoint import Checkpoints, TrainingState, ValidationRow
from translora.training.interrupt import stop_between_steps
from translora.training.optimizer import build_optimizer, rate_at, set_rate
from translora.training.plan import Plan
from translora.training.step import Stepper


class Validation(NamedTuple):
    """What a validation measured."""

    loss: float
    """Cross-entropy in nats a target token."""
    bleu: float


def fit(
    translator: Translator,
    examples: TokenisedCorpus,
    config: Config,
    checkpoints: Checkpoints,
    validate: Callable[[], Validation],
    record: Callable[[dict[str, Any]], None],
    batch_tokens: int,
) -> TrainingState:
    """Train the weights of `translator.model` that require a gradient, and leave the best of them in it.

    Goes on from `checkpoints.last` where there is one. `record` is given each step's figures and each validation's.
    At most `batch_tokens` padded tokens are computed at a time, and fewer once memory has run out.

    Raises `TrainingError` on a loss or gradient that is not finite, and `InterruptedRunError`, with a checkpoint kept,
    after Ctrl-C or SIGTERM.
    """
    model, training = translator.model, config.training
    optimizer = build_optimizer(model, training, config.lora.b_rate)
    state = checkpoints.restore(model, optimizer)
    plan = Plan(examples.source_lengths, examples.target_lengths, training, config.seed)
    budget = Budget(state.batch_tokens or batch_tokens, terminal.notice)
    stepper = Stepper(translator, examples, optimizer, config, budget)
    with stop_between_steps() as stop, meter("train", plan.total_steps, "pairs", state.step) as progress:
        for step, pairs in plan.steps(state.step):
            if training.patience and state.stale >= training.patience:
                break
            started = time.monotonic()
            rate = rate_at(step, plan.total_steps, training)
            set_rate(optimizer, rate, training.scale_parameter)
            loss, tokens = stepper.step(step, pairs)
            _count(state, step + 1, pairs, loss, tokens, time.monotonic() - started)
            state.batch_tokens = stepper.budget.tokens
            progress.advance(counted=len(pairs), note=f"loss {loss / tokens:.3f}")
            record({"step": step + 1, "loss": loss / tokens, "learning_rate": rate, "target_tokens": tokens})
            if plan.validates_after(step):
                state.peak_memory_bytes = max(state.peak_memory_bytes, peak_memory_bytes(translator.device))
                _validated(state, validate(), plan, checkpoints, model, record)
                checkpoints.save_last(model, optimizer, state)
            if stop:
                checkpoints.save_last(model, optimizer, state)
                raise _interrupted(state, plan, stop.signal_number)
    checkpoints.load_best(model)
    return state


def _count(state: TrainingState, step: int, pairs: Ints, loss: float, tokens: int, seconds: float) -> None:
    state.step = step
    state.pairs += len(pairs)
    state.loss_sum += loss
    state.loss_tokens += tokens
    state.seconds += seconds
    state.loss_seconds += seconds


def _validated(
    state: TrainingState,
    result: Validation,
    plan: Plan,
    checkpoints: Checkpoints,
    model: torch.nn.Module,
    record: Callable[[dict[str, Any]], None],
) -> None:
    """Add a line to the table, keep the weights if they are the best so far, and start counting anew."""
    training_loss = state.loss_sum / max(1, state.loss_tokens)
    epoch = plan.epochs_done(state.step)
    state.rows.append(ValidationRow(epoch, state.step, training_loss, result.loss, result.bleu, state.loss_seconds))
    record({"step": state.step, "validation_loss": result.loss, "validation_bleu": result.bleu})
    state.loss_sum, state.loss_tokens, state.loss_seconds = 0.0, 0, 0.0
    state.stale += 1
    if result.bleu > state.best_bleu:
        state.best_bleu, state.best_step, state.stale = result.bleu, state.step, 0
        checkpoints.save_best(model)


def _interrupted(state: TrainingState, plan: Plan, number: int) -> InterruptedRunError:
    done = f"stopped after step {state.step} of {plan.total_steps}"
    return InterruptedRunError(f"{done}; a checkpoint is kept: the same command goes on from it", number)
