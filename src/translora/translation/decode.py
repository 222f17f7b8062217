"""From lines of text to translations: one line in, one line out, in order, whatever the lines hold.

Models of the T5 architecture are translated by translora's own decoder and search, others by transformers' `generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from peft import PeftModel

from translora.config import DecodingConfig
from translora.data.batching import Ints, batches_within, sorted_batches
from translora.data.placeholders import texts_of
from translora.data.tokens import encode, shortened
from translora.io.files import one_line
from translora.models.budget import Budget
from translora.models.hardware import free_memory_bytes
from translora.models.load import LoadedModel
from translora.models.quantise import is_quantised
from translora.models.t5.decode import Decoder, UnknownLayerError, cache_shape, copied_bytes
from translora.translation.choices import Rules
from translora.translation.generate import Generated, generate, start_token
from translora.translation.result import Translation, limit_name, limit_of
from translora.translation.search import Hypothesis, Line
from translora.translation.shortlist import needs_generate, require_shortlist, without_shortlists
from translora.translation.workers import most_workers, search_in_threads

_MOST_ROWS = 128
"""Lines times beams that a thread has under way at a time on a CPU: more fill no more of it."""
_GROWTH = 2.0
"""A cache that grows is there twice for a moment."""
_HEAP_GROWTH = 1.6
"""The same on a CPU, where a cache that changes its size leaves holes in the heap: a run of the demo grew so much."""
_SPARE_COLUMNS = 1.5
"""How many columns a cache may have for each token of its longest translation: it grows by half."""
_COPIES = 0.5
"""The largest share of the free memory that copies of the weights may take."""


def make_decoder(translator: LoadedModel) -> Decoder | None:
    """Translora's own decoder with the weights that the model has now; None for a model that needs `generate`.

    Where memory is short it reads the weights in place, which is slower, else it has copies.
    """
    if needs_generate(translator):
        return None
    copy = copies_fit(translator)
    try:
        return Decoder(translator.model, translator.dtype, copy)
    except UnknownLayerError:
        return None


def copies_fit(translator: LoadedModel, taken: int = 0) -> bool:
    """Whether the decoder has room for copies of the weights, `taken` bytes of the free memory being spoken for."""
    free = free_memory_bytes(translator.device) - taken
    return copied_bytes(translator.model, translator.dtype) <= _COPIES * free


def decoding_bytes(translator: LoadedModel, decoding: DecodingConfig, lengths: Ints, taken: int) -> int:
    """The bytes that translating takes at most beside the model, sources having `lengths` tokens, shape (lines,).

    They are the copies of the weights, unless `taken` bytes leave no room for them, those of the head's rows for a
    shortlist, and what is kept of each line.
    A translation that runs on is still there when lines of usual length are under way, so there are as many lines as
    of these, with room for the longest translation each.
    """
    model = translator.model
    if translator.path != "fast":  # `generate` needs the adapter merged, into a copy
        merges = isinstance(model, PeftModel) and not is_quantised(model)
        return sum(p.numel() * p.element_size() for p in model.parameters()) if merges else 0
    longest, usual = int(lengths.max()), max(1, int(np.median(lengths)))
    threads = most_workers(translator.device)
    lines = places(translator, decoding, usual, first_budget(decoding).tokens, threads)
    copies = copied_bytes(model, translator.dtype) if copies_fit(translator, taken) else 0
    if copies and decoding.shortlist != "off" and translator.shortlist:
        copies += len(translator.shortlist) * model.config.d_model * translator.dtype.itemsize
    columns = round(_SPARE_COLUMNS * limit_of(longest, decoding))
    line = cache_shape(model, translator.dtype).line_bytes(decoding.beams, longest, columns)
    growth = _HEAP_GROWTH if translator.device.type == "cpu" else _GROWTH
    return copies + round(growth * min(lines, len(lengths)) * line)


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
    decoder: Decoder | None = None,
) -> list[Translation]:
    """Translate each of `lines`; an empty line gives an empty line, and a translation never holds a line break.

    Lines are taken longest first; `progress` is called with the number of lines that were finished since the last
    call. A line that is longer than the model's positions reach is cut there. A translation ends after
    `decoding.max_ratio` times its source's tokens (plus ten) at the latest, and within `decoding.max_tokens`. With
    `scores` each translation is also scored. `decoder` is that of `make_decoder`, for those who translate often.
    """
    (found,) = decode_parts([Part(translator, lines, decoding)], decoder or make_decoder(translator), progress, scores)
    return found


def candidates(
    translator: LoadedModel,
    lines: Sequence[str],
    decoding: DecodingConfig,
    scores: bool = False,
    decoder: Decoder | None = None,
) -> list[list[Translation]]:
    """For each of `lines` as many translations as beams, the best first; see `decode`.

    A model that translora's own decoder does not know gives only its best.
    """
    part = Part(translator, lines, decoding, alternatives=decoding.beams - 1)
    (found,) = decode_parts([part], decoder or make_decoder(translator), scores=scores)
    return [[one, *one.alternatives] for one in found]


@dataclass(frozen=True)
class Part:
    """Lines that are translated by one adapter, in a batch with those of others on the same base."""

    translator: LoadedModel
    """The base, with the adapter's tokenizer and prompt."""
    lines: Sequence[str]
    decoding: DecodingConfig
    """Of several parts, all but the limits must be equal, and the shortlists of their models too."""
    adapter: int = -1
    """The number of the adapter among the decoder's; -1 is none."""
    alternatives: int = 0
    """How many of the next best translations to give; there are at most as many as beams less one."""


def decode_parts(
    parts: Sequence[Part],
    decoder: Decoder | None,
    progress: Callable[[int], None] = lambda done: None,
    scores: bool = False,
    budget: Budget | None = None,
) -> list[list[Translation]]:
    """Translate the lines of all `parts` together, as `decode` does those of one; several parts need a `decoder`.

    `budget`, for those who translate often, remembers that memory ran out. Alternatives need a `decoder` too.
    """
    first = parts[0]
    assert len({part.translator.shortlist for part in parts}) == 1
    if decoder is None and first.decoding.shortlist != "off":
        raise without_shortlists(first.translator)
    tasks = [encoded(part) for part in parts]
    lines = [line for own in tasks for line in own]
    job = _Job(first.translator, lines, first.decoding, scores, progress, budget or first_budget(first.decoding))
    made = iter(job.generated() if decoder is None else job.searched(decoder))
    results = [translations(part, own, [next(made) for _ in own]) for part, own in zip(parts, tasks, strict=True)]
    progress(sum(len(part.lines) for part in parts) - len(lines))
    return results


def encoded(part: Part) -> list[Task]:
    """The lines of `part` that are not empty, as the model reads them."""
    filled = [i for i, line in enumerate(part.lines) if line.strip()]
    ids = encode([part.lines[i] for i in filled], part.translator.tokenizer, part.translator.prompt)
    return [Task(part, i, row, _within_limit(part.translator, row)) for i, row in zip(filled, ids, strict=True)]


def translations(part: Part, tasks: Sequence[Task], found: Sequence[Sequence[Generated]]) -> list[Translation]:
    """A translation of each line of `part`, of the hypotheses that were `found` for each of its `tasks`."""
    results = [Translation("")] * len(part.lines)
    most = 1 + part.alternatives
    texts = iter(texts_of([one.ids for several in found for one in several[:most]], part.translator.tokenizer))
    for task, several in zip(tasks, found, strict=True):
        best, *others = (task.translation(next(texts), one) for one in several[:most])
        results[task.number] = replace(best, alternatives=tuple(others))
    return results


@dataclass(frozen=True, eq=False)
class Task:
    """A line to translate."""

    part: Part
    number: int
    """Its place in the part."""
    whole: list[int]
    """Its token ids."""
    row: list[int]
    """Those that the model reads."""

    @property
    def limit(self) -> int:
        """The most tokens of its translation."""
        return limit_of(len(self.row), self.part.decoding)

    def line(self, number: int) -> Line:
        """The line for a search."""
        return Line(number, self.row, self.limit, self.part.adapter)

    def translation(self, text: str, one: Generated) -> Translation:
        """The translation that one hypothesis is, whose text is `text`."""
        limit = limit_name(len(self.row), self.part.decoding) if one.cut else ""
        return Translation(one_line(text), one.score, limit, len(self.row) < len(self.whole))


@dataclass(frozen=True)
class _Job:
    """Lines to translate."""

    translator: LoadedModel
    lines: list[Task]
    decoding: DecodingConfig
    scores: bool
    progress: Callable[[int], None]
    budget: Budget

    def searched(self, decoder: Decoder) -> list[list[Generated]]:
        """The hypotheses of each line, by the decoder; what is finished stays so where memory runs out in between."""
        done: dict[int, list[Generated]] = {}
        rules = rules_of(self.translator, self.decoding, self.scores)

        def found(number: int, hypotheses: list[Hypothesis]) -> None:
            done[number] = kept_of(hypotheses, self.lines[number].part, self.scores)
            self.progress(1)

        def work(most: int) -> None:
            left = [line.line(i) for i, line in enumerate(self.lines) if i not in done]
            threads = most_workers(self.translator.device)

            def room(longest: int) -> int:
                return places(self.translator, self.decoding, longest, most, threads)

            search_in_threads(decoder, left, rules, room, found)

        self.budget.run(work)
        return [done[i] for i in range(len(self.lines))]

    def generated(self) -> list[list[Generated]]:
        """Translate by transformers' `generate`, in batches sorted by length: one hypothesis of each line."""
        lengths = np.array([len(line.row) for line in self.lines], dtype=np.int64)
        alone = lengths, np.zeros_like(lengths)
        done: dict[int, Generated] = {}
        for batch in sorted_batches(*alone, self.budget.tokens):

            def work(most: int, batch: Ints = batch) -> list[Generated]:
                parts = batches_within(batch, *alone, most)
                return [one for part in parts for one in self._generated(part)]

            done.update(zip(batch.tolist(), self.budget.run(work), strict=True))
            self.progress(len(batch))
        return [[done[i]] for i in range(len(self.lines))]

    def _generated(self, part: Ints) -> list[Generated]:
        rows, limits = [self.lines[i].row for i in part], [self.lines[i].limit for i in part]
        return generate(self.translator, rows, limits, self.decoding, self.scores)


def rules_of(translator: LoadedModel, decoding: DecodingConfig, scores: bool) -> Rules:
    """How a search goes by `decoding`; raises `ConfigError` where it asks for a shortlist that the model lacks."""
    return Rules(
        start_token(translator),
        translator.tokenizer.eos_token_id,
        decoding.beams,
        decoding.length_penalty,
        decoding.no_repeat_ngram_size,
        decoding.repetition_penalty,
        scores,
        require_shortlist(translator, decoding),
    )


def kept_of(hypotheses: Sequence[Hypothesis], part: Part, scores: bool) -> list[Generated]:
    """What is kept of the hypotheses of a line of `part`."""
    return [
        Generated(one.ids, one.log_probability / one.chosen if scores and one.chosen else None, one.cut)
        for one in hypotheses[: 1 + part.alternatives]
    ]


def first_budget(decoding: DecodingConfig) -> Budget:
    """How many padded source tokens to translate at a time."""
    return Budget(max(1, decoding.batch_tokens // decoding.beams))


def places(translator: LoadedModel, decoding: DecodingConfig, longest: int, most: int, threads: int = 1) -> int:
    """How many lines are under way at a time, where the longest has `longest` tokens and `most` are allowed.

    `threads` search at a time.
    """
    found = most // longest
    if translator.device.type == "cpu":
        found = min(found, threads * _MOST_ROWS // decoding.beams)
    return max(1, found)


def _within_limit(translator: LoadedModel, row: list[int]) -> list[int]:
    """`row`, cut where the model has no more positions (T5 always has)."""
    most = translator.most_positions
    return shortened(row, most, translator.tokenizer) if most and len(row) > most else row
