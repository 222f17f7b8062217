"""The changes by training: scores by source length, the pairs that changed most, and the words that differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from translora.scoring.metrics import bleu

_BUCKETS = ((1, 5), (6, 10), (11, 20), (21, 40), (41, 10_000))
"""Words of the source, first and last."""
_FEWEST = 5
"""A bucket of fewer pairs says nothing."""


class Bucket(NamedTuple):
    """Pairs whose sources are of about the same length."""

    name: str
    pairs: int
    scores: list[float]
    """Corpus BLEU of each list of translations."""


def by_length(
    sources: Sequence[str], references: Sequence[str], systems: Sequence[Sequence[str]], target: str
) -> list[Bucket]:
    """Corpus BLEU of each of `systems` on the pairs of each source length; buckets of fewer than five are left out."""
    words = [len(source.split()) for source in sources]
    buckets = []
    for first, last in _BUCKETS:
        chosen = [i for i, count in enumerate(words) if first <= count <= last]
        if len(chosen) >= _FEWEST:
            name = f"{first} to {last} words" if last < _BUCKETS[-1][1] else f"{first} words and more"
            picked = [references[i] for i in chosen]
            scores = [bleu([system[i] for i in chosen], picked, target) for system in systems]
            buckets.append(Bucket(name, len(chosen), scores))
    return buckets


class Change(NamedTuple):
    """One pair before and after, with the words marked that differ from the reference."""

    number: int
    """The pair's place in the test set, from 1."""
    source: str
    reference: str
    before: Markup
    after: Markup
    change: float
    """chrF2++ of the sentence after less that before."""


def most_changed(
    sources: Sequence[str], references: Sequence[str], before: Sequence[str], after: Sequence[str], count: int = 10
) -> tuple[list[Change], list[Change]]:
    """The `count` pairs that gained most and the `count` that lost most, by sentence chrF2++ (Popović 2017)."""
    from sacrebleu.metrics import CHRF

    metric = CHRF(word_order=2)

    def score(text: str, reference: str) -> float:
        return float(metric.sentence_score(text, [reference]).score)

    gains = [score(new, ref) - score(old, ref) for old, new, ref in zip(before, after, references, strict=True)]
    ranked = sorted(range(len(gains)), key=lambda i: gains[i])
    best = [i for i in reversed(ranked[-count:]) if gains[i] > 0]
    worst = [i for i in ranked[:count] if gains[i] < 0]

    def change(i: int) -> Change:
        old, new = (marked_words(text[i], references[i]) for text in (before, after))
        return Change(i + 1, sources[i], references[i], old, new, gains[i])

    return [change(i) for i in best], [change(i) for i in worst]


def marked_words(text: str, reference: str) -> Markup:
    """`text` as HTML, the words in `mark` that the reference does not have there."""
    words = text.split()
    matcher = difflib.SequenceMatcher(None, words, reference.split(), autojunk=False)
    same = {i for block in matcher.get_matching_blocks() for i in range(block.a, block.a + block.size)}
    shown = (Markup("{}") if i in same else Markup("<mark>{}</mark>") for i in range(len(words)))
    return Markup(" ").join(template.format(word) for template, word in zip(shown, words, strict=True))
