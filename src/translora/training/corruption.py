"""Span corruption, the task that T5, mT5, UMT5 and ByT5 learn before any other (Raffel et al. 2020, section 3.1.4).

Spans of a text are replaced by sentinel tokens in the source; the target has each sentinel and the text behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from translora.data.tokens import Batch, TokenisedCorpus, encode
from translora.models.load import LoadedModel
from translora.models.t5.forward import is_t5

_SHARE = 0.15
"""The share of tokens that is replaced."""
_SPAN, _BYTE_SPAN = 3, 20
"""Tokens to a span, and bytes to one in ByT5."""
_LAST_BYTE = 258
"""ByT5's first sentinel: it takes the last of the bytes, downwards (Xue et al. 2022, section 3)."""
_MOST_SENTINELS = 100


def sentinels(translator: LoadedModel) -> list[int]:
    """The ids of the sentinels of a model, in the order of their use; none for one that was not trained with them."""
    if not is_t5(translator.model):
        return []
    if translator.family.name == "byt5":
        return list(range(_LAST_BYTE, _LAST_BYTE - _MOST_SENTINELS, -1))
    vocabulary = translator.tokenizer.get_vocab()
    ids = []
    for number in range(_MOST_SENTINELS):
        name = f"<extra_id_{number}>"
        found = vocabulary.get(f"▁{name}", vocabulary.get(name))  # mT5 has them as pieces
        if found is None:
            break
        ids.append(found)
    return ids


def span_corruption(translator: LoadedModel, texts: Sequence[str], max_tokens: int) -> Batch | None:
    """`texts`, each cut to `max_tokens`, as examples of span corruption; None where the model has no sentinels.

    Spans are placed evenly, so that nothing is random; as in T5's training, the last one ends the text.
    """
    marks, sources, targets = sentinels(translator), [], []
    span = _BYTE_SPAN if translator.family.name == "byt5" else _SPAN
    end = translator.tokenizer.eos_token_id
    for row in encode(list(texts), translator.tokenizer):
        ids = row[:-1][:max_tokens]
        replaced = max(1, round(_SHARE * len(ids)))
        count = max(1, min(round(replaced / span), len(marks)))
        if not marks or len(ids) < 2 * count:
            continue
        source, target = [], []
        for i in range(count):
            part = ids[i * len(ids) // count : (i + 1) * len(ids) // count]
            width = (i + 1) * replaced // count - i * replaced // count
            source += [*part[:-width], marks[i]]
            target += [marks[i], *part[-width:]]
        sources.append([*source, end])
        targets.append([*target, end])
    if not sources:
        return None
    kind = pa.large_list(pa.int32())
    table = pa.table({"source": pa.array(sources, kind), "target": pa.array(targets, kind)})
    examples = TokenisedCorpus(table, int(translator.tokenizer.pad_token_id))
    return examples.batch(examples.all_indices())
