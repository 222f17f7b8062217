"""Predict the memory of a run before it starts, and choose a batch size that fits."""

from __future__ import annotations

from typing import Literal, NamedTuple

from translora.config import DecodingConfig, TrainingConfig
from translora.data.tokens import TokenisedCorpus
from translora.errors import OutOfMemoryError
from translora.models.budget import step_bytes
from translora.models.hardware import free_memory_bytes, used_memory_bytes
from translora.models.load import LoadedModel
from translora.training.plan import STEP_BUDGET
from translora.translation.decode import decoding_bytes

_MOST_ON_GPU = 16_384
_STATE = {"adamw": 8, "adafactor": 0, "adamw8bit": 2, "paged_adamw": 8, "paged_adamw8bit": 2}
"""Bytes of state for each trained weight; Adafactor keeps a row and a column of each matrix."""
_USABLE = 0.9
"""Share of the free memory that a run may plan with; the rest is left for other programs."""


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
    longest = int(examples.source_lengths.max()), int(examples.target_lengths.max())
    wanted = training.batch_tokens
    tokens = most_tokens(translator.device.type, training) if wanted == "auto" else wanted
    free, used = free_memory_bytes(translator.device), used_memory_bytes(translator.device)
    fixed = _fixed_bytes(translator, training)
    beside = max(fixed, initial)
    needs = beside + _step(translator, tokens, longest, training)
    while needs > _USABLE * free:
        fewer = max(tokens // 2, sum(longest))
        if fewer == tokens:
            raise _too_much(
                f"a single pair of {longest[0]} + {longest[1]} tokens", needs, free, _cures(method, training)
            )
        if wanted != "auto":
            cure = "set training.batch_tokens to auto"
            raise _too_much(f"training.batch_tokens {wanted}", needs, free, [cure, *_cures(method, training)])
        tokens = fewer
        needs = beside + _step(translator, tokens, longest, training)
    translating = decoding_bytes(translator, decoding, examples.source_lengths, fixed)
    return Preflight(tokens, used + max(needs, fixed + translating))


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


def _cures(method: str, training: TrainingConfig) -> list[str]:
    """Advice that would make the run smaller and that it does not follow already."""
    cures = []
    if not training.gradient_checkpointing:
        cures.append("set training.gradient_checkpointing")
    if method == "full":
        cures.append("use method: lora")
        if training.optimizer == "adamw":
            cures.append("use training.optimizer: adafactor")
    return [*cures, "lower data.max_tokens", "take a smaller model"]


def _too_much(what: str, needs: int, free: int, cures: list[str]) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"{what}: training needs about {needs / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free: "
        f"{', or '.join(cures)}"
    )
