"""A weight for products with few rows, packed where that helps.

The memory layout of the matrix limits the speed of a product with few rows. On a CPU, oneDNN packs the matrix in
advance, which makes such products 1.3 to 5 times as fast.
"""

from __future__ import annotations

import os
from typing import cast

import torch
from torch.nn import functional

from translora.models.hardware import computes_bfloat16

_KEPT_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "LRU_CACHE_CAPACITY": "64"}
"""How many kernels oneDNN and torch's layer above it keep, one per number of rows and shape of matrix.

Both read it from the environment when they make the first kernel. By default each keeps 1,024, which is hundreds of
megabytes after some thousand lines; the next steps of a search need those of the last few steps alone.
"""


class Matrix:
    """A weight (out, in), packed by oneDNN on a CPU that computes its dtype."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.nbytes = weight.numel() * weight.element_size()
        self._packed = _packed(weight)
        self._weight = None if self._packed is not None else weight.contiguous()

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        """The product of `x` (rows, in), added to `residual` where one is given; shape (rows, out)."""
        if self._packed is None:
            assert self._weight is not None
            if residual is not None and residual.dtype == x.dtype:
                return torch.addmm(residual, x, self._weight.t())
            out = torch.mm(x, self._weight.t())
        else:
            product = torch.ops.mkldnn._linear_pointwise
            if residual is not None and residual.dtype == x.dtype:
                return cast(torch.Tensor, product.binary(x, residual, self._packed, None, "add"))
            out = cast(torch.Tensor, product(x, self._packed, None, "none", [], ""))
        return out if residual is None else residual + out

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        """The tanh form of GELU of the product."""
        if self._packed is None:
            return functional.gelu(self(x, None), approximate="tanh")
        made = torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "gelu", [], "tanh")
        return cast(torch.Tensor, made)


def _packed(weight: torch.Tensor) -> torch.Tensor | None:
    """`weight` in oneDNN's own layout; `None` where it has none or this build of torch lacks it."""
    known = weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and computes_bfloat16(weight.device))
    if weight.device.type != "cpu" or not known or not torch.backends.mkldnn.is_available():
        return None
    for name, capacity in _KEPT_KERNELS.items():
        os.environ.setdefault(name, capacity)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
        torch.ops.mkldnn._linear_pointwise(weight.new_zeros(1, weight.shape[1]), packed, None, "none", [], "")
    except (RuntimeError, AttributeError, TypeError):
        return None
    return cast(torch.Tensor, packed)
