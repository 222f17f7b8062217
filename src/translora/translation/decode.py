"""Batched generation with torch: one line in, one line out, in order, whatever the lines hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from translora.config import DecodingConfig
from translora.data.batching import Ints, batches_within, sorted_batches
from translora.data.placeholders import texts_of
from translora.data.tokens import encode, shortened
from translora.io import console
from translora.io.files import one_line
from translora.models.budget import Budget
from translora.models.hardware import autocast
from translora.models.load import LoadedModel

_SPARE_TOKENS = 10
_SCORED_ROWS = 8
"""Rows that are scored at a time: their logits have rows times length times vocabulary numbers."""


@dataclass(frozen=True)
class Translation:
    """One translated text."""

    text: str
    score: float | None = None
    """The mean natural log-probability per token of the translation, the end token included where the model chose it,
    under teacher forcing; it needs a second pass, and is None where it was not asked for or the text is empty."""
    cut_by: Literal["", "max_tokens", "max_ratio"] = ""
    """The limit that ended the translation before the model did; empty where none did."""
    source_cut: bool = False
    """Whether the source was longer than the model's positions reach, and was cut there."""

    @property
    def cut(self) -> bool:
        """Whether the translation reached its limit."""
        return bool(self.cut_by)

    def __str__(self) -> str:
        return self.text


def translate(
    translator: LoadedModel,
    lines: Sequence[str],
    decoding: DecodingConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The texts of `decode`."""
    return [translation.text for translation in decode(translator, lines, decoding, progress)]


def decode(
    translator: LoadedModel,
    lines: Sequence[str],
    decoding: DecodingConfig,
    progress: Callable[[int], None] = lambda done: None,
    scores: bool = False,
) -> list[Translation]:
    """Translate each of `lines`; an empty line gives an empty line, and a translation never holds a line break.

    Lines are batched by length, longest first; `progress` is called with the number of lines of each finished batch.
    A line that is longer than the model's positions reach is cut there.
    A translation ends after `decoding.max_ratio` times its source's tokens (plus ten) at the latest, and within
    `decoding.max_tokens`. With `scores` each translation is also scored.
    """
    tokenizer = translator.tokenizer
    results = [Translation("")] * len(lines)
    filled = [i for i, line in enumerate(lines) if line.strip()]
    whole = list(encode([lines[i] for i in filled], tokenizer, translator.prompt))
    rows = [_withinlimit_of(translator, row) for row in whole]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    alone = lengths, np.zeros_like(lengths)
    budget = Budget(max(1, decoding.batch_tokens // decoding.beams))
    for batch in sorted_batches(*alone, budget.tokens):

        def generated(most: int, batch: Ints = batch) -> list[Translation]:
            parts = batches_within(batch, *alone, most)
            return [one for part in parts for one in _generate(translator, [rows[i] for i in part], decoding, scores)]

        for i, one in zip(batch, budget.run(generated), strict=True):
            results[filled[i]] = replace(one, source_cut=len(rows[i]) < len(whole[i]))
        progress(len(batch))
    progress(len(lines) - len(filled))
    return results


def cut_lines(translations: Sequence[Translation]) -> list[int]:
    """The numbers, from 1, of the translations that reached their limit."""
    return [number for number, one in enumerate(translations, 1) if one.cut]


def cut_numbers(translations: Sequence[Translation]) -> dict[str, list[int]]:
    """The numbers, from 1, of the translations that were cut, by the limit; of those whose source was, by `source`."""
    found: dict[str, list[int]] = {}
    for number, one in enumerate(translations, 1):
        for kind in filter(None, (one.cut_by, "source" if one.source_cut else "")):
            found.setdefault(kind, []).append(number)
    return found


def say_cut(translations: Sequence[Translation], decoding: DecodingConfig, label: str, flag: str) -> None:
    """Say in one line per kind how many of `translations` were cut, and which is the first; `flag` raises the limit."""
    say_cuts(cut_numbers(translations), decoding, label, flag)


def say_cuts(cuts: Mapping[str, list[int]], decoding: DecodingConfig, label: str, flag: str) -> None:
    """Say what `cut_numbers` found, in one line per kind."""
    for kind, words, advice in (
        ("max_tokens", f"reached decoding.max_tokens ({decoding.max_tokens})", f"raise it with {flag}"),
        ("max_ratio", f"ran to {decoding.max_ratio:g} times the source's tokens and ten", "such output repeats itself"),
    ):
        if found := cuts.get(kind):
            console.notice(f"{label}: the translation of {first_of(found)} {words} and is cut there: {advice}")
    if long := cuts.get("source"):
        console.notice(f"{label}: {first_of(long)} is longer than the model reads and is cut: split it")


def first_of(lines: list[int]) -> str:
    """The first of the numbers of some lines, and how many more there are, in words."""
    return f"line {lines[0]}" + (f" (and {len(lines) - 1:,} more)" if len(lines) > 1 else "")


def _withinlimit_of(translator: LoadedModel, row: list[int]) -> list[int]:
    """`row`, cut where the model has no more positions (T5 always has)."""
    most = translator.most_positions
    return shortened(row, most, translator.tokenizer) if most and len(row) > most else row


@torch.inference_mode()
def _generate(
    translator: LoadedModel, rows: list[list[int]], decoding: DecodingConfig, scores: bool
) -> list[Translation]:
    tokenizer, device = translator.tokenizer, translator.device
    longest = max(map(len, rows))
    limits = [limit_of(len(row), decoding) for row in rows]
    inputs = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    ends = _OwnLimits(limits, decoding.beams, tokenizer.eos_token_id)
    with autocast(device, translator.dtype):
        output = translator.model.generate(
            input_ids=inputs,
            attention_mask=mask,
            generation_config=_generation_config(translator, decoding, max(limits) + 1),  # the end of sequence
            logits_processor=LogitsProcessorList([ends]),
        )
    found = output.tolist()
    cut = [ends.cut(i, row) for i, row in enumerate(found)]
    marks = _scores(translator, inputs, mask, output, cut) if scores else [None] * len(rows)
    return [
        Translation(one_line(text), mark, limit_name(len(row), decoding) if over else "")
        for text, mark, row, over in zip(texts_of(found, tokenizer), marks, rows, cut, strict=True)
    ]


def _generation_config(translator: LoadedModel, decoding: DecodingConfig, most: int) -> GenerationConfig:
    """How to generate at most `most` tokens."""
    tokenizer, own = translator.tokenizer, translator.model.generation_config
    start = translator.model.config.decoder_start_token_id
    return GenerationConfig(
        do_sample=False,
        num_beams=decoding.beams,
        max_new_tokens=most,
        length_penalty=decoding.length_penalty if decoding.beams > 1 else None,
        early_stopping=decoding.beams > 1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id if start is None else start,
        forced_bos_token_id=getattr(own, "forced_bos_token_id", None),
        bad_words_ids=getattr(own, "bad_words_ids", None),
    )


class _OwnLimits(LogitsProcessor):
    """Ends each row at its own limit, so that a translation that never ends is the same in every batch."""

    def __init__(self, limits: list[int], beams: int, end: int) -> None:
        self.limits, self.end = torch.tensor(limits).repeat_interleave(beams), end
        self._beams = beams
        self._ended: dict[tuple[int, ...], bool] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
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


@torch.inference_mode()
def _scores(
    translator: LoadedModel, inputs: torch.Tensor, mask: torch.Tensor, output: torch.Tensor, cut: list[bool]
) -> list[float | None]:
    """The mean log-probability of each row of `output`; the tokens that were forced do not count.

    `inputs` and `mask` have the shape (rows, source length), `output` has (rows, target length).
    """
    end, model = translator.tokenizer.eos_token_id, translator.model
    forced = getattr(model.generation_config, "forced_bos_token_id", None) is not None
    marks: list[float | None] = []
    for start in range(0, len(output), _SCORED_ROWS):
        part = slice(start, start + _SCORED_ROWS)
        with autocast(translator.device, translator.dtype):
            logits = model(
                input_ids=inputs[part], attention_mask=mask[part], decoder_input_ids=output[part, :-1]
            ).logits
        logs = logits.float().log_softmax(-1).gather(2, output[part, 1:, None]).squeeze(2).tolist()
        for row, ids, over in zip(logs, output[part].tolist(), cut[part], strict=True):
            last = ids.index(end, 1) if end in ids[1:] else len(ids) - 1
            chosen = row[int(forced) : last - int(over)]  # the first of `row` is that of ids[1]
            marks.append(sum(chosen) / len(chosen) if chosen else None)
    return marks


def limit_of(tokens: int, decoding: DecodingConfig) -> int:
    """The most tokens of a translation of a source of `tokens` tokens, the end token left out."""
    return min(decoding.max_tokens, math.ceil(decoding.max_ratio * tokens) + _SPARE_TOKENS)


def limit_name(tokens: int, decoding: DecodingConfig) -> Literal["max_tokens", "max_ratio"]:
    """Which of the two limits ends a translation of a source of `tokens` tokens."""
    return "max_tokens" if limit_of(tokens, decoding) == decoding.max_tokens else "max_ratio"
