"""T5's decoder, a token at a time for many lines at once, whatever their ages.

It reads the weights of transformers' and PEFT's modules once (`products.py`) and does their arithmetic with as few
and as large products as there can be: q, k and v in one, the source's keys and values of all layers in one, norms
folded into the matrices. The result is that of the modules up to rounding. Knows nothing of search.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from translora.data.batching import Ints
from translora.models.quantise import numbers
from translora.models.shortlist import Shortlist
from translora.models.t5.attention import attention
from translora.models.t5.cache import Cache, Shape
from translora.models.t5.forward import StackBias, scales_output
from translora.models.t5.head import Head
from translora.models.t5.layout import Layout, pad_tokens
from translora.models.t5.products import Embedding, Groups, Making, Product, UnknownLayerError, require_shared

__all__ = ["Decoder", "Encoded", "UnknownLayerError", "cache_shape", "copied_bytes"]


class Encoded(NamedTuple):
    """The source's keys and values of some lines."""

    sources: list[tuple[torch.Tensor, torch.Tensor]]
    """Keys and values of each layer, shape (lines, heads, longest, size)."""
    lengths: Ints
    """The source tokens of each line, shape (lines,)."""


class Decoder:
    """A T5 model laid out for translating. Later changes of the model's weights do not reach its copies."""

    def __init__(
        self, model: torch.nn.Module, dtype: torch.dtype, own: bool = True, adapters: Sequence[str] = ()
    ) -> None:
        """Products are computed in `dtype`.

        With `own` the weights are copied, the active adapter merged; without, the modules are called as they are. Where
        `adapters` are named, they stay apart from the copies, and each line has one of them.

        Raises `UnknownLayerError` where a layer is more than a matrix product.
        """
        base: Any = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
        making = Making(dtype, own or bool(adapters), tuple(adapters))
        mode = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.no_grad():
                self._read(base, making)
        finally:
            for module, training in mode:
                module.training = training
        self.shape = cache_shape(base, dtype)
        self.adapters: tuple[str, ...] = tuple(adapters)
        """The adapters by number; an empty name is a free number."""
        self._own = making.own
        self._narrowed: dict[Shortlist, Head] = {}
        """The heads for shortlists that were asked for since an adapter came or went."""

    def take(self, model: torch.nn.Module, adapter: str, name: str) -> int:
        """Add `adapter` of `model`, a PEFT model on this decoder's base, as `name`; returns its number.

        Only to be called between two steps of a search. Raises `UnknownLayerError` for an adapter that is more than a
        plain LoRA.
        """
        if not self._own:
            raise UnknownLayerError("the weights are read in place, which leaves no room for an adapter beside them")
        number = self.adapters.index("") if "" in self.adapters else len(self.adapters)
        other = Decoder(model, self.shape.dtype, own=False)
        try:
            for mine, theirs in zip(self._embeddings(), other._embeddings(), strict=True):
                mine.take(number, theirs, adapter)
            for layer in (*other._encoder, *other._layers):
                require_shared(layer.position_bias)
            for own, their in zip(self._products(), other._products(), strict=True):
                own.take(number, their, adapter)
        except UnknownLayerError:
            self._drop(number)
            raise
        self._narrowed = {}
        self.adapters = (*self.adapters[:number], name, *self.adapters[number + 1 :])
        return number

    def drop(self, number: int) -> None:
        """Forget the adapter of that number, which no line under way has; only to be called between two steps."""
        self._drop(number)
        names = [*self.adapters[:number], "", *self.adapters[number + 1 :]]
        while names and not names[-1]:
            names.pop()
        self.adapters = tuple(names)

    def _drop(self, number: int) -> None:
        self._narrowed = {}
        for embedding in self._embeddings():
            embedding.drop(number)
        for product in self._products():
            product.drop(number)

    def _embeddings(self) -> list[Embedding]:
        return [self._source_embedding, self._embedding]

    def _products(self) -> list[Product]:
        layers = [product for layer in (*self._encoder, *self._layers) for product in layer.products]
        return [*layers, self._source, self._head.product]

    def _read(self, base: Any, making: Making) -> None:
        self._source_embedding = Embedding(base.encoder.embed_tokens, making)
        self._embedding = Embedding(base.decoder.embed_tokens, making)
        self._encoder = [_Layer(block, making) for block in base.encoder.block]
        self._layers = [_Layer(block, making) for block in base.decoder.block]
        across = [block.layer[1].EncDecAttention for block in base.decoder.block]
        pairs = [module for attend in across for module in (attend.k, attend.v)]
        self._source = Product(pairs, making, base.encoder.final_layer_norm)
        scale = base.config.d_model**-0.5 if scales_output(base.config) else 1.0
        product = Product([base.lm_head], making, base.decoder.final_layer_norm, scale)
        device = base.get_input_embeddings().weight.device
        self._head = Head(product, int(base.lm_head.out_features), device)

    @property
    def nbytes(self) -> int:
        """The bytes of the copies of weights."""
        return sum(product.nbytes for product in [*self._products(), *(one.product for one in self._narrowed.values())])

    @torch.no_grad()
    def head(self, shortlist: Shortlist | None = None) -> Head:
        """The head for the tokens of `shortlist` alone, which is kept; without one for every token."""
        if shortlist is None:
            return self._head
        found = self._narrowed.get(shortlist)
        if found is None:  # threads share a decoder: two may make the same
            found = self._head.narrowed(shortlist)
            self._narrowed = {**self._narrowed, shortlist: found}
        return found

    @torch.no_grad()
    def encode(self, rows: Sequence[Sequence[int]], which: torch.Tensor | None = None) -> Encoded:
        """The keys and values of the source token ids `rows`; `which` numbers the adapter of each, shape (rows,)."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        device = self.shape.device
        layout = Layout(lengths, int(lengths.max()), device)
        ids = torch.from_numpy(np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])).to(device)
        per_token = None
        if which is not None:
            per_token = Groups(which.repeat_interleave(torch.from_numpy(lengths).to(device)))
        x = self._source_embedding(ids, per_token)
        bias = StackBias(layout, causal=False)
        for layer in self._encoder:
            q, k, v = layer.qkv(x, which=per_token).chunk(3, 1)
            mixed = attention(q, k, v, bias.of(layer.attend, self.shape.dtype), layout, layout, self.shape.heads)
            x = layer.out(mixed, x, per_token)
            x = layer.feed_forward(x, per_token)
        made = self._source(x, which=per_token).chunk(2 * self.shape.layers, 1)
        shape = (layout.pairs, self.shape.heads, layout.longest)
        padded = [pad_tokens(part, layout.rows(self.shape.heads), shape) for part in made]
        return Encoded(list(zip(padded[::2], padded[1::2], strict=True)), lengths)

    @torch.no_grad()
    def step(self, cache: Cache) -> torch.Tensor:
        """Compute the column of the last tokens; returns the states for the head, shape (lines * beams, width)."""
        rows = cache.lines * cache.beams
        groups = cache.row_groups() if self.adapters else None
        x: torch.Tensor = self._embedding(cache.tokens[:, :, cache.column].reshape(rows).clamp(min=0), groups)
        ordered, restored = (groups.ordered, groups.restored) if groups else (_same, _same)
        x, which = ordered(x), groups.in_order if groups else None
        spans, biases = cache.spans(), None
        source_mask = cache.source_mask.expand(-1, self.shape.heads, -1, -1)
        for number, layer in enumerate(self._layers):
            if biases is None or layer.attend.has_relative_attention_bias:
                biases = [self._own_bias(layer, cache, *span) for span in spans]
            q, k, v = (self._by_head(part, cache) for part in restored(layer.qkv(x, which=which)).chunk(3, 1))
            keys, values = cache.keys[number], cache.values[number]
            keys[:, :, cache.column], values[:, :, cache.column] = k, v
            x = layer.out(ordered(_merged(_attend_spans(q, keys, values, spans, biases))), x, which)
            q = self._by_head(restored(layer.source_q(x, which=which)), cache)
            mixed = _attend(q, cache.source_keys[number], cache.source_values[number], source_mask)
            x = layer.source_out(ordered(_merged(mixed)), x, which)
            x = layer.feed_forward(x, which)
        return restored(x)

    def _by_head(self, x: torch.Tensor, cache: Cache) -> torch.Tensor:
        """(rows, heads * size) to (lines, heads, beams, size)."""
        return x.view(cache.lines, cache.beams, self.shape.heads, self.shape.size).transpose(1, 2)

    def _own_bias(self, layer: _Layer, cache: Cache, window: slice, places: torch.Tensor | None) -> torch.Tensor:
        """What is added to the scores of the columns `window`, shape (places, heads, beams, columns * beams)."""
        mask = cache.mask[:, :, window] if places is None else cache.mask[places, :, window]
        ages = layer.age_bias(mask.shape[2]).to(mask.dtype)
        return (mask[:, None] + ages[None, :, None, :, None]).flatten(3)


def _same(x: torch.Tensor) -> torch.Tensor:
    return x


def _attend_spans(
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    spans: list[tuple[slice, torch.Tensor | None]],
    biases: list[torch.Tensor],
) -> torch.Tensor:
    """Attention of `q` (lines, heads, beams, size) to the columns of `spans`; the places of a later one count."""
    mixed = q
    for (window, places), bias in zip(spans, biases, strict=True):
        if places is None:
            mixed = _attend(q, keys[:, :, window].flatten(2, 3), values[:, :, window].flatten(2, 3), bias)
        else:
            seen, told = (tensor[:, :, window].index_select(0, places).flatten(2, 3) for tensor in (keys, values))
            mixed[places] = _attend(q[places], seen, told, bias)
    return mixed


def _attend(q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Attention of `q` (lines, heads, beams, size) to `keys` and `values` (lines, heads, seen, size), shape as `q`.

    `bias` is added to the scores, shape (lines, heads, beams or 1, seen).
    """
    shares = torch.baddbmm(bias.flatten(0, 1), q.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2)).softmax(-1)
    return torch.bmm(shares, values.flatten(0, 1)).view(q.shape)


def _merged(mixed: torch.Tensor) -> torch.Tensor:
    """(lines, heads, beams, size) to (lines * beams, heads * size)."""
    return mixed.transpose(1, 2).flatten(2).flatten(0, 1)


def cache_shape(model: torch.nn.Module, dtype: torch.dtype) -> Shape:
    """The sizes of `model` that its cache depends on."""
    base: Any = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
    attend = base.decoder.block[0].layer[0].SelfAttention
    device = base.get_input_embeddings().weight.device
    return Shape(len(base.decoder.block), attend.n_heads, attend.key_value_proj_dim, dtype, device)


def copied_bytes(model: torch.nn.Module, dtype: torch.dtype) -> int:
    """The bytes of the weights that a decoder of `model` copies: all matrices but the embeddings."""
    base: Any = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
    blocks = (*base.encoder.block, *base.decoder.block)
    left_out = re.compile(r"lora_|relative_attention_bias")
    named = (pair for block in blocks for pair in block.named_parameters())
    weights = [p for name, p in named if p.dim() == 2 and not left_out.search(name)]
    head: torch.Tensor = base.get_output_embeddings().weight
    return (sum(map(numbers, weights)) + head.numel()) * dtype.itemsize


class _Layer:
    """A block of the encoder or the decoder."""

    def __init__(self, block: Any, making: Making) -> None:
        layer = block.layer[0]
        self.attend = layer.SelfAttention
        self.position_bias = getattr(self.attend, "relative_attention_bias", None)
        if making.adapters:
            require_shared(self.position_bias)
        self.qkv = Product((self.attend.q, self.attend.k, self.attend.v), making, layer.layer_norm)
        self.out = Product((self.attend.o,), making)
        self.products = [self.qkv, self.out]
        """All its products, always in the same order."""
        if len(block.layer) > 2:
            layer = block.layer[1]
            across = layer.EncDecAttention
            self.source_q = Product((across.q,), making, layer.layer_norm)
            self.source_out = Product((across.o,), making)
            self.products += [self.source_q, self.source_out]
        layer = block.layer[-1]
        dense = layer.DenseReluDense
        self._gated = hasattr(dense, "wi_0")
        self._act = dense.act
        inner = (dense.wi_0, dense.wi_1) if self._gated else (dense.wi,)
        self._inner = [Product((module,), making, layer.layer_norm) for module in inner]
        self._outer = Product((dense.wo,), making)
        self.products += [*self._inner, self._outer]
        self._ages: torch.Tensor | None = None

    @property
    def nbytes(self) -> int:
        """The bytes of the copies of weights."""
        return sum(product.nbytes for product in self.products)

    def feed_forward(self, x: torch.Tensor, which: Groups | None) -> torch.Tensor:
        """`x` (rows, width) plus its feed-forward."""
        first, *second = self._inner
        y = first.normed(x)
        if type(self._act).__name__ == "NewGELUActivation":
            made = first.gelu(y, which)
        else:
            made = self._act(first.of_normed(y, None, which))
        for gated in second:
            made = made * gated.of_normed(y, None, which)
        return self._outer(made, x, which)

    def age_bias(self, columns: int) -> torch.Tensor:
        """The position bias of the last `columns` columns, the current one last; shape (heads, columns)."""
        ages = self._ages
        if ages is None or ages.shape[1] < columns:
            most = 2 ** math.ceil(math.log2(max(columns, 64)))
            ages = self.attend.compute_bias(1, most, past_seen_tokens=most - 1)[0, :, 0].detach()
            self._ages = ages  # threads share a decoder: each goes on with its own
        return ages[:, ages.shape[1] - columns :]
