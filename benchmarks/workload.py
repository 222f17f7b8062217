"""What the benchmarks work on: a model of random weights, real sentences, and the arithmetic of a step."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow.feather import read_table, write_feather
from transformers import AutoTokenizer, PreTrainedModel, T5Config, T5ForConditionalGeneration

from translora import mini
from translora.config import SourceConfig
from translora.data.batching import Ints
from translora.data.pairs import Corpus
from translora.data.readers.sources import read
from translora.data.tokens import TokenisedCorpus
from translora.models.load import give_own_head, quiet_transformers

PAIRS = int(os.environ.get("TRANSLORA_BENCHMARK_PAIRS", "20000"))
"""As many pairs as the lesson's training set; batches are made out of all of them, and some of the batches timed.
Tests take fewer."""

MATRIX = int(os.environ.get("TRANSLORA_BENCHMARK_MATRIX", "0"))
"""The rows of the square matrices whose product is the measure; 0 takes as many as keep the device busy."""

LONGEST = 128
"""The lesson's limit, in tokens."""

SHAPES = {
    "tiny": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "large": {"d_model": 1024, "d_kv": 64, "d_ff": 2816, "num_layers": 24, "num_heads": 16},
    "xl": {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32},
}
"""The shapes of google/flan-t5-small, -base, -large and -xl, and one for a quick try."""


def in_turns(
    options: argparse.Namespace, measure: Callable[[str, str], dict[str, Any]], shown: Callable[[dict[str, Any]], str]
) -> dict[str, list[dict[str, Any]]]:
    """The figures of each of `options.sides` in each of `options.rounds`; the sides take turns.

    `measure` gets a side and the file of the workload; `shown` puts its figures in words.
    """
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data.feather"
        write_feather(make_workload(options.lengths), data, compression="uncompressed")
        for number in range(options.rounds):
            for side in options.sides:
                runs[side].append(measure(side, data))
                print(f"round {number + 1}: {side} {shown(runs[side][-1])}", file=sys.stderr)
    return runs


def flan_t5(shape: str, dropout: float, width: int | None = None) -> PreTrainedModel:
    """A model of FLAN-T5's shape with random weights; its head is its own.

    Another `width` keeps the layers and scales the feed-forward and the number of heads with it.
    """
    sizes = dict(SHAPES[shape])
    if width:
        sizes |= {"d_model": width, "d_ff": 2 * width, "num_heads": max(1, width // sizes["d_kv"])}
    config = T5Config(
        vocab_size=32_128,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        dropout_rate=dropout,
        **sizes,
    )
    torch.manual_seed(0)
    with quiet_transformers():
        model: PreTrainedModel = T5ForConditionalGeneration(config)
    give_own_head(model)
    return model


def workload(lengths: str, file: str = "") -> TokenisedCorpus:
    """The pairs of `make_workload`, out of `file` where one is given.

    Making them takes memory that no side of a benchmark should be charged with.
    """
    return TokenisedCorpus(read_table(file, memory_map=True) if file else make_workload(lengths), pad_id=0)


def make_workload(lengths: str) -> pa.Table:
    """Pairs of the embedded corpus: as they are (`corpus`), or re-cut to the lengths of news text (`news`).

    All stay within 128 tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(mini.MODEL)
    corpus = Corpus.of(read(SourceConfig(path="mini", limit=PAIRS), "de", "en"))
    sources, targets = (tokenizer(list(texts))["input_ids"] for texts in (corpus.sources, corpus.targets))
    if lengths == "news":
        sources, targets = (
            _recut(rows, wanted) for rows, wanted in zip((sources, targets), news_lengths(len(sources)), strict=True)
        )
    kind = pa.large_list(pa.int32())
    columns = {"source": sources, "target": targets}
    return pa.table({side: pa.array([ids[:LONGEST] for ids in rows], kind) for side, rows in columns.items()})


def news_lengths(pairs: int) -> tuple[Ints, Ints]:
    """Source and target lengths of so many pairs of news text, in tokens, from 2 to 128.

    They have 42 source and 33 target tokens on average, gamma distributed.
    """
    random = np.random.default_rng(0)
    source = random.gamma(3.2, 42 / 3.2, pairs)
    target = source * (33 / 42 * np.exp(random.normal(0, 0.15, pairs)))
    lengths = np.clip(np.round([source, target]), 2, LONGEST).astype(int)
    return lengths[0], lengths[1]


def _recut(rows: list[list[int]], lengths: Ints) -> list[list[int]]:
    """Rows of the given lengths out of the running text of `rows`, each with its end token."""
    text = [i for ids in rows for i in ids[:-1]]
    end = rows[0][-1]
    result, start = [], 0
    for length in lengths:
        if start + length > len(text):
            start = 0
        result.append([*text[start : start + length - 1], end])
        start += length - 1
    return result


def step_flops(config: T5Config, source: Ints, target: Ints, method: str) -> float:
    """The least arithmetic that pairs of these lengths need, in floating point operations, padding left out.

    Two operations a weight and token forward, two backward, and two more for a weight that is trained (`full`).
    """
    inner, width, wide = config.num_heads * config.d_kv, config.d_model, config.d_ff
    attend, feed = 4 * width * inner, (3 if config.is_gated_act else 2) * width * wide
    source_tokens, target_tokens = int(source.sum()), int(target.sum())
    weights = source_tokens * (config.num_layers * (attend + feed) + config.num_decoder_layers * attend / 2)
    weights += target_tokens * config.num_decoder_layers * (1.5 * attend + feed)
    weights += target_tokens * width * config.vocab_size
    per_encoder, per_decoder = float((source**2).sum()), float((target**2 + target * source).sum())
    scores = 2 * inner * (config.num_layers * per_encoder + config.num_decoder_layers * per_decoder)
    lowest = 3 * width * inner * (source_tokens + target_tokens)  # no gradient goes below the first adapters
    return 6 * (weights + scores) if method == "full" else 4 * weights + 6 * scores - 2 * lowest


def translation_flops(config: T5Config, source: Sequence[int], target: Sequence[int], beams: int) -> float:
    """The arithmetic of translating lines of these lengths, in floating point operations, padding left out.

    Each of the `beams` of a line computes every target token and its logits.
    """
    inner, width = config.num_heads * config.d_kv, config.d_model
    attend, feed = 4 * width * inner, (3 if config.is_gated_act else 2) * width * config.d_ff
    total = 0.0
    for source_tokens, target_tokens in zip(source, target, strict=True):
        made = beams * target_tokens
        total += source_tokens * (config.num_layers * (attend + feed) + config.num_decoder_layers * attend / 2)
        total += made * (config.num_decoder_layers * (1.5 * attend + feed) + width * config.vocab_size)
        seen = made * (target_tokens / 2 + source_tokens)
        total += 2 * inner * (config.num_layers * source_tokens**2 + config.num_decoder_layers * seen)
    return 2 * total


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations a second of a large square matrix product here and now."""
    size = MATRIX or (2048 if device.type == "cpu" else 8192)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        torch.mm(left, right, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[1:])
