"""LoRA through PEFT: put adapters in, count them, merge a copy, save and load PEFT's own format."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, TaskType, get_peft_model
from transformers import PreTrainedModel

from translora.config import LoraConfig
from translora.errors import ConfigError
from translora.families import lora_targets
from translora.model.load import quiet_transformers


@dataclass(frozen=True)
class ParameterCount:
    """How many parameters there are, and how many are trained; tied ones count once."""

    total: int
    trainable: int

    @property
    def share(self) -> float:
        """Trainable parameters as a share of all."""
        return self.trainable / self.total if self.total else 0.0


def count_parameters(model: torch.nn.Module) -> ParameterCount:
    """Count the parameters of `model`, adapters included."""
    parameters = list(model.parameters())
    return ParameterCount(sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad))


def linear_layers(model: torch.nn.Module, head: torch.nn.Module | None) -> Collection[str]:
    """The last parts of the names of all linear layers but the output head."""
    return {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def attach(model: PreTrainedModel, config: LoraConfig, base_name: str, seed: int) -> PreTrainedModel:
    """Freeze `model` and insert a fresh adapter, which starts as no change at all (B is zero).

    `base_name` is recorded in the adapter as its base model.

    Raises `ConfigError` for a rank or targets that the model cannot take.
    """
    if config.rank < 1:
        raise ConfigError(f"lora.rank {config.rank}: use 1 or more (8 is usual)")
    targets = lora_targets(config.targets, linear_layers(model, model.get_output_embeddings()))
    settings = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha or 2 * config.rank,
        lora_dropout=config.dropout,
        target_modules=targets,
        task_type=TaskType.SEQ_2_SEQ_LM,
        base_model_name_or_path=base_name,
    )
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, settings)
    settings.base_model_name_or_path = base_name
    return cast(PreTrainedModel, adapted)


def merged_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model with its adapter merged in, for quick generation; a model without one as it is."""
    if not isinstance(model, PeftModel):
        return model
    return cast(PreTrainedModel, copy.deepcopy(model).merge_and_unload().eval())


def load_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Put the adapter in `folder` on its base model, frozen."""
    with quiet_transformers():
        return cast(PreTrainedModel, PeftModel.from_pretrained(model, folder).eval())
