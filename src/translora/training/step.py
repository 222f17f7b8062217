"""One optimiser step: gradients over micro-batches that fit the memory, then the update."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from translora.config import TrainingConfig
from translora.data.batching import Ints, even_batches, micro_batches
from translora.data.tokens import Batch, TokenisedCorpus
from translora.errors import NotFiniteError, OutOfMemoryError
from translora.io import console
from translora.io.files import sha256
from translora.models.budget import Budget, is_out_of_memory
from translora.models.load import LoadedModel, has_dropout
from translora.models.shards import in_pieces, is_sharded, whole
from translora.training.encoded import EncodedSources
from translora.training.ranks import ALONE, Ranks, shared_out

_SLOWER = "lower training.learning_rate, or raise training.warmup_steps"
_WIDER = "use dtype float32 (or bfloat16)"
_FEWER = "lower training.batch_tokens, or set training.gradient_checkpointing; the last checkpoint is kept"


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
        loss = self._summed(number, pairs, tokens, trained)
        norm = float(whole(torch.nn.utils.clip_grad_norm_(trained, self.training.clip_norm or math.inf)))
        if not math.isfinite(loss):
            raise NotFiniteError(f"the loss is {loss / tokens}", self._advice_on_loss(), number, pairs.tolist())
        if not math.isfinite(norm):
            raise NotFiniteError(f"the gradient's norm is {norm}", self._advice_on_gradient(), number, pairs.tolist())
        self.optimizer.step()
        if not torch.isfinite(whole(torch.nn.utils.get_total_norm(trained))):
            raise NotFiniteError("a weight is no longer finite after the update", _SLOWER, number, pairs.tolist())
        return loss, tokens

    def _summed(self, number: int, pairs: Ints, tokens: int, trained: list[torch.nn.Parameter]) -> float:
        """Give each trained weight the gradient of all ranks; return the cross-entropy of all ranks."""
        if not self.sharded:
            loss = self.budget.run(lambda most: self._gradients(number, pairs, tokens, most), self.ranks.any)
            return self.ranks.add_up(loss, trained)
        try:
            loss = self.ranks.passes(lambda: self._gradients(number, pairs, tokens, self.budget.tokens))
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):  # the others are inside the step, and cannot do it again
                raise OutOfMemoryError(f"out of memory in step {number + 1}: {_FEWER}") from error
            raise
        return self.ranks.add_up(loss, [p for p in trained if not in_pieces(p)])

    def _advice_on_loss(self) -> str:
        for name, weight in self.translator.model.named_parameters():
            if not torch.isfinite(whole(weight)).all():
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
        losses = []
        parts = self.parts(pairs, most)
        shares = shared_out([self._cost(part) for part in parts], self.ranks.size)
        mine = shares[self.ranks.rank]
        for i in mine:
            torch.manual_seed(micro_seed(self.seed, number, i))
            loss = self.translator.loss(self._batch(parts[i]), self.training.label_smoothing)
            losses.append(loss.cross_entropy)  # read at the end: a GPU would be waited for here
            (loss.objective / tokens).backward()
        for _ in range(max(map(len, shares)) - len(mine) if self.sharded else 0):
            idle = self.translator.loss(self.examples.batch(parts[0]))  # the others need this rank's weights
            (0 * idle.objective).backward()
        return math.fsum(map(float, losses))

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
    def sharded(self) -> bool:
        """Whether the weights are in pieces, so that all ranks do the same number of passes."""
        return is_sharded(self.translator.model)

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
