"""The state of the lines being translated: keys, values, tokens, and the columns that each beam sees.

All lines write to the same column in a step, even if they began at different steps: T5's positions are relative, so
only the age of a column matters. A line does not see the columns before its start. A beam sees only the columns of its
ancestors, so reordering beams moves no keys or values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from translora.data.batching import Ints
from translora.models.t5.products import Groups

_BLOCK = 32
"""The least number of columns that the cache grows by."""
_FREE = 2**40
"""Stands in `Cache.starts` for a free place."""
_GATHER = 3
"""The cost of attending to a column that must be gathered first, as a multiple of one that need not be."""
NO_TOKEN = -1
"""Stands in `Cache.tokens` before a line's start."""


class Shape(NamedTuple):
    """The sizes of a decoder that its cache depends on."""

    layers: int
    heads: int
    size: int
    """Numbers per head."""
    dtype: torch.dtype
    device: torch.device

    def line_bytes(self, beams: int, source: int, target: int) -> int:
        """The bytes that the cache keeps for a line of `source` source tokens and `target` target tokens."""
        return 2 * self.layers * self.heads * self.size * self.dtype.itemsize * (source + beams * target)


class Cache:
    """The state of `lines` places, each for a line of `beams` beams; results of free places are computed but unused."""

    def __init__(self, shape: Shape, lines: int, beams: int, longest: int) -> None:
        """`longest` is the largest number of source tokens of a line."""
        self.shape, self.lines, self.beams = shape, lines, beams
        self.column = 0
        """The column of the last tokens; the next step reads them and writes their keys and values."""
        self._room = _BLOCK
        _, heads, size, dtype, device = shape
        own, across = (lines, heads, _BLOCK, beams, size), (lines, heads, longest, size)
        layers = range(shape.layers)
        self.keys, self.values = ([_zeros(own, shape) for _ in layers] for _ in range(2))
        self.source_keys, self.source_values = ([_zeros(across, shape) for _ in layers] for _ in range(2))
        self.source_mask = _zeros((lines, 1, 1, longest), shape)
        """0 at a line's source tokens, minus infinity at padding."""
        self.mask = _zeros((lines, beams, _BLOCK, beams), shape)
        """0 where a beam (second dimension) sees the beam (last) of a column; else minus infinity."""
        self.tokens = torch.full((lines, beams, _BLOCK), NO_TOKEN, device=device)
        """The tokens of each beam by column, from its start token on."""
        self.starts: Ints = np.full(lines, _FREE)
        """The column of each line's start token; `_FREE` where the place is free."""
        self.which = torch.full((lines,), -1, device=device)
        """The number of each line's adapter; -1 is none."""
        self._groups: Groups | None = None
        self._apart = torch.full((beams, beams), -torch.inf, dtype=dtype, device=device).fill_diagonal_(0)

    @property
    def longest(self) -> int:
        """The number of source tokens that a place has room for."""
        return self.source_mask.shape[-1]

    @property
    def first(self) -> int:
        """The first column that a line sees."""
        return int(min(self.starts.min(initial=_FREE), self.column))

    @property
    def window(self) -> slice:
        """The columns in use."""
        return slice(self.first, self.column + 1)

    def spans(self) -> list[tuple[slice, torch.Tensor | None]]:
        """The columns that all lines attend to, then those of a few much older lines, with the places of these.

        A long line thus does not make all others attend to columns before their start.
        """
        ages = np.sort(self.column + 1 - self.starts)[::-1]
        old = np.arange(len(ages) // 4 + 1)
        recent = np.maximum(ages[old], 1)
        split = int(np.argmin(self.lines * recent + _GATHER * old * ages[0]))
        everyone = slice(self.column + 1 - int(recent[split]), self.column + 1)
        if not split:
            return [(everyone, None)]
        places = np.flatnonzero(self.starts < everyone.start)
        return [(everyone, None), (self.window, torch.from_numpy(places).to(self.shape.device))]

    def free(self, place: int) -> None:
        """Mark `place` as free."""
        self.starts[place] = _FREE

    def row_groups(self) -> Groups:
        """Which adapter each row has."""
        if self._groups is None:
            self._groups = Groups(self.which.repeat_interleave(self.beams))
        return self._groups

    def put(
        self,
        places: Ints,
        sources: Sequence[tuple[torch.Tensor, torch.Tensor]],
        lengths: Ints,
        start: int,
        which: torch.Tensor | None = None,
    ) -> None:
        """Begin lines in `places` at the current column with the token `start`.

        `sources` are the keys and values of each layer, shape (new, heads, longest, size); `lengths` counts the source
        tokens, and `which` numbers the adapter of each line, shape (new,).
        """
        index = torch.from_numpy(places).to(self.shape.device)
        longest = int(lengths.max())
        for layer, (keys, values) in enumerate(sources):
            self.source_keys[layer][index, :, :longest] = keys
            self.source_values[layer][index, :, :longest] = values
        padding = torch.from_numpy(np.arange(self.longest) >= lengths[:, None])
        mask = torch.zeros(padding.shape, dtype=self.shape.dtype).masked_fill_(padding, -torch.inf)
        self.source_mask[index] = mask.to(self.shape.device)[:, None, None, :]
        self.mask[index] = -torch.inf
        self.mask[index, :, self.column] = self._apart
        self.tokens[index] = NO_TOKEN
        self.tokens[index, :, self.column] = start
        self.starts[places] = self.column
        if which is not None:
            self.which[index], self._groups = which, None

    def advance(self, tokens: torch.Tensor, parents: torch.Tensor | None = None) -> None:
        """Append `tokens` (lines, beams); beam i of a line continues its beam `parents[line, i]`."""
        if self.column + 1 == self._room:
            self._make_room()
        if parents is not None:
            mask, told = self.mask[:, :, self.window], self.tokens[:, :, self.window]
            index = parents[:, :, None]
            self.tokens[:, :, self.window] = told.gather(1, index.expand_as(told))
            self.mask[:, :, self.window] = mask.gather(1, index[..., None].expand_as(mask))
        self.column += 1
        self.mask[:, :, self.column] = self._apart
        self.tokens[:, :, self.column] = tokens

    def keep(self, places: Ints, lines: int, longest: int) -> None:
        """Move the lines in `places` to the front of `lines` places with room for `longest` source tokens each.

        The other places are free. Columns that none of the lines sees are dropped.
        """
        order = torch.from_numpy(np.concatenate([places, np.zeros(lines - len(places), dtype=np.int64)]))
        order = order.to(self.shape.device)
        for tensors in (self.source_keys, self.source_values):
            for layer, tensor in enumerate(tensors):
                tensors[layer] = _resized(tensor, 2, order, longest)
        self.source_mask = _resized(self.source_mask, 3, order, longest, -torch.inf)
        self.which, self._groups = self.which[order], None
        self.starts, self.lines = np.concatenate([self.starts[places], np.full(lines - len(places), _FREE)]), lines
        self._move(order, self.column + 1 - self.first + _BLOCK)

    def _make_room(self) -> None:
        """Move the columns in use to the front, and enlarge the cache where they fill more than half of it."""
        used = self.column + 1 - self.first
        self._move(None, self._room if 2 * used <= self._room else used + max(_BLOCK, used // 2))

    def _move(self, order: torch.Tensor | None, room: int) -> None:
        """Take the lines `order` (all where it is None) and move the columns in use to the front of `room`."""
        for tensors in (self.keys, self.values):
            for layer, tensor in enumerate(tensors):
                tensors[layer] = self._moved(tensor, order, room)
        self.mask, self.tokens = self._moved(self.mask, order, room), self._moved(self.tokens, order, room)
        first = self.first
        self.starts[self.starts < _FREE] -= first
        self.column, self._room = self.column - first, room

    def _moved(self, tensor: torch.Tensor, order: torch.Tensor | None, room: int) -> torch.Tensor:
        used = tensor[:, :, self.window]
        used = used if order is None else used[order]
        moved = tensor.new_empty((*used.shape[:2], room, *used.shape[3:]))
        moved[:, :, : used.shape[2]] = used
        return moved


def _resized(tensor: torch.Tensor, dim: int, order: torch.Tensor, size: int, fill: float = 0.0) -> torch.Tensor:
    """The lines `order` of `tensor` with `size` numbers along `dim`, `fill` where there were fewer."""
    used = tensor.narrow(dim, 0, min(size, tensor.shape[dim])).index_select(0, order)
    more = size - used.shape[dim]
    if not more:
        return used
    shape = list(used.shape)
    shape[dim] = more
    return torch.cat([used, used.new_full(shape, fill)], dim)


def _zeros(size: tuple[int, ...], shape: Shape) -> torch.Tensor:
    return torch.zeros(size, dtype=shape.dtype, device=shape.device)
