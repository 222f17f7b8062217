"""A model whose weights are cut into pieces over several processes: torch's fully sharded data parallel, FSDP2.

Each layer's weights are put together while it computes, and dropped after; gradients and the optimiser's state exist in
pieces alone. All processes must compute the same number of passes, each as they like with its own pairs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor


def make_mesh(device: torch.device, size: int) -> DeviceMesh:
    """The `size` processes of the group as one row; all of them must call it."""
    return init_device_mesh(device.type, (size,))


def shard(model: torch.nn.Module, mesh: DeviceMesh) -> None:
    """Cut the weights of `model` into pieces, one for each process of `mesh`, on its device; nothing is sent.

    Each layer (transformers' `_no_split_modules`) is put together alone; what lies outside the layers, tied embeddings
    and the head among it, together. Gradients are summed over the processes, not averaged. An adapter
    is small, and may be of another dtype than its base: it stays whole, and its gradients are the caller's to sum.
    """
    kept = {p for p in model.parameters() if p.requires_grad} if hasattr(model, "get_base_model") else set()
    for layer in _layers(model):
        fully_shard(layer, mesh=mesh, ignored_params=kept)
    fully_shard(model, mesh=mesh, ignored_params=kept)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo can only sum
    register_fsdp_forward_method(model, "generate")


def whole_at_a_time(model: torch.nn.Module) -> int:
    """The bytes of `model`, not cut yet, that will be whole at a time: what is outside the layers, and two of these."""
    layers = [_bytes(module) for module in _layers(model)]
    return _bytes(model) - sum(layers) + 2 * max(layers, default=0)


def _bytes(module: torch.nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def _layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules that transformers calls a layer."""
    base: Any = model
    if hasattr(model, "get_base_model"):
        base = base.get_base_model()
    names = set(getattr(base, "_no_split_modules", None) or ())
    return [module for module in base.modules() if type(module).__name__ in names]


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether the weights of `model` are in pieces."""
    return isinstance(model, FSDPModule)


def without_gradients(model: torch.nn.Module) -> AbstractContextManager[object]:
    """Compute without gradients; for weights in pieces not in inference mode, whose tensors a later step cannot use."""
    return torch.no_grad() if is_sharded(model) else torch.inference_mode()


def in_pieces(tensor: torch.Tensor) -> bool:
    """Whether `tensor` is one of those that are cut."""
    return isinstance(tensor, DTensor)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` itself, or put together from its pieces, for which all processes must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`tensor`, which all processes have, on the device of `other`, and cut into pieces where that is."""
    tensor = tensor.to(other.device)
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)
