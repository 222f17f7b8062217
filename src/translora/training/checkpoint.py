"""Save and restore a run between two steps: trained weights, optimiser state, and where the run stood.

All tensors are safetensors, the rest is JSON; nothing is pickled. Nothing random is saved, for all randomness follows
from (seed, step).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from translora.errors import TrainingError
from translora.files import atomic_folder, write_json


@dataclass
class ValidationRow:
    """One line of the table: what was measured at a validation."""

    epoch: float
    """Passes over the data so far."""
    step: int
    training_loss: float
    """Mean cross-entropy in nats a target token since the line before."""
    validation_loss: float
    """Cross-entropy in nats a target token."""
    bleu: float
    """Corpus BLEU on the validation pairs."""
    seconds: float
    """Training time since the line before, validation left out."""


@dataclass
class TrainingState:
    """Where a run stands."""

    step: int = 0
    """Optimiser steps done."""
    seconds: float = 0.0
    """Training time, validation left out."""
    pairs: int = 0
    """Pairs trained on, repeats counted."""
    loss_sum: float = 0.0
    """Cross-entropy since the last validation, summed over target tokens."""
    loss_tokens: int = 0
    """The target tokens in `loss_sum`."""
    loss_seconds: float = 0.0
    """Training time since the last validation."""
    batch_tokens: int = 0
    """Padded tokens computed at a time, as the memory allowed; 0 before the first step."""
    peak_memory_bytes: int = 0
    """The most memory that training has taken."""
    best_bleu: float = -1.0
    best_step: int = 0
    stale: int = 0
    """Validations since the best one."""
    rows: list[ValidationRow] = field(default_factory=list)

    @classmethod
    def of(cls, values: dict[str, Any]) -> TrainingState:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**values, "rows": [ValidationRow(**row) for row in values["rows"]]})


class Checkpoints:
    """The folder `checkpoints/` of a run: `last`, to go on from, and `best`, the weights that won validation."""

    def __init__(self, folder: Path) -> None:
        self.last, self.best = folder / "last", folder / "best"

    def save_best(self, model: torch.nn.Module) -> None:
        """Keep the trained weights as the best."""
        with atomic_folder(self.best) as folder:
            save_file(trained_weights(model), folder / "weights.safetensors")

    def load_best(self, model: torch.nn.Module) -> None:
        """Put the best weights back into `model`; without any, leave it as it is."""
        if self.best.exists():
            _put_weights(model, load_file(self.best / "weights.safetensors"))

    def save_last(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        """Save all that the next step depends on."""
        tensors, numbers = _flatten(optimizer.state_dict()["state"])
        with atomic_folder(self.last) as folder:
            save_file(trained_weights(model), folder / "weights.safetensors")
            save_file(tensors, folder / "optimizer.safetensors")
            write_json(folder / "state.json", {"state": asdict(state), "optimizer": numbers})

    def restore(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
        """Load `last` into `model` and `optimizer`; a fresh state where there is none.

        Raises `TrainingError` where it cannot be read or belongs to another model.
        """
        if not self.last.exists():
            return TrainingState()
        try:
            saved = json.loads((self.last / "state.json").read_text(encoding="utf-8"))
            _put_weights(model, load_file(self.last / "weights.safetensors"))
            tensors = load_file(self.last / "optimizer.safetensors")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise TrainingError(f"{self.last}: damaged checkpoint ({error}): delete it to start over") from error
        whole = optimizer.state_dict()
        optimizer.load_state_dict({**whole, "state": _unflatten(tensors, saved["optimizer"])})
        return TrainingState.of(saved["state"])


def trained_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that are trained, by name, on the CPU; tied ones once."""
    return {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def _put_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if parameters.keys() != weights.keys():
        raise ValueError("it was made with another model or adapter")
    for name, parameter in parameters.items():
        if parameter.shape != weights[name].shape:
            raise ValueError(f"{name} has another shape")
        parameter.copy_(weights[name])


def _flatten(state: dict[int, dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, entries in state.items():
        for name, value in entries.items():
            kept = tensors if isinstance(value, torch.Tensor) else numbers
            kept[f"{index}.{name}"] = value.cpu().contiguous() if isinstance(value, torch.Tensor) else value
    return tensors, numbers


def _unflatten(tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *numbers.items()]:
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    return state
