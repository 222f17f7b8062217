"""Training pairs with marks in place of placeholders, as they are translated, so that a model learns to place them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from translora.data.pairs import Corpus, Pair
from translora.errors import ConfigError
from translora.translation.kept import marks_of
from translora.translation.protect import Protector


@dataclass(frozen=True)
class ProtectedPairs:
    """Pairs, and how many of them hold placeholders."""

    corpus: Corpus
    protected: int
    """Pairs whose two sides hold the same, which have marks now."""
    left: int
    """Pairs whose sides differ, or hold more than there are marks, which are as they were."""


def marks_protector(tokenizer: PreTrainedTokenizerBase, model: str, terms: bool = False) -> Protector:
    """The protector with the pieces of a vocabulary; raises `ConfigError` where `model` has none.

    With `terms` pieces are left over for terms.
    """
    marks, taught = marks_of(tokenizer, terms)
    if marks is None or not taught:
        raise ConfigError(
            f"data.placeholders: the vocabulary of {model} has no pieces <ph0>, <ph1>, ... to put in place of "
            f"placeholders: leave it at keep"
        )
    return Protector(marks)


def protect_pairs(corpus: Corpus, protector: Protector) -> ProtectedPairs:
    """Put marks in place of what both sides of a pair hold equally often, the same mark on both sides."""
    counts: Counter[str] = Counter()

    def pairs() -> Iterator[Pair]:
        for pair in corpus:
            made = _protected(pair, protector)
            counts["as it was" if made is None else "left" if made == pair else "protected"] += 1
            yield made or pair

    return ProtectedPairs(Corpus.of(pairs()), counts["protected"], counts["left"])


def _protected(pair: Pair, protector: Protector) -> Pair | None:
    """The pair with marks; the pair itself where its sides differ, and None where neither holds anything."""
    source, target = protector.found(pair.source), protector.found(pair.target)
    if not source and not target:
        return None
    parts = protector.protect(pair.source)
    if Counter(source) != Counter(target) or len(parts) > 1:
        return pair
    marks = {original: mark for mark, original in parts[0].originals.items()}
    text = pair.target
    for start, end in reversed(protector.spans(text)):
        text = text[:start] + marks[text[start:end]] + text[end:]
    return pair._replace(source=parts[0].text, target=text)
