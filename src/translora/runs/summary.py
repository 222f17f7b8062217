"""The figures of a finished run, typed: the content of `summary.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from translora.data.characters import UnknownCharacters
from translora.data.cleaning.rules import Dropped
from translora.scoring.metrics import Scores
from translora.scoring.significance import SIGNIFICANT, few_pairs


@dataclass(frozen=True)
class ValidationRow:
    """The figures of one validation."""

    epoch: float
    """Passes over the data so far."""
    step: int
    training_loss: float
    """Mean cross-entropy in nats per target token since the row before."""
    validation_loss: float
    """Cross-entropy in nats per target token."""
    bleu: float
    """Corpus BLEU on the validation pairs."""
    seconds: float
    """Training time since the row before, without validation."""


@dataclass(frozen=True)
class Shortened:
    """What was left of a run so that it fits its minutes; each number stands before that of the whole run."""

    minutes: float
    """The limit; see `Config.minutes`."""
    steps: int
    all_steps: int
    validation_pairs: int
    all_validation_pairs: int
    test_pairs: int
    all_test_pairs: int

    @property
    def words(self) -> str:
        """One sentence without a full stop: what was cut."""
        sizes = {
            "steps": (self.steps, self.all_steps),
            "validation pairs": (self.validation_pairs, self.all_validation_pairs),
            "test pairs": (self.test_pairs, self.all_test_pairs),
        }
        cuts = [f"{part:,} of {whole:,} {name}" for name, (part, whole) in sizes.items() if part < whole]
        limit = f"{self.minutes:g} minute{'s' * (self.minutes != 1)}"
        return f"shortened to fit {limit}: {', '.join(cuts)}" if cuts else f"not shortened: it fits {limit}"


@dataclass(frozen=True)
class Summary:
    """The figures of a finished run; a field that an older version of translora did not write has its default."""

    base_model: str
    """The model as the recipe named it."""
    method: str
    """`lora`, `full` or `none`."""
    scores_before: Scores | None
    """The scores of the base model; None for a fresh one."""
    scores_after: Scores
    """The scores of the trained model."""
    p_values: dict[str, float] | None
    """The p-value of the difference, by metric; None without two lists of translations."""
    test_pairs: int
    steps: int
    """Optimiser steps."""
    table: tuple[ValidationRow, ...]
    """One row per validation."""
    total_parameters: int = 0
    trainable_parameters: int = 0
    train_pairs: int = 0
    validation_pairs: int = 0
    dropped: dict[str, Dropped] = field(default_factory=dict)
    """The training pairs that cleaning left out, by reason."""
    unknown_characters: UnknownCharacters = field(default_factory=UnknownCharacters)
    """The characters of all pairs that the model's vocabulary lacks."""
    truncated_sources: int = 0
    """Training sources that were cut at `data.max_tokens`."""
    truncated_targets: int = 0
    """Training targets that were cut at `data.max_tokens`."""
    cut_before: int | None = None
    """Translations of the base model that reached their limit and were cut; None where it was not counted."""
    cut_after: int | None = None
    """Translations of the trained model that reached their limit and were cut; None where it was not counted."""
    shortened: Shortened | None = None
    """What was cut to fit a limit of minutes; None without such a limit."""
    best_step: int = 0
    """The step whose weights were kept."""
    train_seconds: float = 0.0
    """The seconds of training steps alone."""
    pairs_per_second: float | None = None
    """Training pairs per second, repeats counted; None without training."""
    batch_tokens: int = 0
    """Padded tokens computed at a time, at most."""
    predicted_memory_bytes: int = 0
    """The peak of memory as it was predicted."""
    peak_memory_bytes: int = 0
    """The peak of memory as it was measured."""
    hardware: str = ""
    dtype: str = ""
    """The type of matrix products."""
    version: str = ""
    """The version of translora."""

    @property
    def bleu_before(self) -> float | None:
        """BLEU of the base model; None for a fresh one."""
        return self.scores_before.bleu.score if self.scores_before else None

    @property
    def bleu_after(self) -> float:
        """BLEU of the trained model."""
        return self.scores_after.bleu.score

    @property
    def chrf_before(self) -> float | None:
        """The chrF2++ of the base model; None for a fresh one."""
        return self.scores_before.chrf.score if self.scores_before else None

    @property
    def chrf_after(self) -> float:
        """The chrF2++ of the trained model."""
        return self.scores_after.chrf.score

    @property
    def signature(self) -> str:
        """BLEU's signature."""
        return self.scores_after.bleu.signature

    @property
    def verdict(self) -> str:
        """Whether training helped, in one sentence."""
        if not self.p_values or self.bleu_before is None:
            return f"BLEU is {self.bleu_after:.1f}: there is nothing to compare it with."
        change, p_value = self.bleu_after - self.bleu_before, self.p_values["bleu"]
        words = f"p = {p_value:.3f}, paired bootstrap on {self.test_pairs:,} pair{'s' * (self.test_pairs != 1)}"
        if p_value >= SIGNIFICANT:
            return f"No significant difference: BLEU changed by {change:+.1f} ({words})."
        if few := few_pairs(self.test_pairs):
            return f"BLEU changed by {change:+.1f} ({words}).{few}"
        if change > 0:
            return f"Training helped: BLEU changed by {change:+.1f} ({words})."
        return f"Training did harm: BLEU changed by {change:+.1f} ({words}): take a lower rate, or fewer epochs."

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> Summary:
        """The summary out of the object in `summary.json`; keys that it does not know are ignored.

        Raises `ValueError` where a field is missing or of another type.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_python(dict(figures))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    def as_dict(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        return {
            "base_model": self.base_model,
            "method": self.method,
            "bleu_before": self.bleu_before,
            "bleu_after": self.bleu_after,
            "chrf_before": self.chrf_before,
            "chrf_after": self.chrf_after,
            "signature": self.signature,
            **asdict(self),
        }
