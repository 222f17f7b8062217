"""Measure a model on held-out pairs: loss and BLEU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from translora.config import DecodingConfig
from translora.data.batching import sorted_batches
from translora.data.pairs import Corpus
from translora.data.tokens import TokenisedCorpus
from translora.io.console import meter
from translora.models.budget import Budget
from translora.models.load import LoadedModel
from translora.models.lora import merged_copy
from translora.models.quantise import is_quantised
from translora.models.t5.decode import Decoder
from translora.scoring.metrics import bleu
from translora.training.loop import Validation
from translora.translation.decode import Translation, decode, make_decoder
from translora.translation.kept import Guard, engine_of


def ready_to_translate(translator: LoadedModel) -> tuple[LoadedModel, Decoder | None]:
    """The model in evaluation mode, and its decoder; without one, a copy of the model with its adapter merged in.

    A model whose base is quantised translates as it is, its adapter beside it.
    """
    decoder = make_decoder(translator)
    if decoder is None and not is_quantised(translator.model):
        translator = dataclasses.replace(translator, model=merged_copy(translator.model))
    translator.model.eval()
    return translator, decoder


@torch.inference_mode()
def corpus_loss(translator: LoadedModel, corpus: TokenisedCorpus, batch_tokens: int) -> float:
    """Cross-entropy of `corpus` in nats per target token, computed `batch_tokens` padded tokens at a time."""
    translator.model.eval()
    total, tokens = 0.0, 0
    for indices in sorted_batches(corpus.source_lengths, corpus.target_lengths, batch_tokens):
        batch = corpus.batch(indices)
        total += float(translator.loss(batch).cross_entropy)
        tokens += batch.target_tokens
    return total / max(1, tokens)


def translate_merged(
    translator: LoadedModel, lines: list[str], decoding: DecodingConfig, label: str, guard: Guard | None = None
) -> list[Translation]:
    """Translate `lines` with the adapter merged in and show progress; the model is not changed.

    With `guard` placeholders are protected. Translora's own decoder merges the adapter as it copies the weights. A
    model unknown to it is copied whole, or translates as it is where its base is quantised.
    """
    translator, decoder = ready_to_translate(translator)
    with meter(label, len(lines), "sentences") as progress:
        if guard is None:
            return decode(translator, lines, decoding, progress.advance, decoder=decoder)
        engine = engine_of(translator, decoder)
        return guard.translate_lines(lines, engine, decoding, progress.advance)


def validate(
    translator: LoadedModel,
    tokens: TokenisedCorpus,
    scored: Corpus,
    translate: Callable[[list[str]], list[Translation]],
    target: str,
    budget: Budget,
) -> Validation:
    """The loss of `tokens`, and BLEU of the translations that `translate` gives of `scored`, in the language `target`.

    The loss is computed within `budget`, which is halved where memory runs out.
    """
    hypotheses = [one.text for one in translate(scored.sources)]
    loss = budget.run(lambda most: corpus_loss(translator, tokens, most))
    return Validation(loss, bleu(hypotheses, scored.targets, target))
