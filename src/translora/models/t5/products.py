"""Linear layers for decoding: merged with their adapter, joined in one matrix, for some of their outputs or all."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from peft.tuners.lora import Embedding as LoraEmbedding
from peft.tuners.lora import Linear as LoraLinear
from peft.utils import ModulesToSaveWrapper
from torch.nn import functional
from torch.nn.functional import pad

from translora.models.t5.layers import plain_layer, project
from translora.models.t5.packed import Matrix

_PROBED_ROWS = 256
"""Rows of the identity matrix passed at a time to a layer whose matrix must be found by calling it."""


class UnknownLayerError(ValueError):
    """A layer or adapter that the decoder cannot express as a matrix product."""


class Making(NamedTuple):
    """How products are made."""

    dtype: torch.dtype
    """The dtype of the products."""
    own: bool = True
    """Whether to copy the weights; without copies the modules are called as they are, which is slower."""
    adapters: tuple[str, ...] = ()
    """The adapters to keep apart from the weights, for rows that each have their own; empty: the active one is
    merged."""


class Product:
    """Linear layers with the same input, and the norm before them, as one matrix product."""

    def __init__(
        self, modules: Sequence[torch.nn.Module], making: Making, norm: Any = None, scale: float = 1.0
    ) -> None:
        """`norm` is the T5 norm before the layers; its weight and `scale` become part of the matrix.

        Raises `UnknownLayerError` for a layer that has a bias and, where adapters are kept apart, for an adapter that
        is more than a plain LoRA or a layer that cannot have one per row.
        """
        self._modules, self._making, self._norm, self._scale = tuple(modules), making, norm, scale
        self._epsilon: float = 0.0 if norm is None else norm.variance_epsilon
        if making.adapters:
            require_shared(norm)
        self._matrix: Matrix | None = None
        self._sides: _Sides | None = None
        self._rows: torch.Tensor | None = None
        """The outputs that are computed, shape (out,); None is all."""
        if making.own:
            self._matrix = self._copied()
            if making.adapters:
                self._sides = _Sides.of(modules, making, self._columns(), scale)

    def _columns(self) -> torch.Tensor | None:
        """The norm's weight, by which the columns of the matrix are scaled."""
        wide = torch.promote_types(self._making.dtype, torch.float32)
        return None if self._norm is None else self._norm.weight.detach().to(wide)

    def _copied(self) -> Matrix:
        """The matrix of the outputs that are computed."""
        wide, columns = torch.promote_types(self._making.dtype, torch.float32), self._columns()
        parts = [_weight(module, bool(self._making.adapters), self._rows).to(wide) for module in self._modules]
        weight = torch.cat(parts) if len(parts) > 1 else parts[0]
        weight = weight * self._scale if columns is None else weight * (columns * self._scale)
        return Matrix(weight.to(self._making.dtype))

    def narrowed(self, rows: torch.Tensor) -> Product:
        """The same layer, which must be one, with the outputs `rows` alone, and the adapters that it has now.

        Without copied weights all outputs are computed, and those of `rows` are taken.
        """
        made = copy(self)
        made._rows = rows
        made._matrix = made._copied() if self._matrix else None
        made._sides = self._sides.narrowed(rows) if self._sides else None
        return made

    def take(self, number: int, other: Product, name: str) -> None:
        """Keep the adapter `name` of the same layers, which `other` has, as number `number`.

        Raises `UnknownLayerError` for an adapter that is more than a plain LoRA.
        """
        making = Making(self._making.dtype, adapters=(name,))
        require_shared(other._norm)
        found = _Sides.of(other._modules, making, self._columns(), self._scale)
        self.drop(number)
        if found:
            self._sides = found.numbered(number, self._sides)

    def drop(self, number: int) -> None:
        """Forget the adapter of that number."""
        self._sides = self._sides.without(number) if self._sides else None

    @property
    def nbytes(self) -> int:
        """The bytes of the copied weights."""
        return (self._matrix.nbytes if self._matrix else 0) + (self._sides.nbytes if self._sides else 0)

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        """`x` (rows, in) over its root mean square; the matrix already contains the norm's weight.

        Without copied weights `x` is returned unchanged.
        """
        if self._matrix is None:
            return x
        return (x if self._norm is None else normed(x, self._epsilon)).to(self._making.dtype)

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, which: Groups | None = None
    ) -> torch.Tensor:
        """`x` (rows, in) to (rows, out), added to `residual` where one is given.

        `which` says which adapter each row has, where adapters are kept apart.
        """
        return self.of_normed(self.normed(x), residual, which)

    def gelu(self, x: torch.Tensor, which: Groups | None = None) -> torch.Tensor:
        """The tanh form of GELU of the product of `x` (rows, in), already normed."""
        if self._matrix is None or (self._sides is not None and which is not None):
            return functional.gelu(self.of_normed(x, None, which), approximate="tanh")
        return self._matrix.gelu(x)

    def of_normed(
        self, x: torch.Tensor, residual: torch.Tensor | None = None, which: Groups | None = None
    ) -> torch.Tensor:
        """The product of `x` (rows, in), already normed by `normed`."""
        if self._matrix is None:
            outputs = project(x, self._modules, self._making.dtype, self._norm)
            out = torch.cat(outputs, 1) if len(outputs) > 1 else outputs[0]
            out = out if self._rows is None else out.index_select(1, self._rows)
            out = out if self._scale == 1.0 else out * self._scale
            return out if residual is None else residual + out
        if self._sides is None or which is None:
            return self._matrix(x, residual)
        return self._sides.add(self._matrix(x, residual), x, which)


def require_shared(module: Any) -> None:
    """Raise `UnknownLayerError` for a norm or a position bias that an adapter trained as a whole, for itself."""
    if isinstance(module, ModulesToSaveWrapper):
        raise UnknownLayerError(f"the adapter has its own {type(module.original_module).__name__}")


def normed(x: torch.Tensor, epsilon: float) -> torch.Tensor:
    """`x` (rows, width) over its root mean square, which is computed in float32 or wider."""
    wide = torch.promote_types(x.dtype, torch.float32)
    inverse: torch.Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide).square_()
    return x * inverse.div_(x.shape[-1]).add_(epsilon).rsqrt_()


def _weight(module: torch.nn.Module, bare: bool, rows: torch.Tensor | None = None) -> torch.Tensor:
    """The matrix (out, in), or its `rows`, that `module` multiplies by, its adapter included unless `bare`."""
    if bare:
        module = cast(torch.nn.Module, _base(module))
        if type(module) is not torch.nn.Linear:
            raise UnknownLayerError(f"{type(module).__name__} cannot have an adapter for each row")
    layer = plain_layer(module)
    taken = slice(None) if rows is None else rows
    if layer is None:
        return _probed(module)[taken]
    weight = layer.weight.detach()[taken]
    if layer.a is None or layer.b is None:
        return weight
    wide = torch.promote_types(weight.dtype, torch.float32)
    b = layer.b.detach()[taken].to(wide)
    return torch.addmm(weight.to(wide), b, layer.a.detach().to(wide), alpha=layer.scale)


def _probed(module: torch.nn.Module) -> torch.Tensor:
    """The matrix of a linear layer of another kind (DoRA, several adapters), by calling it."""
    base: Any = cast(Any, module).get_base_layer() if hasattr(module, "get_base_layer") else module
    base = getattr(base, "original_module", base)
    dtype = base.weight.dtype if base.weight.is_floating_point() else torch.float32  # quantised
    one = torch.eye(int(base.in_features), dtype=dtype, device=base.weight.device)
    if bool(module(torch.zeros_like(one[:1])).any()):
        raise UnknownLayerError(f"{type(module).__name__} has a bias")
    return torch.cat([module(rows).detach() for rows in one.split(_PROBED_ROWS)]).t()


class Embedding:
    """Token ids to vectors: the module itself, or its base plus the adapter of each row."""

    def __init__(self, module: Any, making: Making) -> None:
        """Raises `UnknownLayerError` for an adapter that is more than a plain LoRA."""
        self._module = module
        self._sides: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        if not making.adapters:
            return
        if isinstance(module, LoraEmbedding):
            self._module = module.get_base_layer()
            for number, name in enumerate(making.adapters):
                if name in module.lora_embedding_A:
                    self._sides[number] = _embedding_sides(module, name)
        if type(self._module) is not torch.nn.Embedding:
            raise UnknownLayerError(f"{type(self._module).__name__} cannot have an adapter for each row")

    def take(self, number: int, other: Embedding, name: str) -> None:
        """Keep the adapter `name` of the same embedding, which `other` has, as number `number`."""
        self.drop(number)
        module = other._module
        if isinstance(module, LoraEmbedding) and name in module.lora_embedding_A:
            self._sides = {**self._sides, number: _embedding_sides(module, name)}

    def drop(self, number: int) -> None:
        """Forget the adapter of that number."""
        self._sides = {other: part for other, part in self._sides.items() if other != number}

    def __call__(self, ids: torch.Tensor, which: Groups | None = None) -> torch.Tensor:
        """The vectors of `ids` (rows,), shape (rows, width); `which` says which adapter each row has."""
        x: torch.Tensor = self._module(ids)
        if which is not None:
            for number, (a, b) in self._sides.items():
                rows = (which.which == number).nonzero()[:, 0]
                x = x.index_add(0, rows, a[ids[rows]] @ b)
        return x


def _embedding_sides(module: Any, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A (vocabulary, rank) and B (rank, width), the scale in it, of the adapter `name`."""
    a, b = module.lora_embedding_A[name].detach(), module.lora_embedding_B[name].detach()
    return a.t(), b.t() * float(module.scaling[name])


class Groups:
    """Rows grouped by the number of their adapter."""

    def __init__(self, which: torch.Tensor) -> None:
        """`which` is the number of each row's adapter, shape (rows,); -1 is none."""
        self.which = which
        ordered, self.order = which.sort(stable=True)
        self.contiguous = torch.equal(ordered, which)
        """Whether the rows of each adapter are next to each other, in the order of the adapters."""
        numbers, counts = ordered.unique_consecutive(return_counts=True)
        ends = counts.cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        self._segments = list(zip(numbers.tolist(), starts, ends, strict=True))

    @cached_property
    def in_order(self) -> Groups:
        """The groups of the ordered rows, which are contiguous."""
        return self if self.contiguous else Groups(self.which.index_select(0, self.order))

    @cached_property
    def rank(self) -> torch.Tensor:
        """The number that each row has in `order`."""
        return self.order.argsort()

    def ordered(self, x: torch.Tensor) -> torch.Tensor:
        """The rows of `x` (rows, ...) in the order of their adapters."""
        return x if self.contiguous else x.index_select(0, self.order)

    def restored(self, x: torch.Tensor) -> torch.Tensor:
        """`x` (rows, ...), which is in the order of the adapters, in the order of the rows."""
        return x if self.contiguous else x.index_select(0, self.rank)

    def segments(self) -> list[tuple[int, int, int]]:
        """The adapter, first row and end of each run of the ordered rows; rows without an adapter are omitted."""
        return [(number, start, end) for number, start, end in self._segments if number >= 0]


class _Sides:
    """The low-rank parts of several adapters, for rows that each have their own."""

    def __init__(self, parts: dict[int, tuple[torch.Tensor, torch.Tensor]]) -> None:
        """`parts` are A (in, rank) and B (rank, out), the scale in it, by the number of the adapter."""
        self._parts = parts
        self.nbytes = sum(t.numel() * t.element_size() for part in parts.values() for t in part)

    @classmethod
    def of(
        cls, modules: Sequence[torch.nn.Module], making: Making, columns: torch.Tensor | None, scale: float
    ) -> _Sides | None:
        """The adapters of `modules`, whose input columns are scaled by `columns` and outputs by `scale`."""
        wide = torch.promote_types(making.dtype, torch.float32)
        parts = {}
        for number, name in enumerate(making.adapters):
            a, b = (tensor.to(wide) for tensor in _adapter_sides(modules, name))
            if len(a):
                a = a if columns is None else a * columns
                parts[number] = a.t().to(making.dtype).contiguous(), (b * scale).to(making.dtype)
        return cls(parts) if parts else None

    def numbered(self, number: int, others: _Sides | None) -> _Sides:
        """These parts, of one adapter, as number `number`, with those of `others`."""
        (part,) = self._parts.values()
        return _Sides({**(others._parts if others else {}), number: part})

    def without(self, number: int) -> _Sides | None:
        """The parts of the other adapters; None where there are none."""
        parts = {other: part for other, part in self._parts.items() if other != number}
        return _Sides(parts) if parts else None

    def narrowed(self, rows: torch.Tensor) -> _Sides:
        """The parts with the outputs `rows` alone."""
        return _Sides({number: (a, b[:, rows].contiguous()) for number, (a, b) in self._parts.items()})

    def add(self, out: torch.Tensor, x: torch.Tensor, groups: Groups) -> torch.Tensor:
        """`out` (rows, out) plus the product of `x` (rows, in) and each row's adapter; may change `out`."""
        mine = [(self._parts[number], start, end) for number, start, end in groups.segments() if number in self._parts]
        if groups.contiguous and out.dtype == x.dtype:
            for (a, b), start, end in mine:
                out[start:end].addmm_(x[start:end] @ a, b)
            return out
        ordered = x.index_select(0, groups.order)
        made = x.new_zeros(out.shape)
        for (a, b), start, end in mine:
            torch.mm(ordered[start:end] @ a, b, out=made[start:end])
        return out.index_add_(0, groups.order, made.to(out.dtype))


def _adapter_sides(modules: Sequence[torch.nn.Module], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A (ranks, in) and B (ranks, out) of the adapter `name` over all `modules` side by side."""
    a_all, b_all = [], []
    width = 0
    sizes = [int(_base(module).out_features) for module in modules]
    for place, module in enumerate(modules):
        width = int(_base(module).in_features)
        if not isinstance(module, LoraLinear) or name not in module.lora_A:
            continue
        if name in module.lora_variant or module.lora_bias[name]:
            raise UnknownLayerError(f"the adapter {name} is more than a plain LoRA")
        a, b = (cast(torch.nn.Linear, side[name]).weight.detach() for side in (module.lora_A, module.lora_B))
        around = (sum(sizes[:place]), sum(sizes[place + 1 :]))
        a_all.append(a)
        b_all.append(pad(b.t() * float(module.scaling[name]), around))
    like = _base(modules[0]).weight
    if not a_all:
        return like.new_zeros(0, width), like.new_zeros(0, sum(sizes))
    return torch.cat(a_all), torch.cat(b_all)


def _base(module: torch.nn.Module) -> Any:
    return module.get_base_layer() if isinstance(module, LoraLinear) else module
