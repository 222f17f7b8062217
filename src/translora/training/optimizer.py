"""The optimiser (AdamW or Adafactor), its parameter groups, and the schedule of its learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch

from translora.config import RateFactorsConfig, TrainingConfig
from translora.io import console
from translora.models.kinds import kind_of
from translora.models.quantise import require_library
from translora.models.shards import whole

_SMALLEST_SCALE = 1e-3
_BEGIN_AS_ZERO = (".lora_B.", ".lora_embedding_A.")
"""Parts of PEFT's names for the factor that begins as zero: of linear layers, and of embeddings, whose A and B have
changed places."""


def build_optimizer(model: torch.nn.Module, config: TrainingConfig, b_rate: float = 1.0) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over the trained weights of `model`.

    AdamW is of Loshchilov & Hutter (2019), Adafactor of Shazeer & Stern (2018).

    A group's `factor` multiplies its rate: `rate_factors` by kind, times `b_rate` for the factor of an adapter
    that begins as zero (LoRA+). With `scale_parameter` each tensor is a group of its own, so that `set_rate` can scale
    its rate.
    """
    trained = [
        (parameter, _factor(name, config.rate_factors, b_rate))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    if config.scale_parameter:
        groups = [{"params": [p], "factor": factor} for p, factor in trained]
    else:
        factors = sorted({factor for _, factor in trained})
        groups = [{"params": [p for p, own in trained if own == factor], "factor": factor} for factor in factors]
    if config.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        adafactor: torch.optim.Optimizer = Adafactor(
            groups,
            lr=config.learning_rate,
            scale_parameter=False,
            relative_step=False,
            warmup_init=False,
            weight_decay=config.weight_decay,
        )
        return adafactor
    if config.optimizer != "adamw":
        return _of_bitsandbytes(config, groups)
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def _factor(name: str, factors: RateFactorsConfig, b_rate: float) -> float:
    """The multiple of the rate for the parameter `name`."""
    factor: float = getattr(factors, kind_of(name), 1.0)
    return factor * b_rate if any(part in name for part in _BEGIN_AS_ZERO) else factor


_BITSANDBYTES = {"adamw8bit": "AdamW8bit", "paged_adamw": "PagedAdamW", "paged_adamw8bit": "PagedAdamW8bit"}


def _of_bitsandbytes(config: TrainingConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """An optimiser of bitsandbytes (Dettmers et al. 2022, arXiv:2110.02861)."""
    require_library(f"training.optimizer {config.optimizer}")
    import bitsandbytes

    name = _BITSANDBYTES[config.optimizer]
    if name.startswith("Paged") and groups[0]["params"][0].device.type == "cpu":
        name = name.removeprefix("Paged")
        console.notice(f"training.optimizer {config.optimizer}: without a GPU there is nothing to page")
    kind = getattr(bitsandbytes.optim, name)
    made: torch.optim.Optimizer = kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    return made


def rate_at(step: int, total: int, config: TrainingConfig) -> float:
    """The learning rate of `step` (from 0) of `total`: linear warm-up, then linear, cosine or constant."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, total - config.warmup_steps)
    factor = {
        "linear": 1 - done,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "constant": 1.0,
    }[config.schedule]
    return config.learning_rate * factor


def set_rate(optimizer: torch.optim.Optimizer, rate: float, scale_parameter: bool) -> None:
    """Give every group `rate` times its factor; with `scale_parameter` also times its tensor's root mean square.

    T5 from scratch does not learn under one rate for all tensors: the embedding's values are of size 1, the
    projections' of size 1 / sqrt(width) (Shazeer & Stern 2018, section 8; nanoT5 finds the same for AdamW).
    """
    groups = optimizer.param_groups
    sizes = _root_mean_squares([group["params"][0] for group in groups]) if scale_parameter else [1.0] * len(groups)
    for group, size in zip(groups, sizes, strict=True):
        group["lr"] = rate * group["factor"] * max(_SMALLEST_SCALE, size)


def _root_mean_squares(tensors: list[torch.Tensor]) -> list[float]:
    """The root mean square of each of `tensors`; a GPU is waited for once."""
    norms = [torch.linalg.vector_norm(whole(tensor.detach()), dtype=torch.float32) for tensor in tensors]
    return [norm / math.sqrt(t.numel()) for norm, t in zip(torch.stack(norms).tolist(), tensors, strict=True)]
