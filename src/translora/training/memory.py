"""Predict the memory of a run before it starts, and choose a batch size that fits."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from peft import PeftModel

from translora.config import Config, DecodingConfig, TrainingConfig
from translora.data.tokens import TokenisedCorpus
from translora.errors import ConfigError, OutOfMemoryError
from translora.models.budget import step_bytes
from translora.models.hardware import choose_device, choose_dtype, free_memory_bytes, used_memory_bytes
from translora.models.load import LoadedModel, parameter_count
from translora.models.shards import whole_at_a_time
from translora.training.plan import STEP_BUDGET
from translora.translation.decode import decoding_bytes

_MOST_ON_GPU = 16_384
_STATE = {"adamw": 8, "adafactor": 0, "adamw8bit": 2, "paged_adamw": 8, "paged_adamw8bit": 2}
"""Bytes of state for each trained weight; Adafactor keeps a row and a column of each matrix."""
_USABLE = 0.9
"""Share of the free memory that a run may plan with; the rest is left for other programs."""


_WHOLE = 0.5
"""Share of the free memory that weights, gradients and state may take before they are cut into pieces."""


class Preflight(NamedTuple):
    """The predicted needs of a run."""

    batch_tokens: int
    """Padded tokens to compute at a time."""
    peak_bytes: int
    """The predicted peak, validation included: of the process on a CPU, of the allocator on a GPU."""


def check_memory(
    translator: LoadedModel,
    examples: TokenisedCorpus,
    method: Literal["lora", "full", "none"],
    training: TrainingConfig,
    decoding: DecodingConfig,
    initial: int = 0,
) -> Preflight:
    """Predict the peak memory of training on `examples`, and choose `batch_tokens` where the recipe says `auto`.

    `initial` are the bytes that the start of the adapter takes beside a step, before there is an optimiser's state.
    Validation translates while gradients and optimiser state stay in memory, so the peak is that of a step or of
    validation, whichever is larger. Without training, the peak is the memory in use.

    Raises `OutOfMemoryError`, with advice, where a training step does not fit.
    """
    if method == "none":
        return Preflight(STEP_BUDGET, used_memory_bytes(translator.device))
    free, used = free_memory_bytes(translator.device), used_memory_bytes(translator.device)
    fixed = _fixed_bytes(translator, training)
    tokens, needs = _fitting(translator, examples, training, max(fixed, initial), free)
    translating = decoding_bytes(translator, decoding, examples.source_lengths, fixed)
    return Preflight(tokens, used + max(needs, fixed + translating))


def wants_shards(config: Config, ranks: int) -> bool:
    """Whether the weights of the model that `config` names are to be cut into pieces over `ranks` processes.

    Raises `ConfigError` where that is asked of a single one, and `ModelError` where there is no such model.
    """
    training = config.training
    if training.shard == "on" and ranks == 1:
        raise ConfigError("training.shard on: cuts weights over the processes of torchrun: start it so, or set auto")
    gradient = config.method == "lora" and config.lora.init == "gradient"
    if training.shard != "auto" or ranks == 1 or config.method == "none":
        return training.shard == "on" and config.method != "none"
    if gradient or config.quantise != "off" or training.optimizer != "adamw":
        return False
    device = choose_device(config.device)
    full = 4 + 4 + _STATE["adamw"]  # in float32, with gradient and state
    each = full if config.method == "full" else choose_dtype(config.dtype, device).itemsize
    return parameter_count(config) * each > _WHOLE * free_memory_bytes(device)


def check_sharded_memory(
    translator: LoadedModel, examples: TokenisedCorpus, training: TrainingConfig, pieces: int, device: torch.device
) -> Preflight:
    """As `check_memory`, for a model that is whole and on the CPU, and is going to be cut into `pieces` on `device`."""
    weights = sum(p.numel() * p.element_size() for p in translator.model.parameters())
    fixed = (weights + _fixed_bytes(translator, training)) // pieces + whole_at_a_time(translator.model)
    here = device.type == "cpu"
    free, used = free_memory_bytes(device) + here * weights, used_memory_bytes(device) - here * weights
    tokens, needs = _fitting(translator, examples, training, fixed, free)
    return Preflight(tokens, max(0, used) + needs)


def _fitting(
    translator: LoadedModel, examples: TokenisedCorpus, training: TrainingConfig, beside: int, free: int
) -> tuple[int, int]:
    """The padded tokens that fit `free` bytes at a time, `beside` being taken, and the bytes of a step of so many."""
    longest = int(examples.source_lengths.max()), int(examples.target_lengths.max())
    wanted, cures = training.batch_tokens, _cures(translator, training)
    tokens = most_tokens(translator.device.type, training) if wanted == "auto" else wanted
    while (needs := beside + _step(translator, tokens, longest, training)) > _USABLE * free:
        fewer = max(tokens // 2, sum(longest))
        if fewer == tokens:
            raise _too_much(f"a single pair of {longest[0]} + {longest[1]} tokens", needs, free, cures)
        if wanted != "auto":
            cures = ["set training.batch_tokens to auto", *cures]
            raise _too_much(f"training.batch_tokens {wanted}", needs, free, cures)
        tokens = fewer
    return tokens, needs


def most_tokens(device: str, training: TrainingConfig) -> int:
    """The first number of padded tokens to try.

    It is larger only on a GPU: a CPU gains nothing. Without a stated step size the step is one batch, which must not
    grow with the device.
    """
    stated = training.step_pairs or training.step_tokens
    return _MOST_ON_GPU if stated and device != "cpu" else STEP_BUDGET


def _step(translator: LoadedModel, tokens: int, longest: tuple[int, int], training: TrainingConfig) -> int:
    """Bytes of a pass over `tokens` tokens, all in pairs of the `longest` lengths, whose attention takes the most."""
    fitting = max(1, tokens // sum(longest))
    pairs = min(fitting, training.step_pairs or fitting)
    share = max(1.0, tokens / (fitting * sum(longest)))  # shorter pairs leave no remainder
    return round(step_bytes(translator, pairs, *longest) * share)


def _fixed_bytes(translator: LoadedModel, training: TrainingConfig) -> int:
    """Bytes of the gradients and of the optimiser's state, which stay in memory between steps."""
    trained = [p for p in translator.model.parameters() if p.requires_grad]
    each: int = _STATE[training.optimizer]
    return sum(p.numel() * (each + p.element_size()) for p in trained)


def _cures(translator: LoadedModel, training: TrainingConfig) -> list[str]:
    """Advice that would make the run smaller and that it does not follow already."""
    cures = []
    if not training.gradient_checkpointing:
        cures.append("set training.gradient_checkpointing")
    if not isinstance(translator.model, PeftModel):
        cures.append("use method: lora")
        if training.optimizer == "adamw":
            cures.append("use training.optimizer: adafactor")
    return [*cures, "lower data.max_tokens", "take a smaller model"]


def _too_much(what: str, needs: int, free: int, cures: list[str]) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"{what}: training needs about {needs / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free: "
        f"{', or '.join(cures)}"
    )
