"""One adapter for layers that are one weight: T5's embeddings of either side, and a head that is tied to them.

PEFT keeps an adapter for each layer. Here those of tied layers are the same two parameters, those of the first
embedding; the head has them transposed. Files hold a copy for each layer, so PEFT reads them as three adapters that
are equal.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import Embedding as LoraEmbedding
from peft.tuners.lora import LoraLayer
from torch.nn import functional

from translora.errors import ConfigError

ADAPTER = "default"
"""PEFT's name for the adapter of a model that has one."""


class Transposed(torch.nn.Module):
    """A linear layer whose weight is another layer's parameter, transposed; it is saved as `weight`."""

    def __init__(self, factor: torch.nn.Parameter) -> None:
        super().__init__()
        self.factor = factor

    @property
    def weight(self) -> torch.Tensor:
        """The matrix of the layer, shape (out, in)."""
        return self.factor.t()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` (..., in) to (..., out)."""
        return functional.linear(x, self.weight)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.weight.detach().contiguous()


def adapted_weights(model: torch.nn.Module) -> dict[torch.nn.Parameter, list[Any]]:
    """The adapted layers of `model`, in order, by the weight that they have in the base."""
    found: dict[torch.nn.Parameter, list[Any]] = {}
    for module in model.modules():
        if isinstance(module, LoraLayer):
            found.setdefault(cast(torch.nn.Parameter, module.get_base_layer().weight), []).append(module)
    return found


def tie(model: torch.nn.Module) -> None:
    """Give adapted layers of `model` that are one weight in the base one adapter.

    Raises `ConfigError` where there are none.
    """
    groups = [layers for layers in adapted_weights(model).values() if len(layers) > 1]
    if not groups:
        raise ConfigError(
            "lora.tie_embeddings: no two layers of lora.targets are one weight in this model: add embeddings to "
            "lora.targets, or leave lora.tie_embeddings out"
        )
    for first, *others in groups:
        a, b = first.lora_embedding_A[ADAPTER], first.lora_embedding_B[ADAPTER]
        for layer in others:
            if isinstance(layer, LoraEmbedding):
                layer.lora_embedding_A[ADAPTER], layer.lora_embedding_B[ADAPTER] = a, b
            else:
                layer.lora_A[ADAPTER], layer.lora_B[ADAPTER] = Transposed(b), Transposed(a)


def same_after_merge(model: torch.nn.Module) -> list[list[str]]:
    """The names of the layers of `model` that are one weight and remain so once their adapters are merged.

    Each group begins with an adapted layer. Layers without an adapter, such as T5's own embedding, which the forward
    pass does not use, go with the others.
    """
    names = {id(module): name for name, module in model.named_modules()}
    groups = []
    for weight, layers in adapted_weights(model).items():
        equal = [layer for layer in layers if _same_update(layers[0], layer)]
        if len(equal) > 1:
            bare = [
                name
                for name, module in model.named_modules()
                if getattr(module, "weight", None) is weight and not name.endswith(".base_layer")
                and not isinstance(module, LoraLayer)
            ]  # fmt: skip
            groups.append([*(names[id(layer)] for layer in equal), *bare])
    return groups


def _same_update(one: Any, other: Any) -> bool:
    """Whether the adapters of two layers add the same, up to rounding."""
    if one.lora_variant or other.lora_variant or one.active_adapters != other.active_adapters:
        return False
    return all(map(torch.equal, _factors(one), _factors(other)))


def _factors(layer: Any) -> list[torch.Tensor]:
    """The factors of the update of a layer, shape (vocabulary, rank) and (rank, width), and its scale."""
    found: list[torch.Tensor] = []
    for name in layer.active_adapters:
        if isinstance(layer, LoraEmbedding):
            found += [layer.lora_embedding_A[name].t(), layer.lora_embedding_B[name].t()]
        else:
            found += [layer.lora_B[name].weight, layer.lora_A[name].weight]
        found.append(torch.tensor(layer.scaling[name]))
    return found
