"""Training pairs with marks in place of placeholders, as they are translated, so that a model learns to place them."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from transformers import PreTrainedTokenizerBase

from translora.data.pairs import Corpus, Pair
from translora.errors import ConfigError
from translora.translation.kept import marks_of
from translora.translation.protect import Marks, Protector

_WORD = re.compile(r"\w+(?:[.,:/-]\w+)*")
_MOST_ADDED = 3
"""Words of a pair that get a mark."""
_AROUND = 0.3
"""The share of them that get two, as a word in tags does."""


@dataclass(frozen=True)
class ProtectedPairs:
    """Pairs, and how many of them hold placeholders."""

    corpus: Corpus
    protected: int
    """Pairs whose two sides hold the same, which have marks now."""
    left: int
    """Pairs whose sides differ, or hold more than there are marks, which are as they were."""
    added: int = 0
    """Pairs without any that got some."""


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


def protect_pairs(corpus: Corpus, protector: Protector, share: float = 0.0, seed: int = 0) -> ProtectedPairs:
    """Put marks in place of what both sides of a pair hold equally often, the same mark on both sides.

    A `share` of the pairs that hold nothing of the kind, drawn by `seed`, get marks too; see `added_marks`.
    """
    counts: Counter[str] = Counter()
    draw = random.Random(seed)

    def pairs() -> Iterator[Pair]:
        for pair in corpus:
            made = _protected(pair, protector)
            if made is None and share and draw.random() < share:
                counts["added"] += 1
                yield added_marks(pair, protector.marks, draw)
                continue
            counts["as it was" if made is None else "left" if made == pair else "protected"] += 1
            yield made or pair

    return ProtectedPairs(Corpus.of(pairs()), counts["protected"], counts["left"], counts["added"])


def added_marks(pair: Pair, marks: Marks, draw: random.Random) -> Pair:
    """A pair that holds no placeholders with marks on both sides, at places that mean the same.

    Up to three numbers and names that each side has once become marks, or stand between two as a word in tags does. A
    pair without them gets a mark before or behind the text, or one at each end. Half of the pairs count their marks
    from another one than the first, so that each is met.
    """
    first = draw.randrange(marks.count) if draw.random() < 0.5 else 0
    numbers = (marks[(first + i) % marks.count] for i in count())
    shared = _shared(pair)
    if not shared:
        mark = next(numbers)
        before, behind = draw.choice([(f"{mark} ", ""), ("", f" {mark}"), (mark, next(numbers))])
        return pair._replace(source=f"{before}{pair.source}{behind}", target=f"{before}{pair.target}{behind}")
    written: dict[str, str] = {}
    chosen = set(draw.sample(shared, min(len(shared), draw.randint(1, _MOST_ADDED))))
    for word in filter(chosen.__contains__, shared):  # in the order of the source
        around = draw.random() < _AROUND
        written[word] = f"{next(numbers)}{word}{next(numbers)}" if around else next(numbers)
    source, target = (_WORD.sub(lambda word: written.get(word[0], word[0]), text) for text in pair[:2])
    return pair._replace(source=source, target=target)


def _shared(pair: Pair) -> list[str]:
    """Numbers, and words with a capital, that both sides have once, in the order of the source."""
    counts = [Counter(_WORD.findall(text)) for text in (pair.source, pair.target)]
    return [
        word
        for word, times in counts[0].items()
        if times == counts[1][word] == 1 and (word[0].isdigit() or word[0].isupper())
    ]


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
