"""Train a model whose weights are in pieces over the ranks, from a whole one to a whole one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from translora.config import Config
from translora.io import console
from translora.models.hardware import choose_device, choose_dtype
from translora.models.load import LoadedModel, load
from translora.models.shards import make_mesh, shard
from translora.training.checkpoint import put_weights, trained_weights
from translora.training.ranks import Ranks


def to_be_sharded(config: Config) -> Config:
    """The configuration that loads the model on the CPU, to compute by its own forward pass, as FSDP needs it."""
    dtype = choose_dtype(config.dtype, choose_device(config.device))
    return replace(config, device="cpu", fast="off", dtype="bfloat16" if dtype == torch.bfloat16 else "float32")


def shard_over(ranks: Ranks, translator: LoadedModel, config: Config) -> None:
    """Cut the weights into pieces over the ranks, each on its device."""
    device = choose_device(config.device)
    ranks.passes(lambda: shard(translator.model, make_mesh(device, ranks.size)))
    translator.device = device
    console.notice(f"ranks: the weights are cut into {ranks.size} pieces (FSDP2)")


def whole_of(
    ranks: Ranks, translator: LoadedModel, config: Config, make_trainable: Callable[[LoadedModel, Config], object]
) -> LoadedModel:
    """The sharded model put together on rank 0's CPU, loaded anew and made trainable; on other ranks `translator`."""
    weights = ranks.passes(lambda: trained_weights(translator.model))
    if not ranks.first:
        return translator
    whole = load(to_be_sharded(config))
    make_trainable(whole, config)
    put_weights(whole.model, weights)
    whole.shortlist = translator.shortlist
    return whole
