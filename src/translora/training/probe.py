"""Measure how fast a model trains and translates, on a few of the pairs that it is going to see. Changes no weight."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from translora.config import Config
from translora.data.batching import Ints, micro_batches
from translora.data.pairs import Corpus
from translora.data.tokens import TokenisedCorpus, encode
from translora.models.load import LoadedModel
from translora.scoring.significance import paired_test
from translora.training.estimate import Rates, evenly
from translora.training.plan import Plan
from translora.training.validation import ready_to_translate
from translora.translation.decode import decode

Result = TypeVar("Result")

_STEPS = 3
_LINES = 64
_USUAL = 0.95
"""The share of the lines, the shortest, of which some are measured. A longer one would go on alone after the others,
as it does not among a thousand."""
_WITH_REPORT = 2.0
"""Scores and report together take about this many times as long as the scores alone."""


def measure(
    translator: LoadedModel, examples: TokenisedCorpus, plan: Plan, test: Corpus, config: Config, most: int
) -> Rates:
    """The rates of training by `plan` on `examples`, `most` padded tokens at a time, and of translating `test`.

    It takes as long as four training steps, and as translating 64 lines twice: as validations are, and as the test is.
    """
    train, loss = _training_rates(translator, examples, plan, most) if plan.total_steps else (0.0, 0.0)
    lengths = np.array([len(row) for row in encode(test.sources, translator.tokenizer, translator.prompt)])
    chosen = _usual(lengths)
    sample, tokens = test.take([int(index) for index in chosen]), int(lengths[chosen].sum())
    ready, decoder = ready_to_translate(translator)

    def search(beams: int) -> list[str]:
        decoding = replace(config.decoding, beams=beams)
        return [one.text for one in decode(ready, sample.sources, decoding, decoder=decoder)]

    greedy, texts = _timed(lambda: search(1))
    beams = config.decoding.beams
    searched = _timed(lambda: search(beams))[0] if beams > 1 else greedy
    scored = min(_timed(lambda: paired_test(texts, texts, [sample.targets], config.target))[0] for _ in range(2))
    return Rates(train, searched / tokens, greedy / tokens, loss, _WITH_REPORT * scored / len(sample))


def _usual(lengths: Ints) -> Ints:
    """The indices of some lines of all usual lengths."""
    usual = np.argsort(lengths, kind="stable")[: math.ceil(_USUAL * len(lengths))]
    return usual[evenly(_LINES, len(usual))]


def _training_rates(translator: LoadedModel, examples: TokenisedCorpus, plan: Plan, most: int) -> tuple[float, float]:
    """The seconds per token of training steps, and of a loss without gradients."""
    lengths = examples.source_lengths + examples.target_lengths
    trained = [parameter for parameter in translator.model.parameters() if parameter.requires_grad]
    steps = [plan.pairs(step) for step in evenly(_STEPS + 1, min(plan.total_steps, plan.epoch_ends[0]))]
    seconds, tokens = 0.0, 0
    translator.model.train()
    for number, pairs in enumerate(steps):
        parts = micro_batches(pairs, examples.source_lengths, examples.target_lengths, most)
        with torch.random.fork_rng():
            took = sum(_timed(partial(_gradients, translator, examples, part, trained))[0] for part in parts)
        if number or len(steps) == 1:  # the first one warms up
            seconds, tokens = seconds + took, tokens + int(lengths[pairs].sum())
    translator.model.eval()
    with torch.inference_mode():
        forward, _ = _timed(lambda: float(translator.loss(examples.batch(parts[0])).cross_entropy))
    return seconds / tokens, forward / int(lengths[parts[0]].sum())


def _gradients(
    translator: LoadedModel, examples: TokenisedCorpus, pairs: Ints, trained: list[torch.nn.Parameter]
) -> float:
    """Compute the gradients of `pairs` and drop them; returns the sum of their norms, for which a GPU must finish."""
    loss = translator.loss(examples.batch(pairs))
    gradients = torch.autograd.grad(loss.objective, trained, allow_unused=True)
    return sum(float(gradient.norm()) for gradient in gradients if gradient is not None)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """The seconds that `work` takes, and its result."""
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result
