"""Save and restore a run between two steps: trained weights, optimiser state, and where the run stood.

All tensors are safetensors, the rest is JSON; nothing is pickled. Nothing random is saved, for all randomness follows
from (seed, step). A checkpoint is a folder that is written under another name, synced, and renamed; its manifest has
the size and the hash of each file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from translora.errors import TrainingError
from translora.io import console
from translora.io.files import atomic_folder, file_hash, read_json, remove_folder, write_json
from translora.models.shards import like, whole
from translora.runs.summary import ValidationRow
from translora.training.ranks import Ranks

_KEPT = 2
"""The newest checkpoint, and the one before it in case the newest is damaged later."""
_LEAST_SECONDS = 10.0
_TIMES_ITS_COST = 200.0
"""`save_every: auto` trains this many times as long as the last checkpoint took to write."""
_MANIFEST = "manifest.json"


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

    def add_step(self, pairs: int, loss: float, tokens: int, seconds: float) -> None:
        """Count a step over `pairs` pairs; `loss` is summed over its `tokens` target tokens."""
        self.step += 1
        self.pairs += pairs
        self.loss_sum += loss
        self.loss_tokens += tokens
        self.add_seconds(seconds)

    def add_seconds(self, seconds: float) -> None:
        """Count time of training."""
        self.seconds += seconds
        self.loss_seconds += seconds

    def add_validation(self, epoch: float, loss: float, bleu: float) -> bool:
        """Add a line to the table and start counting anew; returns whether it is the best so far.

        The best has the highest BLEU, and of equal ones the lowest loss.
        """
        same = [row.validation_loss for row in self.rows if row.bleu == bleu]
        training_loss = self.loss_sum / max(1, self.loss_tokens)
        self.rows.append(ValidationRow(epoch, self.step, training_loss, loss, bleu, self.loss_seconds))
        self.loss_sum, self.loss_tokens, self.loss_seconds = 0.0, 0, 0.0
        better = bleu > self.best_bleu or (bleu == self.best_bleu and loss < min(same, default=0.0))
        if better:
            self.best_bleu, self.best_step = bleu, self.step
        self.stale = 0 if better else self.stale + 1
        return better

    @classmethod
    def of(cls, values: dict[str, Any]) -> TrainingState:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**values, "rows": [ValidationRow(**row) for row in values["rows"]]})


@dataclass
class Snapshot:
    """All that the next step depends on; of a sharded model put together."""

    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    """The trained weights, by name; empty before the first checkpoint."""
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    """The optimiser's state, by the path of its keys."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """What of the optimiser's state is no tensor."""
    state: TrainingState = field(default_factory=TrainingState)

    @classmethod
    def of(cls, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState) -> Snapshot:
        """The snapshot of a run; of a sharded model, all ranks must take it."""
        return cls(trained_weights(model), *_flatten(optimizer.state_dict()["state"]), state)

    def put(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
        """Give `model` and `optimizer` what they had; returns where the run stood."""
        if self.weights:
            put_weights(model, self.weights)
            before = optimizer.state_dict()
            trained = [p for group in optimizer.param_groups for p in group["params"]]
            state = _unflatten(self.tensors, self.numbers)
            for number, parts in state.items():
                for name, value in parts.items():
                    if isinstance(value, torch.Tensor) and value.shape == trained[number].shape:
                        parts[name] = like(value, trained[number])
            optimizer.load_state_dict({**before, "state": state})
        return self.state


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-N`, to go on from, and `best-N`, the weights that won validation."""

    def __init__(self, folder: Path, every: Literal["auto"] | int = "auto", writes: bool = True) -> None:
        """`every` is the number of steps between checkpoints, 0 for none but those that are asked for.

        Without `writes` it takes part in putting the pieces of a sharded model together, and writes nothing.
        """
        self._folder, self._every, self._writes = folder, every, writes
        self._step, self._saved_at, self._took = 0, time.monotonic(), 0.0

    def due(self, step: int) -> bool:
        """Whether to save after `step` steps."""
        if step == self._step:
            return False
        if self._every == "auto":
            return time.monotonic() - self._saved_at >= max(_LEAST_SECONDS, _TIMES_ITS_COST * self._took)
        return bool(self._every) and step % self._every == 0

    def save_best(self, model: torch.nn.Module, step: int) -> None:
        """Keep the trained weights after `step` as the best."""
        weights = trained_weights(model)
        if self._writes:
            with atomic_folder(self._folder / f"best-{step:08}") as folder:
                save_file(weights, folder / "weights.safetensors")
                _write_manifest(folder)

    def best_weights(self, model: torch.nn.Module, step: int) -> dict[str, torch.Tensor]:
        """The best weights, those after `step`, for `model`; none at step 0, whose weights it has.

        Raises `TrainingError` where they cannot be read.
        """
        if not step:
            return {}
        folder = self._folder / f"best-{step:08}"
        if fault := checkpoint_fault(folder):
            raise TrainingError(f"{folder}: damaged ({fault}): delete {self._folder} to start over")
        return _checked(load_file(folder / "weights.safetensors"), model, folder)

    def save(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        """Save all that the next step depends on; once it is whole, delete the checkpoints that are not needed."""
        started = time.monotonic()
        snapshot = Snapshot.of(model, optimizer, state)
        if self._writes:
            self._write(snapshot)
        self._step, self._saved_at = state.step, time.monotonic()
        self._took = self._saved_at - started

    def _write(self, snapshot: Snapshot) -> None:
        with atomic_folder(self._folder / f"step-{snapshot.state.step:08}") as folder:
            save_file(snapshot.weights, folder / "weights.safetensors")
            save_file(snapshot.tensors, folder / "optimizer.safetensors")
            write_json(folder / "state.json", {"state": asdict(snapshot.state), "optimizer": snapshot.numbers})
            _write_manifest(folder)
        self._prune()

    def read(self, model: torch.nn.Module) -> Snapshot:
        """The newest whole checkpoint of `model`, which it does not change; a fresh one where there is none.

        Raises `TrainingError` where none of them is whole, or it belongs to another model.
        """
        faults = []
        for folder in numbered_folders(self._folder, "step"):
            if not (fault := checkpoint_fault(folder)):
                snapshot = _read(folder, model)
                self._step = snapshot.state.step
                return snapshot
            faults.append(f"{folder}: damaged checkpoint ({fault})")
            console.notice(f"{faults[-1]}: goes on from the one before it")
        if faults:
            raise TrainingError(f"{faults[0]}, and no other is whole: delete {self._folder} to start over")
        return Snapshot()

    def _prune(self) -> None:
        """Delete all but the newest checkpoints, and the best weights that none of them names."""
        checkpoints = numbered_folders(self._folder, "step")
        for folder in checkpoints[_KEPT:]:
            remove_folder(folder)
        best = {
            _state(folder)["best_step"] for folder in checkpoints[:_KEPT] if not checkpoint_fault(folder, hashes=False)
        }
        for folder in numbered_folders(self._folder, "best"):
            if int(folder.name.split("-")[1]) not in best:
                remove_folder(folder)


def numbered_folders(folder: Path, kind: str) -> list[Path]:
    """The folders of a kind, the newest first."""
    found = folder.iterdir() if folder.exists() else []
    return sorted((path for path in found if re.fullmatch(rf"{kind}-\d+", path.name)), reverse=True)


def steps_done(folder: Path) -> int:
    """The optimiser steps that the newest checkpoint in `folder` has; 0 where there is none."""
    return max((int(path.name.split("-")[1]) for path in numbered_folders(folder, "step")), default=0)


def _write_manifest(folder: Path) -> None:
    files = {file.name: {"bytes": file.stat().st_size, "sha256": file_hash(file)} for file in sorted(folder.iterdir())}
    write_json(folder / _MANIFEST, {"files": files})


def checkpoint_fault(folder: Path, hashes: bool = True) -> str:
    """The first difference from the manifest of `folder`; empty where it is whole."""
    try:
        for name, wanted in read_json(folder / _MANIFEST)["files"].items():
            if Path(name).name != name or name == "..":
                return f"{_MANIFEST} names {name}, which is not in the folder"
            size = (folder / name).stat().st_size
            if size != wanted["bytes"]:
                return f"{name} has {size} bytes instead of {wanted['bytes']}"
            if hashes and file_hash(folder / name) != wanted["sha256"]:
                return f"{name} has changed since it was written"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{_MANIFEST} cannot be read: {error}"
    return ""


def _state(folder: Path) -> dict[str, Any]:
    return dict(read_json(folder / "state.json")["state"])


def _read(folder: Path, model: torch.nn.Module) -> Snapshot:
    try:
        saved = read_json(folder / "state.json")
        state = TrainingState.of(saved["state"])
        weights, tensors = load_file(folder / "weights.safetensors"), load_file(folder / "optimizer.safetensors")
        numbers = dict(saved["optimizer"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise TrainingError(f"{folder}: of another version of translora ({error}): delete it to start over") from error
    return Snapshot(_checked(weights, model, folder), tensors, numbers, state)


def share(ranks: Ranks, snapshot: Snapshot) -> Snapshot:
    """The snapshot that rank 0 has."""
    found = ranks.broadcast({"state": asdict(snapshot.state), "optimizer": snapshot.numbers})
    weights, tensors = ranks.broadcast_tensors(snapshot.weights), ranks.broadcast_tensors(snapshot.tensors)
    return Snapshot(weights, tensors, found["optimizer"], TrainingState.of(found["state"]))


def trained_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that are trained, by name, on the CPU; tied ones once. Sharded ones are put together."""
    return {name: whole(p.detach()).cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def put_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Give the trained parameters of `model` the values `weights`, which all ranks have; none change nothing."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and weights:
            parameter.copy_(like(weights[name], parameter))


def _checked(weights: dict[str, torch.Tensor], model: torch.nn.Module, folder: Path) -> dict[str, torch.Tensor]:
    """`weights`, which lie in `folder`; raises `TrainingError` where they are not those that `model` trains."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if parameters.keys() != weights.keys() or any(p.shape != weights[name].shape for name, p in parameters.items()):
        raise TrainingError(f"{folder}: of another model or adapter: delete it to start over")
    return weights


def _flatten(state: dict[int, dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Any] = {}
    for key, value in _leaves(state):
        if isinstance(value, torch.Tensor):
            tensors[key] = whole(value).cpu().contiguous()
        else:
            numbers[key] = value
    return tensors, numbers


def _leaves(state: dict[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested dictionaries, by the path of their keys."""
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _unflatten(tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *numbers.items()]:
        index, *path, name = key.split(".")
        place = state.setdefault(int(index), {})
        for part in path:
            place = place.setdefault(part, {})
        place[name] = value
    return state
