"""The positions of the real tokens in padded rows, and conversion between packed and padded tensors."""

from __future__ import annotations

import numpy as np
import torch

from translora.data.batching import Ints


class Layout:
    """The positions of the real tokens in padded rows: token i is at position `index[i]` of (pairs * longest)."""

    def __init__(self, lengths: Ints, longest: int, device: torch.device) -> None:
        """`lengths` counts each row's real tokens, which come first, shape (pairs,)."""
        self.pairs, self.longest = len(lengths), longest
        real = np.arange(longest) < lengths[:, None]
        self.index = torch.from_numpy(np.flatnonzero(real)).to(device)
        self.padding = None if real.all() else torch.from_numpy(~real[:, None, None, :]).to(device)
        """True at padding, shape (pairs, 1, 1, longest); `None` where there is none."""

        self._rows: dict[int, torch.Tensor] = {}

    def rows(self, heads: int) -> torch.Tensor:
        """The row of each token and head in a tensor of (pairs * heads * longest) rows; shape (tokens * heads,)."""
        if heads not in self._rows:
            pair, position = self.index // self.longest, self.index % self.longest
            head = torch.arange(heads, device=pair.device)
            self._rows[heads] = ((pair[:, None] * heads + head) * self.longest + position[:, None]).flatten()
        return self._rows[heads]

    def padding_bias(self, dtype: torch.dtype) -> torch.Tensor | None:
        """Minus infinity at padding, to be added to attention scores; shape (pairs, 1, 1, longest)."""
        if self.padding is None:
            return None
        return torch.zeros(self.padding.shape, dtype=dtype, device=self.padding.device).masked_fill(
            self.padding, -torch.inf
        )


Shape = tuple[int, int, int]


def pad_tokens(packed: torch.Tensor, rows: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Convert (tokens, heads * size) to (pairs, heads, longest, size), zero at padding.

    `shape` is (pairs, heads, longest), and `rows` comes from `Layout.rows(heads)`.
    """
    size = packed.shape[1] * packed.shape[0] // len(rows)
    padded = packed.new_zeros(shape[0] * shape[1] * shape[2], size)
    return padded.index_copy_(0, rows, packed.reshape(-1, size)).view(*shape, size)


def unpad_tokens(padded: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Convert (pairs, heads, longest, size) to (tokens, heads * size); `rows` comes from `Layout.rows(heads)`."""
    heads, size = padded.shape[1], padded.shape[3]
    return padded.reshape(-1, size).index_select(0, rows).view(-1, heads * size)
