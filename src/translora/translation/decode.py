"""Batched generation with torch: one line in, one line out, in order, whatever the lines hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from translora.config import DecodingConfig
from translora.data.batching import Ints, batches_within, sorted_batches
from translora.data.tokens import encode, shortened
from translora.models.budget import Budget
from translora.models.hardware import autocast
from translora.models.load import LoadedModel

_SPARE_TOKENS = 10


def translate(
    translator: LoadedModel,
    lines: Sequence[str],
    decoding: DecodingConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """Translate each of `lines`; an empty line gives an empty line, and a translation never holds a line break.

    Lines are batched by length, longest first; `progress` is called with the number of lines of each finished batch.
    A line that is longer than the model's positions reach is cut there.
    A translation ends after `decoding.max_ratio` times its source's tokens (plus ten) at the latest, and within
    `decoding.max_tokens`.
    """
    tokenizer = translator.tokenizer
    results = [""] * len(lines)
    filled = [i for i, line in enumerate(lines) if line.strip()]
    rows = [_within_limit(translator, row) for row in encode([lines[i] for i in filled], tokenizer, translator.prompt)]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    alone = lengths, np.zeros_like(lengths)
    budget = Budget(max(1, decoding.batch_tokens // decoding.beams))
    for batch in sorted_batches(*alone, budget.tokens):

        def texts(most: int, batch: Ints = batch) -> list[str]:
            parts = batches_within(batch, *alone, most)
            return [text for part in parts for text in _generate(translator, [rows[i] for i in part], decoding)]

        for i, text in zip(batch, budget.run(texts), strict=True):
            results[filled[i]] = " ".join(text.split())
        progress(len(batch))
    progress(len(lines) - len(filled))
    return results


def _within_limit(translator: LoadedModel, row: list[int]) -> list[int]:
    """`row`, cut where the model has no more positions (T5 always has)."""
    most = translator.most_positions
    return shortened(row, most, translator.tokenizer.all_special_ids) if most and len(row) > most else row


@torch.inference_mode()
def _generate(translator: LoadedModel, rows: list[list[int]], decoding: DecodingConfig) -> list[str]:
    tokenizer, device = translator.tokenizer, translator.device
    longest = max(map(len, rows))
    limits = [_limit(len(row), decoding) for row in rows]
    inputs = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    start = translator.model.config.decoder_start_token_id
    language = getattr(translator.model.generation_config, "forced_bos_token_id", None)
    config = GenerationConfig(
        do_sample=False,
        num_beams=decoding.beams,
        max_new_tokens=max(limits) + 1,  # the end of sequence
        length_penalty=decoding.length_penalty if decoding.beams > 1 else None,
        early_stopping=decoding.beams > 1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id if start is None else start,
        forced_bos_token_id=language,
        bad_words_ids=getattr(translator.model.generation_config, "bad_words_ids", None),
    )
    with autocast(device, translator.dtype):
        output = translator.model.generate(
            input_ids=inputs,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([_OwnLimits(limits, decoding.beams, tokenizer.eos_token_id)]),
        )
    codes = {language, *getattr(tokenizer, "lang_code_to_id", {}).values()}  # not always among the special tokens
    written = [[i for i in row if i not in codes] for row in output.tolist()]
    return list(tokenizer.batch_decode(written, skip_special_tokens=True))


class _OwnLimits(LogitsProcessor):
    """Ends each row at its own limit, so that a translation that never ends is the same in every batch."""

    def __init__(self, limits: list[int], beams: int, end: int) -> None:
        self.limits, self.end = torch.tensor(limits).repeat_interleave(beams), end

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        over = (self.limits < input_ids.shape[1]).to(scores.device)  # the first token is the decoder's start
        scores[over] = -math.inf
        scores[over, self.end] = 0.0
        return scores


def _limit(tokens: int, decoding: DecodingConfig) -> int:
    return min(decoding.max_tokens, math.ceil(decoding.max_ratio * tokens) + _SPARE_TOKENS)
