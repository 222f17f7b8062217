"""The canary: a few pairs through the whole model before any compute is spent; a broken rule is named at once.

It catches faults that cost others days: heads tied that should not be, a target token that the vocabulary lacks,
adapters that no gradient reaches, generation that does not start where the model expects.

A model that has never seen the task (mT5, T5 1.1, ByT5) may have a loss on translations far above guessing, for it was
trained to begin with a sentinel. Span corruption, which it was trained on, tells such a model from a broken one.
`training.canary: skip` goes past all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Literal

import torch

from translora.config import DecodingConfig
from translora.data.pairs import Corpus
from translora.data.tokens import Batch, TokenisedCorpus, tokenise
from translora.errors import CanaryError
from translora.io import console
from translora.models.load import LoadedModel
from translora.training.corruption import span_corruption
from translora.translation.decode import translate

_PAIRS = 4
_MOST_SPAN_TOKENS = 256
_NATS_ABOVE_GUESSING = 2.0
_NATS_BELOW_GUESSING = 2.0
"""By how much a sound model beats guessing at its pretraining task; real ones do by five and more."""
_NATS_BY_SCALE = 1.0
_NATS_FRESH = 1.5


def check(
    translator: LoadedModel,
    pairs: Corpus,
    method: Literal["lora", "full", "none"],
    init: Literal["pretrained", "random"],
    max_tokens: int,
    beams: int,
) -> float:
    """Run the canary on the first few of `pairs`; returns their loss in nats per target token.

    `max_tokens` is the longest side of an example. Leaves the weights as they were and no gradient behind.

    Raises `CanaryError` naming the model, its family and the rule that it broke.
    """
    sample = pairs.head(_PAIRS)
    tokens = tokenise(sample, translator.tokenizer, translator.prompt, max_tokens)
    checks = [_tokenizer_faults(translator, sample), _loss_faults(translator, sample, tokens, init)]
    if method != "none":
        checks.append(_gradient_faults(translator, tokens, method))
    checks.append(_generation_faults(translator, sample, beams))
    for fault in chain.from_iterable(checks):
        raise CanaryError(
            f"model {translator.name}, family {translator.family.name}: {fault} (--training.canary=skip goes past this)"
        )
    return _loss(translator, _whole(tokens))


def _tokenizer_faults(translator: LoadedModel, sample: Corpus) -> Iterator[str]:
    tokenizer = translator.tokenizer
    size = translator.model.get_input_embeddings().weight.shape[0]
    ids = tokenizer(translator.prompt + sample[0].source)["input_ids"]
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        yield "the tokenizer has no padding or no end token: T5 needs both"
    if tokenizer.eos_token_id not in ids[-2:]:  # mBART's language code comes after it
        yield "the tokenizer does not end a sentence with its end token: T5's does"
    if max(ids) >= size:
        yield f"the tokenizer gives id {max(ids)} but the embedding has {size} rows: they do not belong together"
    prompt = tokenizer(translator.prompt, add_special_tokens=False)["input_ids"]
    if tokenizer.unk_token_id in prompt:
        yield f"the vocabulary does not know the prompt {translator.prompt!r}"


def _gradient_faults(translator: LoadedModel, tokens: TokenisedCorpus, method: str) -> Iterator[str]:
    model = translator.model
    if not any(parameter.requires_grad for parameter in model.parameters()):
        yield "nothing is trained: no adapter was inserted"
        return
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()
        translator.loss(_whole(tokens)).objective.backward()
    reached: dict[str, bool] = {}
    frozen = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            layer = name.split(".lora_")[0]
            some = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            reached[layer] = reached.get(layer, False) or some
        elif parameter.grad is not None:
            frozen.append(name)
    model.zero_grad(set_to_none=True)
    model.eval()
    missed = [layer for layer, some in reached.items() if not some]
    if method == "lora" and missed:
        yield f"no gradient reaches {len(missed)} of {len(reached)} adapters, the first at {missed[0]}"
    if frozen:
        yield f"the frozen weight {frozen[0]} gets a gradient ({len(frozen)} in all)"


def _loss_faults(translator: LoadedModel, sample: Corpus, tokens: TokenisedCorpus, init: str) -> Iterator[str]:
    loss = _loss(translator, _whole(tokens))
    guessing = math.log(translator.model.get_input_embeddings().weight.shape[0])
    if not math.isfinite(loss):
        yield f"the loss is {loss} in {translator.dtype}: use dtype float32"
    if init == "random":
        if abs(loss - guessing) > _NATS_FRESH:
            yield f"the loss of a fresh model is {loss:.2f}, far from {guessing:.2f}, the log of its vocabulary's size"
        return
    spans = span_corruption(translator, [*sample.sources, *sample.targets], _MOST_SPAN_TOKENS)
    restoring = None if spans is None else _loss(translator, spans)
    far = loss > guessing + _NATS_ABOVE_GUESSING
    if spans is not None or not far:
        yield from _scale_faults(translator, _whole(tokens) if spans is None else spans, guessing)
    if far and (restoring is None or restoring > guessing - _NATS_BELOW_GUESSING):
        also = "" if restoring is None else f", and {restoring:.2f} at span corruption, its own pre-training"
        yield (
            f"the loss is {loss:.2f} where guessing gives {guessing:.2f}{also}: the head is tied or scaled against the "
            f"checkpoint's rule, or the tokenizer is another model's"
        )
    if far:
        console.notice(
            f"canary: the loss is {loss:.2f} where guessing gives {guessing:.2f}, and {restoring:.2f} at span "
            f"corruption: a sound model that has not learnt to translate"
        )


def _scale_faults(translator: LoadedModel, batch: Batch, guessing: float) -> Iterator[str]:
    """Whether a model becomes a sound one where T5's decoder states are scaled, and were not, or the reverse."""
    config = translator.model.config
    scaled = getattr(config, "scale_decoder_outputs", None)
    if config.model_type != "t5" or scaled is None:
        return
    loss = _loss(translator, batch)
    try:
        config.scale_decoder_outputs = not scaled
        other = _loss(translator, batch)
    finally:
        config.scale_decoder_outputs = scaled
    if other < min(loss - _NATS_BY_SCALE, guessing - _NATS_BELOW_GUESSING):
        yield (
            f"the loss is {loss:.2f}, and {other:.2f} with the other scale of the head: config.json's "
            f"tie_word_embeddings or scale_decoder_outputs is wrong for these weights"
        )


def _generation_faults(translator: LoadedModel, sample: Corpus, beams: int) -> Iterator[str]:
    limit = DecodingConfig(beams=beams, max_tokens=8)
    try:
        texts = translate(translator, [sample[0].source], limit)
    except (RuntimeError, ValueError, IndexError) as error:
        yield f"generation failed ({' '.join(str(error).split())[:200]})"
        return
    if len(translator.tokenizer(texts[0], add_special_tokens=False)["input_ids"]) > 4 * limit.max_tokens:
        yield "a generation limited to 8 tokens did not end"


def _whole(tokens: TokenisedCorpus) -> Batch:
    return tokens.batch(tokens.all_indices())


@torch.no_grad()
def _loss(translator: LoadedModel, batch: Batch) -> float:
    translator.model.eval()
    return float(translator.loss(batch).cross_entropy) / batch.target_tokens
