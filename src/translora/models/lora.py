"""LoRA through PEFT: insert an adapter, count parameters, freeze parts, merge."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from translora.config import LoraConfig
from translora.errors import ConfigError, ModelError
from translora.models.families import lora_targets
from translora.models.load import quiet_transformers
from translora.models.quantise import is_quantised, numbers

_TIED_LAYERS = ("embed_tokens", "lm_head", "shared")


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
    return ParameterCount(sum(map(numbers, parameters)), sum(p.numel() for p in parameters if p.requires_grad))


def adaptable_layers(model: torch.nn.Module) -> Collection[str]:
    """The last parts of the names of all layers that can take an adapter: the linear ones and the embeddings in use."""
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding)
    }
    return names - {"shared", "relative_attention_bias"}


_PARTS = {
    "embeddings": re.compile(r"(.*\.)?(shared|embed_tokens|lm_head)(\..*)?"),
    "encoder": re.compile(r"(.*\.)?encoder\.(?!embed_tokens).*"),
    "decoder": re.compile(r"(.*\.)?decoder\.(?!embed_tokens).*"),
}
"""The names of the modules and parameters of the parts that `training.freeze` knows."""


def freeze(model: torch.nn.Module, parts: Collection[str]) -> None:
    """Freeze `parts` of `model`: `embeddings` (and the head), `encoder` or `decoder`."""
    for name, parameter in model.named_parameters():
        if any(_PARTS[part].fullmatch(name) for part in parts):
            parameter.requires_grad_(False)


def attach(
    model: PreTrainedModel, config: LoraConfig, base_name: str, seed: int, frozen: Collection[str] = ()
) -> PreTrainedModel:
    """Freeze `model` and insert a new adapter in all parts but `frozen`; the outputs stay the same at first.

    `base_name` is recorded in the adapter as its base model. PiSSA subtracts the initial adapter from the base's
    weights, so that the two together still equal the original model.

    Raises `ConfigError` for a rank or targets that the model cannot take.
    """
    if config.rank < 1:
        raise ConfigError(f"lora.rank {config.rank}: use 1 or more (8 is usual)")
    targets = lora_targets(config.targets, adaptable_layers(model))
    if config.init == "pissa" and any(name in _TIED_LAYERS for name in targets):
        raise ConfigError("lora.init pissa: it takes linear layers apart: leave embeddings out of lora.targets")
    excluded = "|".join(f"({_PARTS[part].pattern})" for part in frozen)
    if excluded and not any(
        name.rsplit(".", 1)[-1] in targets and not re.fullmatch(excluded, name) for name, _ in model.named_modules()
    ):
        raise ConfigError(f"training.freeze leaves none of lora.targets {config.targets!r} to train: name other layers")
    settings = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha or 2 * config.rank,
        lora_dropout=config.dropout,
        use_rslora=config.rslora,
        use_dora=config.dora,
        init_lora_weights="pissa" if config.init == "pissa" else True,
        exclude_modules=excluded or None,
        target_modules=targets,
        task_type=TaskType.SEQ_2_SEQ_LM,
        base_model_name_or_path=base_name,
    )
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, settings)
    settings.base_model_name_or_path = base_name
    return cast(PreTrainedModel, adapted)


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """Merge the adapter into `model` itself and return it; a model without an adapter is returned unchanged.

    An adapted embedding or head first gets its own copy of the layer. Merged into tied weights, its adapter would
    change the other layers too (peft#2018); after a resize, the embeddings of T5 are one layer under three names.

    Raises `ModelError` for a quantised base, whose weights would be rounded again.
    """
    if not isinstance(model, PeftModel):
        return model
    if is_quantised(model.get_base_model()):
        raise ModelError(
            "merging an adapter into quantised weights would round it away: load the run for translating, or export "
            "it, which both take the base in full precision"
        )
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and name.endswith(_TIED_LAYERS):
            module.base_layer = copy.deepcopy(module.get_base_layer()).requires_grad_(False)
    with quiet_transformers():
        return cast(PreTrainedModel, model.merge_and_unload().eval())


def merged_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of `model` with its adapter merged in; a model without an adapter is returned itself, not copied."""
    return merged(copy.deepcopy(model)) if isinstance(model, PeftModel) else model
