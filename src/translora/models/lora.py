"""LoRA through PEFT: insert an adapter, count parameters, freeze parts, merge."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from transformers import PreTrainedModel

from translora.config import LoraConfig, RanksConfig
from translora.errors import ConfigError, ModelError
from translora.models.families import lora_targets
from translora.models.kinds import EMBEDDINGS, kind_of
from translora.models.load import quiet_transformers
from translora.models.quantise import is_quantised, numbers
from translora.models.tied import same_after_merge, tie


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
    weights, so that the two together still equal the original model. With `init: gradient`, A is random until
    `training.initial` computes it.

    Raises `ConfigError` for a rank, targets or a combination that the model cannot take.
    """
    if config.rank < 1:
        raise ConfigError(f"lora.rank {config.rank}: use 1 or more (8 is usual)")
    targets = lora_targets(config.targets, adaptable_layers(model))
    _check_combination(config, targets)
    excluded = "|".join(f"({_PARTS[part].pattern})" for part in frozen)
    layers = {
        name: module
        for name, module in model.named_modules()
        if name.rsplit(".", 1)[-1] in targets and not (excluded and re.fullmatch(excluded, name))
    }
    if not layers:
        raise ConfigError(f"training.freeze leaves none of lora.targets {config.targets!r} to train: name other layers")
    ranks = _ranks(config, layers)
    rank = config.rank if config.rank in ranks.values() else max(ranks.values())
    alpha = config.alpha or 2 * rank
    alphas = _alphas(config, layers, ranks)
    settings = PeftLoraConfig(
        r=rank,
        lora_alpha=cast(int, alpha),
        rank_pattern={name: own for name, own in ranks.items() if own != rank},
        alpha_pattern={name: own for name, own in alphas.items() if own != alpha},
        lora_dropout=config.dropout,
        use_rslora=config.rslora,
        use_dora=config.dora,
        init_lora_weights="pissa" if config.init == "pissa" else True,
        exclude_modules=excluded or None,
        target_modules=targets,
        modules_to_save=_trained_whole(model, config, excluded) or None,
        task_type=TaskType.SEQ_2_SEQ_LM,
        base_model_name_or_path=base_name,
    )
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, settings)
    settings.base_model_name_or_path = base_name
    for module in adapted.modules():
        if isinstance(module, ModulesToSaveWrapper):
            _widen(module.modules_to_save)
    if config.tie_embeddings:
        tie(adapted)
    return cast(PreTrainedModel, adapted)


def _widen(module: torch.nn.Module) -> None:
    """Give parameters of 16 bits, in which small steps are lost, 32; PEFT does so for the adapter's own."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, torch.float32))


def _check_combination(config: LoraConfig, targets: Collection[str]) -> None:
    """Raise `ConfigError` for options that exclude each other."""
    if config.init == "pissa" and any(name in EMBEDDINGS for name in targets):
        raise ConfigError("lora.init pissa: it takes linear layers apart: leave embeddings out of lora.targets")
    patterns = config.scale_by_weight or config.ranks != RanksConfig()
    if config.init == "pissa" and config.rslora and patterns:
        raise ConfigError("lora.init pissa: PEFT cannot save it with lora.rslora and layers that differ: leave one out")
    if config.tie_embeddings and config.dora:
        raise ConfigError("lora.dora: it has a length of its own for each layer: leave lora.tie_embeddings out")


def _ranks(config: LoraConfig, layers: Mapping[str, torch.nn.Module]) -> dict[str, int]:
    """The rank of each layer; raises `ConfigError` for a kind of which none gets an adapter."""
    own = {info.name: getattr(config.ranks, info.name) for info in fields(config.ranks)}
    kinds = {name: kind_of(name) for name in layers}
    for kind, rank in own.items():
        if rank and kind not in kinds.values():
            raise ConfigError(f"lora.ranks.{kind} {rank}: lora.targets {config.targets!r} names no such layer: add it")
    return {name: own.get(kind, 0) or config.rank for name, kind in kinds.items()}


def _alphas(
    config: LoraConfig, layers: Mapping[str, torch.nn.Module], ranks: Mapping[str, int]
) -> dict[str, float | int]:
    """The alpha of each layer."""
    alphas: dict[str, float | int] = {name: config.alpha or 2 * ranks[name] for name in layers}
    if config.scale_by_weight:
        sizes = {name: _root_mean_square(layers[name]) for name in layers if kind_of(name) != "embeddings"}
        mean = sum(sizes.values()) / max(1, len(sizes))
        alphas |= {name: float(f"{alphas[name] * size / mean:.6g}") for name, size in sizes.items() if mean}
    return alphas


def _root_mean_square(module: torch.nn.Module) -> float:
    weight = cast(torch.Tensor, module.weight).detach().float()
    return float(weight.pow(2).mean().sqrt())


def _trained_whole(model: torch.nn.Module, config: LoraConfig, excluded: str) -> list[str]:
    """The modules that are trained whole, by their last names, or by whole ones where `excluded` matches some.

    Raises `ConfigError` for a kind that the model lacks.
    """
    chosen: list[str] = []
    for word in config.also_train:
        found = [name for name, module in model.named_modules() if _is_whole(name, module, word)]
        kept = [name for name in found if not (excluded and re.fullmatch(excluded, name))]
        if not kept:
            raise ConfigError(f"lora.also_train {word}: this model has none to train: leave it out")
        chosen += kept if len(kept) < len(found) else sorted({name.rsplit(".", 1)[-1] for name in found})
    return chosen


def _is_whole(name: str, module: torch.nn.Module, word: str) -> bool:
    return kind_of(name) == word.replace("-", "_") and any(True for _ in module.parameters(recurse=False))


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """Merge the adapter into `model` itself and return it; a model without an adapter is returned unchanged.

    An adapted embedding or head first gets its own copy of the layer. Merged into tied weights, its adapter would
    change the other layers too (peft#2018); after a resize, the embeddings of T5 are one layer under three names.
    Layers that were one weight and whose adapters are equal are one weight again afterwards.

    Raises `ModelError` for a quantised base, whose weights would be rounded again.
    """
    if not isinstance(model, PeftModel):
        return model
    if is_quantised(model.get_base_model()):
        raise ModelError(
            "merging an adapter into quantised weights would round it away: load the run for translating, or export "
            "it, which both take the base in full precision"
        )
    base = model.get_base_model()
    tied, flag = same_after_merge(base), model.config.tie_word_embeddings
    own_modules = [(name, m.original_module) for name, m in base.named_modules() if isinstance(m, ModulesToSaveWrapper)]
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and name.endswith(EMBEDDINGS):
            module.base_layer = copy.deepcopy(module.get_base_layer()).requires_grad_(False)
    with quiet_transformers():
        whole = cast(PreTrainedModel, model.merge_and_unload().eval())
    for name, original in own_modules:
        whole.get_submodule(name).to(original.weight.dtype)
    for first, *others in tied:
        for name in others:
            cast(Any, whole.get_submodule(name)).weight = whole.get_submodule(first).weight
            if name.endswith("lm_head"):
                whole.config.tie_word_embeddings = flag  # PEFT takes them for parted
    return whole


def merged_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of `model` with its adapter merged in; a model without an adapter is returned itself, not copied."""
    return merged(copy.deepcopy(model)) if isinstance(model, PeftModel) else model
