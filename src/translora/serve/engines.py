"""What translates: a base in memory once with any number of adapters, or a model of its own.

Requests are read, and results written, by any thread; groups of requests are translated by one thread.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import safe_open

from translora.config import Config, DecodingConfig
from translora.data.tokens import encode, first_beyond
from translora.models.adapter import load_adapter
from translora.models.budget import Budget
from translora.models.families import family_of
from translora.models.load import LoadedModel, base_hash, load, quiet_transformers
from translora.models.t5.decode import Decoder, UnknownLayerError
from translora.models.tokenizer import has_tokenizer, load_tokenizer
from translora.serve.scheduler import Group
from translora.translation import kept
from translora.translation.decode import Part, first_budget, make_decoder, translations
from translora.translation.result import Translation
from translora.translation.running import PartTicket, RunningSearch, Ticket
from translora.translation.termed import with_uses
from translora.translation.terms import Glossary
from translora.translation.translator import Translator

BATCH_LINES = 256
"""The most lines that are translated together by a model that is translated in batches."""


@dataclass(frozen=True)
class Options:
    """How lines are translated."""

    beams: int = 0
    """0 stands for the model's own number."""
    scores: bool = False
    alternatives: int = 0
    """The number of next best translations."""
    glossary: Glossary | None = None
    """Terms to follow."""


@dataclass(frozen=True, eq=False)
class Work:
    """Lines for one translator, with the number of its adapter (-1 is none)."""

    translator: Translator
    lines: Sequence[str]
    options: Options
    adapter: int = -1

    @property
    def characters(self) -> int:
        """How much there is to read."""
        return sum(map(len, self.lines))


Ask = Callable[[Ticket], Any]
"""Waits for the result of a ticket of the same engine; called by no event loop, nor the thread that translates."""


class Reading(NamedTuple):
    """A request as its engine reads it."""

    ticket: Ticket
    finish: Callable[[Any], list[Translation]]
    """The translations of the lines, of the result of the ticket."""
    tokens: Callable[[Any], tuple[int, int]]
    """How many tokens the sources and the translations have, of the result of the ticket."""
    plain: bool = True
    """Whether `finish` is quick; else it may translate again, and wait."""


class Engine(Protocol):
    """Translates the lines of many requests together."""

    def read(self, work: Work, ask: Ask) -> Reading:
        """What there is to translate for `work`; `ask` is for what must be translated again."""

    def group(self, ticket: Any) -> Group:
        """An empty group of those that can be translated together with `ticket`: their keys are equal.

        Its tickets get an `OutOfMemoryError` where memory does not do even for single lines.
        """


class NotSharedError(Exception):
    """An adapter that needs a copy of the base of its own."""


class Searching:
    """A model that translora's own decoder translates: requests join a search that is under way."""

    def __init__(self, loaded: LoadedModel, decoder: Decoder) -> None:
        self.loaded, self._decoder = loaded, decoder
        self._budgets: dict[int, Budget] = {}

    def read(self, work: Work, ask: Ask) -> Reading:
        """See `Engine`."""
        guard, scores = work.translator.guard(), work.options.scores
        lines = work.translator.read(work.lines, guard)
        pieces = [piece for one in lines for piece in one.pieces]
        texts, terms = guard.sent(pieces), work.translator.terminology(work.options.glossary, guard)
        ticket = PartTicket.of(self._part(work, terms.sent(texts) if terms else texts), scores)
        again = self._again(work, ask)

        def finish(found: Any) -> list[Translation]:
            first, decoding, engine = translations(ticket.part, ticket.tasks, found), ticket.part.decoding, again
            if terms:
                first = terms.checked(texts, first, again, decoding, scores)
                engine = terms.engine(again)
            whole = guard.checked(pieces, first, engine, decoding, scores)
            return with_uses(work.lines, guard.together(lines, whole), terms)

        return Reading(ticket, finish, ticket.tokens, terms is None and not any(piece.originals for piece in pieces))

    def group(self, ticket: PartTicket) -> Group:
        """See `Engine`; an engine that ran out of memory goes on with smaller batches from then on."""
        decoding = ticket.part.decoding
        budget = self._budgets.setdefault(decoding.beams, first_budget(decoding))
        return RunningSearch(self._decoder, ticket, budget)

    def _part(self, work: Work, texts: Sequence[str], decoding: DecodingConfig | None = None) -> Part:
        loaded = work.translator.loaded
        assert isinstance(loaded, LoadedModel)
        wanted = decoding or work.translator.decoding(work.options.beams)
        return Part(loaded, texts, wanted, work.adapter, work.options.alternatives)

    def _again(self, work: Work, ask: Ask) -> kept.Engine:
        """What translates for `work` alone where a placeholder was lost."""

        def asked(part: Part, scores: bool) -> list[Translation]:
            ticket = PartTicket.of(part, scores)
            return translations(part, ticket.tasks, ask(ticket))

        def decode(
            texts: Sequence[str], decoding: DecodingConfig, advance: Callable[[int], None], scores: bool
        ) -> list[Translation]:
            return asked(self._part(work, texts, decoding), scores)

        def candidates(texts: Sequence[str], decoding: DecodingConfig, scores: bool) -> list[list[Translation]]:
            part = replace(self._part(work, texts, decoding), alternatives=decoding.beams - 1)
            return [[one, *one.alternatives] for one in asked(part, scores)]

        return kept.Engine(decode, candidates)


class SharedBase(Searching):
    """A T5 model, once in memory, and the adapters on it."""

    def __init__(self, loaded: LoadedModel, decoder: Decoder, config: Config) -> None:
        super().__init__(loaded, decoder)
        self._config = config
        self._hash = ""

    @classmethod
    def load(cls, config: Config) -> SharedBase | LoadedModel:
        """The base that `config` names; the model alone where translora's own decoder does not know it."""
        loaded = load(config)
        decoder = make_decoder(loaded)
        return loaded if decoder is None else cls(loaded, decoder, config)

    def prepare(self, folder: Path, config: Config) -> tuple[LoadedModel, torch.nn.Module]:
        """The base with the tokenizer and prompt of the adapter in `folder`, and the adapter on layers of its own.

        Weights are shared with the base, which stays as it is; may be called while the engine runs.

        Raises `NotSharedError` where the adapter needs more than the base, and `ModelError` for one that does not fit.
        """
        if changed := [name for name in _tensors(folder) if ".lora_" not in name]:
            raise NotSharedError(f"it changes {changed[0]}")
        loaded = self.loaded
        tokenizer = loaded.tokenizer
        if has_tokenizer(folder):
            with quiet_transformers():
                tokenizer = load_tokenizer(folder, loaded.model.config)
        rows = loaded.model.get_input_embeddings().weight.shape[0]
        if first_beyond(tokenizer, rows) or tokenizer.eos_token_id != loaded.tokenizer.eos_token_id:
            raise NotSharedError("its vocabulary is larger")
        adapted = load_adapter(_with_own_layers(loaded), folder, self._base_hash)
        return for_pair(replace(loaded, tokenizer=tokenizer), config.source, config.target), adapted

    def take(self, adapted: torch.nn.Module, name: str) -> int:
        """Keep the adapter that `prepare` gave; returns its number. Only to be called between two steps."""
        try:
            return self._decoder.take(adapted, "default", name)
        except UnknownLayerError as error:
            raise NotSharedError(str(error)) from error

    def drop(self, adapter: int) -> None:
        """Forget an adapter of no request that is left. Only to be called between two steps."""
        self._decoder.drop(adapter)

    def _base_hash(self) -> str:
        self._hash = self._hash or base_hash(self._config)
        return self._hash


class Alone:
    """A model that is translated in batches: an export, or one of another architecture."""

    def read(self, work: Work, ask: Ask) -> Reading:
        """See `Engine`; all options must be equal."""
        key = work.translator.decoding(work.options.beams), work.options.scores, work.options.glossary
        ticket = WorkTicket(key, len(work.lines), work=work)
        return Reading(ticket, lambda found: found, partial(_tokens_of, work))

    def group(self, ticket: WorkTicket) -> Group:
        """See `Engine`."""
        return Batches()


@dataclass(eq=False)
class WorkTicket(Ticket):
    """A request to a model that is translated in batches; the result is its translations."""

    work: Work = field(kw_only=True)


class Batches:
    """Requests that are translated in batches: those that come while one is under way wait for the next."""

    def __init__(self) -> None:
        self.closed = self.running = False
        self.worked: Counter[str] = Counter()
        self._queue: deque[WorkTicket] = deque()

    @property
    def pending(self) -> int:
        """See `Group`."""
        return sum(ticket.size for ticket in list(self._queue))

    def add(self, ticket: WorkTicket) -> None:
        """See `Group`."""
        self._queue.append(ticket)

    def withdraw(self, ticket: WorkTicket) -> None:
        """See `Group`; a batch that is under way is finished all the same."""
        with suppress(ValueError):
            self._queue.remove(ticket)

    def step(self) -> bool:
        """Translate a batch, as `Group` describes; a request is never divided."""
        batch: list[WorkTicket] = []
        self.worked = Counter()
        with suppress(IndexError):
            while not batch or self.worked.total() + self._queue[0].size <= BATCH_LINES:
                batch.append(self._queue.popleft())
                self.worked[batch[-1].label] += batch[-1].size
        for ticket in batch:
            ticket.begun()
        if batch:
            self._translate(batch)
        return bool(self._queue) and not self.closed

    def _translate(self, batch: Sequence[WorkTicket]) -> None:
        try:
            found = translated_together([ticket.work for ticket in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].settle(error)
                return
            for ticket in batch:  # the others must not suffer from one
                self._translate([ticket])
            return
        for ticket, one in zip(batch, found, strict=True):
            ticket.settle(one)


def translated_together(works: Sequence[Work]) -> list[list[Translation]]:
    """The translations of the lines of each of `works`, whose translators and options are equal; no alternatives."""
    translator, options = works[0].translator, works[0].options
    guard = translator.guard()
    lines, terms = [line for work in works for line in work.lines], translator.terminology(options.glossary, guard)
    readings, decoding = translator.read(lines, guard), translator.decoding(options.beams)
    found = translator.translated(readings, guard, decoding, scores=options.scores, terms=terms)
    each = iter(with_uses(lines, found, terms))
    return [[next(each) for _ in work.lines] for work in works]


def for_pair(loaded: LoadedModel, source: str, target: str) -> LoadedModel:
    """The same model with the prompt of two languages; raises `ModelError` where it lacks one."""
    tokenizer = loaded.tokenizer
    family = family_of(loaded.model.config.model_type, type(tokenizer).__name__, tokenizer.get_vocab().keys(), target)
    return replace(loaded, family=family, prompt=family.prompt(source, target))


def _tokens_of(work: Work, found: Sequence[Translation]) -> tuple[int, int]:
    """How many tokens the lines of `work` and their translations `found` have, by the tokenizer of the model."""
    tokenizer, texts = work.translator.tokenizer, [one.text for one in found]
    rows = encode(work.lines, tokenizer, work.translator.prompt), encode(texts, tokenizer, target=True)
    return sum(map(len, rows[0])), sum(map(len, rows[1]))


def _with_own_layers(loaded: LoadedModel) -> torch.nn.Module:
    """A copy of the model whose parameters are other objects on the same memory."""
    shared = [*loaded.model.parameters(), *loaded.model.buffers()]
    memo: dict[int, torch.Tensor] = {}
    for tensor in shared:
        data = tensor.detach()
        memo[id(tensor)] = torch.nn.Parameter(data, False) if isinstance(tensor, torch.nn.Parameter) else data
    copied: torch.nn.Module = copy.deepcopy(loaded.model, memo)
    return copied


def _tensors(folder: Path) -> list[str]:
    """The names of the tensors of an adapter; none where its file cannot be read, which its loader says better."""
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as tensors:
            return list(tensors.keys())
    except Exception:
        return []
