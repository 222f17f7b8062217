"""Translation by transformers' `generate`, for the models that translora's own decoder does not know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from translora.config import DecodingConfig
from translora.models.hardware import autocast
from translora.models.load import LoadedModel
from translora.models.shards import is_sharded, without_gradients

_SCORED_ROWS = 8
"""Rows that are scored at a time: their logits have rows times length times vocabulary numbers."""


class Generated(NamedTuple):
    """What came of a line."""

    ids: list[int]
    score: float | None
    """The mean log-probability of the tokens that the model chose, where it was asked for."""
    cut: bool
    """Whether the limit ended it where the model would have gone on."""


@dataclass(frozen=True)
class _Rows:
    """Padded source ids and their mask, shape (rows, source length)."""

    ids: torch.Tensor
    mask: torch.Tensor


def generate(
    translator: LoadedModel, rows: Sequence[list[int]], limits: Sequence[int], decoding: DecodingConfig, scores: bool
) -> list[Generated]:
    """Translate the source token ids `rows` as one batch, each to at most as many tokens as its limit says."""
    tokenizer, device = translator.tokenizer, translator.device
    longest = max(map(len, rows))
    inputs = _Rows(
        torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows], device=device),
        torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device),
    )
    ends = OwnLimits(limits, decoding.beams, tokenizer.eos_token_id)
    with without_gradients(translator.model), autocast(device, translator.dtype):
        output = translator.model.generate(
            input_ids=inputs.ids,
            attention_mask=inputs.mask,
            generation_config=generation_config(translator, decoding, max(limits) + 1),  # the end of sequence
            logits_processor=LogitsProcessorList([ends]),
            synced_gpus=is_sharded(translator.model),
        )
    found = output.tolist()
    cut = [ends.cut(i, row) for i, row in enumerate(found)]
    with without_gradients(translator.model):
        marks = _scores(translator, inputs, output, cut) if scores else [None] * len(rows)
    return [Generated(*one) for one in zip(found, marks, cut, strict=True)]


def generation_config(translator: LoadedModel, decoding: DecodingConfig, most: int) -> GenerationConfig:
    """How to generate at most `most` tokens."""
    tokenizer, own = translator.tokenizer, translator.model.generation_config
    return GenerationConfig(
        do_sample=False,
        num_beams=decoding.beams,
        max_new_tokens=most,
        length_penalty=decoding.length_penalty if decoding.beams > 1 else None,
        early_stopping=decoding.beams > 1,
        no_repeat_ngram_size=decoding.no_repeat_ngram_size,
        repetition_penalty=decoding.repetition_penalty,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=start_token(translator),
        forced_bos_token_id=getattr(own, "forced_bos_token_id", None),
        bad_words_ids=getattr(own, "bad_words_ids", None),
    )


def start_token(translator: LoadedModel) -> int:
    """The decoder's first token."""
    start = translator.model.config.decoder_start_token_id
    return int(translator.tokenizer.pad_token_id if start is None else start)


class OwnLimits(LogitsProcessor):
    """Ends each row at its own limit, so that a translation that never ends is the same in every batch."""

    def __init__(self, limits: Sequence[int], beams: int, end: int) -> None:
        self.limits, self.end = torch.tensor(limits).repeat_interleave(beams), end
        self._beams = beams
        self._ended: dict[tuple[int, ...], bool] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores` (rows, vocabulary) with nothing but the end token where `input_ids` have reached the limit."""
        length = input_ids.shape[1] - 1  # the first token is the decoder's start
        for row in (self.limits == length).nonzero().flatten().tolist():
            key = (row // self._beams, *input_ids[row].tolist())
            self._ended[key] = bool(scores[row].argmax() == self.end)
        over = (self.limits <= length).to(scores.device)
        ends = scores[over, self.end]  # which keep their score: a beam that is cut short is no better for it
        scores[over] = -math.inf
        scores[over, self.end] = ends
        return scores

    def cut(self, row: int, ids: list[int]) -> bool:
        """Whether the output `ids` of a row reached its limit where the model would have gone on."""
        most = int(self.limits[row * self._beams]) + 1
        return self.end not in ids[1:most] and not self._ended.get((row, *ids[:most]), False)


def _scores(translator: LoadedModel, inputs: _Rows, output: torch.Tensor, cut: list[bool]) -> list[float | None]:
    """The mean log-probability of each row of `output` (rows, target length); forced tokens do not count."""
    end, model = translator.tokenizer.eos_token_id, translator.model
    forced = getattr(model.generation_config, "forced_bos_token_id", None) is not None
    marks: list[float | None] = []
    for start in range(0, len(output), _SCORED_ROWS):
        part = slice(start, start + _SCORED_ROWS)
        with autocast(translator.device, translator.dtype):
            logits = model(
                input_ids=inputs.ids[part], attention_mask=inputs.mask[part], decoder_input_ids=output[part, :-1]
            ).logits
        logs = logits.float().log_softmax(-1).gather(2, output[part, 1:, None]).squeeze(2).tolist()
        for row, ids, over in zip(logs, output[part].tolist(), cut[part], strict=True):
            last = ids.index(end, 1) if end in ids[1:] else len(ids) - 1
            chosen = row[int(forced) : last - int(over)]  # the first of `row` is that of ids[1]
            marks.append(sum(chosen) / len(chosen) if chosen else None)
    return marks
