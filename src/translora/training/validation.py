"""Measure a model on held-out pairs: loss and BLEU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from translora.config import DecodingConfig
from translora.data.batching import sorted_batches
from translora.data.pairs import Corpus
from translora.data.tokens import TokenisedCorpus
from translora.io.console import meter
from translora.io.interrupt import StopRequest
from translora.models.budget import Budget
from translora.models.load import LoadedModel
from translora.models.lora import merged_copy
from translora.models.quantise import is_quantised
from translora.models.shards import is_sharded, without_gradients
from translora.models.t5.decode import Decoder
from translora.scoring.metrics import bleu
from translora.training.loop import Validation
from translora.training.ranks import ALONE, Ranks
from translora.translation.decode import decode, make_decoder
from translora.translation.kept import Guard, engine_of
from translora.translation.result import Translation


def ready_to_translate(translator: LoadedModel) -> tuple[LoadedModel, Decoder | None]:
    """The model in evaluation mode, and its decoder; without one, a copy of the model with its adapter merged in.

    A model whose base is quantised or sharded translates as it is, its adapter beside it.
    """
    decoder = make_decoder(translator)
    if decoder is None and not (is_quantised(translator.model) or is_sharded(translator.model)):
        translator = dataclasses.replace(translator, model=merged_copy(translator.model))
    translator.model.eval()
    return translator, decoder


def corpus_loss(translator: LoadedModel, corpus: TokenisedCorpus, batch_tokens: int) -> float:
    """Cross-entropy of `corpus` in nats per target token, computed `batch_tokens` padded tokens at a time."""
    translator.model.eval()
    total, tokens = 0.0, 0
    with without_gradients(translator.model):
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


@dataclass(frozen=True)
class Validator:
    """Measures the loss on held-out pairs, and BLEU of their translations."""

    translator: LoadedModel
    tokens: TokenisedCorpus
    """The pairs whose loss is measured."""
    scored: Corpus
    """The pairs that are translated."""
    translate: Callable[[list[str]], list[Translation]]
    target: str
    """The language of the translations."""
    budget: Budget
    """The loss is computed within it, and it is halved where memory runs out."""
    ranks: Ranks = ALONE
    """Those who share the work."""

    def __call__(self, stop: StopRequest) -> Validation | None:
        """The figures; None where a signal came to any rank before or meanwhile, which leaves its share at once."""
        if is_sharded(self.translator.model):  # all do all of it, in step with each other, and none leaves
            return self.ranks.passes(self._of_all)
        shares = self.ranks.gather(stop.unless_stopped(self._share))
        self.budget.tokens = self.ranks.least(self.budget.tokens)
        if None in shares:
            return None
        loss = shares[0]["loss"]
        if len(shares) > 1:
            loss = sum(share["loss"] * share["tokens"] for share in shares) / max(
                1, int(self.tokens.target_lengths.sum())
            )
        texts = dict(pair for share in shares for pair in share["texts"])
        score = bleu([texts[i] for i in range(len(texts))], self.scored.targets, self.target) if self.ranks.first else 0
        return Validation(loss, float(self.ranks.broadcast(score)))

    def _of_all(self) -> Validation:
        """The figures, computed by each rank alone."""
        found = [one.text for one in self.translate(self.scored.sources)]
        loss = corpus_loss(self.translator, self.tokens, self.budget.tokens)
        return Validation(loss, bleu(found, self.scored.targets, self.target))

    def _share(self) -> dict[str, Any]:
        """This rank's share of the translations, and the loss on its share of the pairs."""
        sources = self.scored.sources
        mine = self.ranks.share([len(text) for text in sources])
        found = self.translate([sources[i] for i in mine])
        tokens = self.tokens
        if self.ranks.size > 1:
            tokens = tokens.take(self.ranks.share(tokens.source_lengths + tokens.target_lengths))
        loss = self.budget.run(lambda most: corpus_loss(self.translator, tokens, most))
        texts = [[int(i), one.text] for i, one in zip(mine, found, strict=True)]
        return {"texts": texts, "loss": loss, "tokens": int(tokens.target_lengths.sum())}


def translate_shared(
    ranks: Ranks, lines: list[str], translate: Callable[[list[str]], list[Translation]], sharded: bool = False
) -> list[Translation]:
    """The translations of `lines`, of which each rank does a share; all get them all, in order.

    Where the model is `sharded`, each rank does them all, in step with the others.
    """
    if ranks.size == 1 or sharded:
        return ranks.passes(lambda: translate(lines))
    mine = ranks.share([len(line) for line in lines])
    found = translate([lines[i] for i in mine])
    shares = ranks.gather([[int(i), dataclasses.asdict(one)] for i, one in zip(mine, found, strict=True)])
    made = {i: Translation(**{**one, "alternatives": ()}) for share in shares for i, one in share}
    return [made[i] for i in range(len(lines))]
