"""One optimiser step: gradients over micro-batches that fit the memory, then the update."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from translora.config import TrainingConfig
from translora.data.batching import Ints, even_batches, micro_batches
from translora.data.tokens import Batch, TokenisedCorpus
from translora.errors import NotFiniteError
from translora.io import console
from translora.io.files import sha256
from translora.models.budget import Budget
from translora.models.load import LoadedModel, has_dropout
from translora.training.encoded import EncodedSources
from translora.training.ranks import ALONE, Ranks

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
    """This, the step's number and that of a micro-batch seed all randomness within it."""
    budget: Budget
    ranks: Ranks = ALONE
    """Those who take each step together; their examples, weights and budgets are the same."""
    encoded: EncodedSources | None = None
    """The encoder's states of all examples, where they are kept."""

    def step(self, number: int, pairs: Ints) -> tuple[float, int]:
        """Take step `number` (from 0) on `pairs`; return the summed cross-entropy in nats and the target tokens.

        Raises `NotFiniteError` before the update where the loss or the gradient is not finite, and after it where a
        weight is not. Raises `OutOfMemoryError` where the memory does not suffice for one pair.
        """
        self.translator.model.train()
        tokens = int(self.examples.target_lengths[pairs].sum())
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        loss = self.budget.run(lambda most: self._gradients(number, pairs, tokens, most), self.ranks.any)
        loss = self.ranks.add_up(loss, trained)
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
        """Compute the gradients of this rank's micro-batches of `pairs`; return their summed cross-entropy.

        The objective is the mean over all real target tokens of the step, so that neither the cut into micro-batches
        nor the number of ranks changes it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        parts = self.parts(pairs, most)
        for i in self.ranks.share([self._cost(part) for part in parts]):
            torch.manual_seed(micro_seed(self.seed, number, int(i)))
            loss = self.translator.loss(self._batch(parts[i]), self.training.label_smoothing)
            total += float(loss.cross_entropy)
            (loss.objective / tokens).backward()
        return total

    def _batch(self, part: Ints) -> Batch:
        """The batch of a micro-batch, with the encoder's states where they are kept."""
        batch = self.examples.batch(part)
        return batch if self.encoded is None else replace(batch, encoded=self.encoded.of(part))

    def parts(self, pairs: Ints, most: int) -> list[Ints]:
        """The micro-batches of a step over `pairs`, each of at most `most` padded tokens.

        Without dropout they are as many and as equal as the ranks need; with it the cut is a part of what is learnt,
        and must not depend on the number of ranks.
        """
        lengths = self.examples.source_lengths, self.examples.target_lengths
        if self.ranks.size == 1 or self.drops:
            return micro_batches(pairs, *lengths, most)
        return even_batches(pairs, *lengths, most, self.ranks.size)

    @cached_property
    def drops(self) -> bool:
        """Whether there is dropout in training."""
        return has_dropout(self.translator.model)

    def _cost(self, part: Ints) -> int:
        """The real tokens of a micro-batch."""
        return int(self.examples.source_lengths[part].sum() + self.examples.target_lengths[part].sum())


def step_seed(seed: int, step: int) -> int:
    """The seed of all randomness within one step that is not one micro-batch's."""
    return int(sha256(f"{seed} {step}")[:15], 16)


def micro_seed(seed: int, step: int, part: int) -> int:
    """The seed of all randomness within one micro-batch of a step."""
    return int(sha256(f"{seed} {step} {part}")[:15], 16)


def say_idle_ranks(stepper: Stepper, pairs: Ints) -> None:
    """Say so where a step over `pairs` has fewer micro-batches than there are ranks, and dropout forbids to cut it."""
    parts, ranks = len(stepper.parts(pairs, stepper.budget.tokens)), stepper.ranks.size
    if stepper.drops and parts < ranks:
        console.notice(
            f"ranks: a step has {parts} micro-batches for {ranks} ranks, and with dropout their number is a part of "
            f"what is learnt: lower training.batch_tokens, raise training.step_tokens, or set dropout to 0"
        )
