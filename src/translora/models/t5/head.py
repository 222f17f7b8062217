"""The head of a decoder: the logits of every token, or of those of a shortlist alone."""

from __future__ import annotations

import numpy as np
import torch

from translora.models.shortlist import Shortlist
from translora.models.t5.cache import NO_TOKEN
from translora.models.t5.products import Groups, Product


class Head:
    """From states to logits. Column i belongs to token i, and with a shortlist to its i-th token."""

    def __init__(self, product: Product, rows: int, device: torch.device, shortlist: Shortlist | None = None) -> None:
        """`product` is the whole head, of `rows` tokens."""
        self._whole, self._rows, self._device = product, rows, device
        self.product = product
        self.width = rows
        """The number of columns."""
        self._tokens: torch.Tensor | None = None
        """The token of each column, shape (width,)."""
        if shortlist is not None:
            self._tokens = torch.from_numpy(shortlist.ids).to(device)
            self.width = len(shortlist)
            self._numbers = np.full(rows + 1, NO_TOKEN)  # the last one is that of `NO_TOKEN`
            self._numbers[shortlist.ids] = np.arange(self.width)
            self._columns = torch.from_numpy(self._numbers).to(device)
            self.product = product.narrowed(self._tokens)

    def narrowed(self, shortlist: Shortlist) -> Head:
        """The head for the tokens of `shortlist` alone, with the adapters that there are now."""
        return Head(self._whole, self._rows, self._device, shortlist)

    def __call__(self, states: torch.Tensor, which: Groups | None = None) -> torch.Tensor:
        """The logits of `states` (rows, model width), shape (rows, width); `which` says which adapter each row has."""
        return self.product(states, which=which)

    def column(self, token: int) -> int:
        """The column of a token of the shortlist."""
        return token if self._tokens is None else int(self._numbers[token])

    def columns(self, tokens: torch.Tensor) -> torch.Tensor:
        """The columns of `tokens`, all of the shortlist; `NO_TOKEN` stays."""
        return tokens if self._tokens is None else self._columns[tokens]

    def tokens(self, columns: torch.Tensor) -> torch.Tensor:
        """The tokens of `columns`."""
        return columns if self._tokens is None else self._tokens[columns]
