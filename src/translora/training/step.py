"""One optimiser step: gradients over micro-batches that fit the memory, then the update."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from translora.config import TrainingConfig
from translora.data.batching import Ints, micro_batches
from translora.data.tokens import TokenisedCorpus
from translora.errors import NotFiniteError
from translora.io.files import sha256
from translora.models.budget import Budget
from translora.models.load import LoadedModel

_SLOWER = "lower training.learning_rate, or raise training.warmup_steps"
_WIDER = "use dtype float32 (or bfloat16)"


@dataclass
class Stepper:
    """Takes steps of `optimizer` over pairs of `examples`."""

    translator: LoadedModel
    examples: TokenisedCorpus
    optimizer: torch.optim.Optimizer
    training: TrainingConfig
    seed: int
    """This and the step's number seed all randomness of a step."""
    budget: Budget

    def step(self, number: int, pairs: Ints) -> tuple[float, int]:
        """Take step `number` (from 0) on `pairs`; return the summed cross-entropy in nats and the target tokens.

        Raises `NotFiniteError` before the update where the loss or the gradient is not finite, and after it where a
        weight is not. Raises `OutOfMemoryError` where the memory does not suffice for one pair.
        """
        self.translator.model.train()
        tokens = int(self.examples.target_lengths[pairs].sum())
        loss = self.budget.run(lambda most: self._gradients(number, pairs, tokens, most))
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(trained, self.training.clip_norm or math.inf))
        if not math.isfinite(loss):
            raise NotFiniteError(f"the loss is {loss / tokens}", self._advice_on_loss(), number, pairs.tolist())
        if not math.isfinite(norm):
            raise NotFiniteError(f"the gradient's norm is {norm}", self._advice_on_gradient(), number, pairs.tolist())
        self.optimizer.step()
        if not torch.isfinite(torch.nn.utils.get_total_norm(trained)):
            raise NotFiniteError("a weight is no longer finite after the update", _SLOWER, number, pairs.tolist())
        return loss, tokens

    def _advice_on_loss(self) -> str:
        for name, weight in self.translator.model.named_parameters():
            if not torch.isfinite(weight).all():
                return f"the weight {name} is not finite: take another copy of the base model"
        return _WIDER if self.translator.dtype != torch.float32 else f"look at these pairs, or {_SLOWER}"

    def _advice_on_gradient(self) -> str:
        return f"{_WIDER}, or {_SLOWER}" if self.translator.dtype != torch.float32 else _SLOWER

    def _gradients(self, number: int, pairs: Ints, tokens: int, most: int) -> float:
        """Compute the gradients of `pairs` in micro-batches of at most `most` padded tokens; return the cross-entropy.

        The objective is the mean over all real target tokens of the step, so the cut into micro-batches does not
        change it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(step_seed(self.seed, number))
        total = 0.0
        for part in micro_batches(pairs, self.examples.source_lengths, self.examples.target_lengths, most):
            loss = self.translator.loss(self.examples.batch(part), self.training.label_smoothing)
            total += float(loss.cross_entropy)
            (loss.objective / tokens).backward()
        return total


def step_seed(seed: int, step: int) -> int:
    """The seed of all randomness within one step."""
    return int(sha256(f"{seed} {step}")[:15], 16)
