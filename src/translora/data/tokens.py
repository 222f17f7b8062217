"""Tokenise a corpus once and keep it as Arrow, by content hash; hand out padded batches.

Knows tokenizers and tensors; knows no file format of corpora.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import torch

from translora.data.batching import Ints
from translora.data.pairs import Corpus
from translora.data.store import take_rows
from translora.io.files import atomic_file, cache_folder, sha256
from translora.languages import language_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SCHEMA = pa.schema({"source": pa.large_list(pa.int32()), "target": pa.large_list(pa.int32())})

IGNORED = -100
"""The label of padding, which cross-entropy leaves out."""

_CHUNK = 2_000
_ROWS = 50_000
"""Pairs that are tokenised before they are written."""
_CUT = ("truncated_sources", "truncated_targets")
_SENTINEL = re.compile(r"▁?(<extra_id_\d+>)")
"""A sentinel; mT5 has them as pieces, with the mark of a space before them."""
_RESERVED = re.compile(r"▁?<extra_id_\d+>|</?s>|<(pad|unk|mask|bos|eos|cls|sep)>")
"""Sentinels (mT5 writes a mark before its own) and the usual names of control tokens."""
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}_[A-Za-z]{2,4}")
"""A code of NLLB or mBART, such as deu_Latn or de_DE."""
_LEADING_CODE = re.compile(r"^>>(?=.*<<)", re.DOTALL)
"""The beginning of a text that Marian's tokenizer takes for a language code, whatever it holds."""
_controls: WeakKeyDictionary[Any, tuple[Any, list[str]]] = WeakKeyDictionary()
"""The control tokens of each tokenizer in use, found once: a vocabulary is large."""
_ENCODING = "7"  # part of the cache's key: goes up when the rules of `encode` or the form of the file change


@dataclass(frozen=True)
class Batch:
    """Padded token ids of some pairs."""

    input_ids: torch.Tensor
    """Source ids, shape (pairs, source length)."""
    labels: torch.Tensor
    """Target ids, `IGNORED` at padding; shape (pairs, target length)."""
    source_lengths: Ints
    """Real tokens of each source, shape (pairs,); kept off the device, so that nobody waits for it to ask."""
    target_lengths: Ints
    """Real tokens of each target, shape (pairs,)."""
    encoded: torch.Tensor | None = None
    """The encoder's states of the real source tokens, shape (tokens, width), where they were computed before."""

    @property
    def attention_mask(self) -> torch.Tensor:
        """1 at real source tokens, 0 at padding; shape (pairs, source length)."""
        mask = np.arange(self.input_ids.shape[1]) < self.source_lengths[:, None]
        return torch.from_numpy(mask.astype(np.int64)).to(self.input_ids.device)

    @property
    def target_tokens(self) -> int:
        """Target tokens that count in the loss."""
        return int(self.target_lengths.sum())

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        encoded = None if self.encoded is None else self.encoded.to(device)
        return replace(self, input_ids=self.input_ids.to(device), labels=self.labels.to(device), encoded=encoded)


class TokenisedCorpus:
    """Token ids of a corpus, memory-mapped: row i of `source` and `target` belongs to pair i."""

    def __init__(self, table: pa.Table, pad_id: int) -> None:
        self.table = table
        metadata = table.schema.metadata or {}
        self.truncated_sources, self.truncated_targets = (int(metadata.get(name.encode(), 0)) for name in _CUT)
        self._pad_id = pad_id
        self._source = _Rows(table.column("source"))
        self._target = _Rows(table.column("target"))
        self.source_lengths: Ints = self._source.lengths
        self.target_lengths: Ints = self._target.lengths

    def __len__(self) -> int:
        return len(self.source_lengths)

    def __add__(self, other: TokenisedCorpus) -> TokenisedCorpus:
        """The rows of both, these first."""
        return TokenisedCorpus(_concatenated(self.table, other.table), self._pad_id)

    def take(self, indices: Ints) -> TokenisedCorpus:
        """The pairs at `indices`, in that order."""
        return TokenisedCorpus(take_rows(self.table, indices), self._pad_id)

    def all_indices(self) -> Ints:
        """Every index, in order."""
        return np.arange(len(self), dtype=np.int64)

    def source_ids(self, index: int) -> list[int]:
        """The source token ids of one pair, prompt and end token included."""
        return [int(i) for i in self._source[index]]

    def target_ids(self, index: int) -> list[int]:
        """The target token ids of one pair, end token included."""
        return [int(i) for i in self._target[index]]

    def distinct_targets(self) -> Ints:
        """The token ids that occur in the targets, ascending."""
        return self._target.distinct()

    def batch(self, indices: Ints) -> Batch:
        """The pairs at `indices`, padded to the longest of them."""
        source, target = self._source.padded(indices, self._pad_id), self._target.padded(indices, IGNORED)
        return Batch(source, target, self.source_lengths[indices], self.target_lengths[indices])


def _concatenated(first: pa.Table, second: pa.Table) -> pa.Table:
    """The rows of two tables, with the sums of their counts."""
    counts = {
        key: str(int(value) + int((second.schema.metadata or {}).get(key, 0)))
        for key, value in (first.schema.metadata or {}).items()
    }
    table = pa.concat_tables([first.replace_schema_metadata(None), second.replace_schema_metadata(None)])
    return table.replace_schema_metadata(counts)


class _Rows:
    """A ragged column: of each of its chunks the flat values and the offsets, where they lie."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        self._values = [chunk.values.to_numpy(zero_copy_only=False) for chunk in chunks]
        self._offsets = [chunk.offsets.to_numpy() for chunk in chunks]
        self._starts = [0, *accumulate(map(len, chunks))]
        self.lengths: Ints = np.zeros(self._starts[-1], dtype=np.int64)
        for start, offsets in zip(self._starts, self._offsets, strict=False):
            np.subtract(offsets[1:], offsets[:-1], out=self.lengths[start : start + len(offsets) - 1])

    def __getitem__(self, index: int) -> Ints:
        chunk = bisect(self._starts, index) - 1
        place = index - self._starts[chunk]
        start, end = self._offsets[chunk][place : place + 2]
        row: Ints = self._values[chunk][start:end]
        return row

    def distinct(self) -> Ints:
        """The values that occur, ascending."""
        seen = np.zeros(1, dtype=bool)
        for values in self._values:
            if len(values):
                seen = np.pad(seen, (0, max(0, int(values.max()) + 1 - len(seen))))
                seen[values] = True
        return np.flatnonzero(seen).astype(np.int64)

    def padded(self, indices: Ints, fill: int) -> torch.Tensor:
        rows = np.full((len(indices), int(self.lengths[indices].max())), fill, dtype=np.int64)
        for row, index in zip(rows, indices, strict=True):
            ids = self[index]
            row[: len(ids)] = ids
        return torch.from_numpy(rows)


def tokenise(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, prompt: str, max_tokens: int) -> TokenisedCorpus:
    """Tokenise `corpus`, with `prompt` before each source; both sides end with the end token, within `max_tokens`.

    The result is cached under the hash of the texts, the tokenizer, the prompt and the limit.
    """
    languages = [str(getattr(tokenizer, side, "")) for side in ("src_lang", "tgt_lang")]
    key = sha256(_ENCODING, corpus.content_hash(), tokenizer_hash(tokenizer), *languages, prompt, str(max_tokens))
    path = cache_folder() / "tokens" / f"{key}.arrow"
    if not path.exists():
        with (
            atomic_file(path) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, _SCHEMA) as writer,
        ):
            for batch, cut in _tokenised_batches(corpus, tokenizer, prompt, max_tokens):
                writer.write_batch(batch, custom_metadata=dict(zip(_CUT, map(str, cut), strict=True)))
    return TokenisedCorpus(_mapped(path), int(tokenizer.pad_token_id))


def _mapped(path: Path) -> pa.Table:
    """The table of a file, memory-mapped, with the counts of all its batches."""
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        read = [reader.get_batch_with_custom_metadata(number) for number in range(reader.num_record_batches)]
    counts = {name: str(sum(int(one.custom_metadata[name]) for one in read)) for name in _CUT}
    return pa.Table.from_batches([one.batch for one in read], schema=_SCHEMA.with_metadata(counts))


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all that decides how `tokenizer` cuts a text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    models = [getattr(tokenizer, name, None) for name in ("sp_model", "spm_source", "spm_target")]
    pieces = [hashlib.sha256(model.serialized_model_proto()).hexdigest() for model in models if model is not None]
    return sha256(type(tokenizer).__name__, rules, *pieces, repr(getattr(tokenizer, "target_encoder", "")))


def _tokenised_batches(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, prompt: str, max_tokens: int
) -> Iterator[tuple[pa.RecordBatch, list[int]]]:
    """The rows of the file, some at a time, each time with how many sources and targets of them were cut."""
    sides = encode(corpus.texts("source"), tokenizer, prompt), encode(corpus.texts("target"), tokenizer, target=True)
    for _ in range(0, len(corpus), _ROWS):
        cut = [_cut(islice(side, _ROWS), tokenizer, max_tokens) for side in sides]
        yield pa.record_batch([rows for rows, _ in cut], schema=_SCHEMA), [count for _, count in cut]


def encode(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, prompt: str = "", target: bool = False
) -> Iterator[list[int]]:
    """The token ids of each of `texts` with `prompt` before it and the end token after it, however long.

    Tokenizers with language codes add those of the source, or of the `target`.

    A text that spells a control token (`</s>` is also a tag of HTML) is read as text: a space is put inside it, or
    before it. A token that the model's owner added, such as `[NAME]`, is that token.
    """
    spelled = re.compile("|".join(re.escape(token.lstrip("▁")) for token in control_tokens(tokenizer)))
    stream = iter(texts)
    while chunk := [prompt + _LEADING_CODE.sub(" >>", spelled.sub(_spaced, text)) for text in islice(stream, _CHUNK)]:
        yield from tokenizer(**{"text_target" if target else "text": chunk}, verbose=False)["input_ids"]


def shortened(ids: list[int], most: int, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The first of `ids`, and the tokens that end them: the end token, and with mBART a language code."""
    closing = {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(_language_code_tokens(tokenizer))}
    ending = next(count for count, i in enumerate(reversed([-1, *ids])) if i not in closing)
    return [*ids[: most - ending], *ids[len(ids) - ending :]]


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Every token that no text may stand for: padding, the end token and their like, sentinels, language codes.

    Tokens that the model's owner added are none of them, though transformers calls them special too.
    """
    key = len(tokenizer), tuple(tokenizer.all_special_tokens)
    known = _controls.get(tokenizer)
    if known is None or known[0] != key:
        named = [str(token) for token in tokenizer.special_tokens_map.values()]
        vocabulary = tokenizer.get_vocab()
        reserved = [token for token in vocabulary if _RESERVED.fullmatch(token)]
        found = {*named, *reserved, *language_tokens(vocabulary), *_language_code_tokens(tokenizer)}
        known = _controls[tokenizer] = key, sorted(found)
    return known[1]


def first_beyond(tokenizer: PreTrainedTokenizerBase, rows: int) -> tuple[str, int] | None:
    """The first token whose id an embedding of `rows` rows lacks, and its id; None where it has all.

    Sentinels are passed over: MADLAD's tokenizer has them and its model does not, and no text stands for them.
    """
    beyond = ((i, token) for token, i in tokenizer.get_vocab().items() if i >= rows and not _SENTINEL.fullmatch(token))
    found = min(beyond, default=None)
    return None if found is None else (found[1], found[0])


def language_codes(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The codes of the languages of a tokenizer that is told its two (NLLB, M2M100, mBART); else none.

    Codes that the model's owner added count too.
    """
    if not hasattr(tokenizer, "src_lang"):
        return set()
    known = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    return {*getattr(tokenizer, "lang_code_to_id", {}), *(token for token in known if _LANGUAGE_CODE.fullmatch(token))}


def _language_code_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that stand for the codes."""
    own = getattr(tokenizer, "lang_code_to_token", {}) or {}  # M2M100: en is written __en__
    return sorted({own.get(code, code) for code in language_codes(tokenizer)} | set(own.values()))


def _spaced(match: re.Match[str]) -> str:
    token = match.group()
    return f"{token[:1]} {token[1:]}"


def _cut(encoded: Iterator[list[int]], tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> tuple[pa.Array, int]:
    """The rows of `encoded`, cut to `max_tokens`, as one ragged array, and how many were cut."""
    values, offsets = array("i"), array("q", [0])
    truncated = 0
    for ids in encoded:
        if len(ids) > max_tokens:
            ids = shortened(ids, max_tokens, tokenizer)
            truncated += 1
        values.extend(ids)
        offsets.append(len(values))
    flat = np.frombuffer(values, dtype=np.int32) if values else np.zeros(0, dtype=np.int32)
    return pa.LargeListArray.from_arrays(pa.array(np.frombuffer(offsets, dtype=np.int64)), pa.array(flat)), truncated
