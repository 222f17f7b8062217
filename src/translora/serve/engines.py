"""What translates: a base in memory once with any number of adapters, or a model of its own.

Engines are called by one thread at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open

from translora.config import Config, DecodingConfig
from translora.data.tokens import first_beyond
from translora.models.adapter import load_adapter
from translora.models.budget import Budget
from translora.models.families import family_of
from translora.models.load import LoadedModel, base_hash, load, quiet_transformers
from translora.models.t5.decode import Decoder, UnknownLayerError
from translora.models.tokenizer import has_tokenizer, load_tokenizer
from translora.translation import kept
from translora.translation.decode import Part, Translation, decode_parts, first_budget, make_decoder
from translora.translation.kept import Guard
from translora.translation.termed import Terminology, with_uses
from translora.translation.terms import Glossary
from translora.translation.translator import Translator


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


class Engine(Protocol):
    """Translates the lines of many requests together."""

    def key(self, work: Work) -> object:
        """Equal for works that can be translated together."""

    def run(self, works: Sequence[Work]) -> list[list[Translation]]:
        """The translations of the lines of each of `works`, whose keys are equal.

        Raises `OutOfMemoryError` where memory does not do even for single lines.
        """


class NotSharedError(Exception):
    """An adapter that needs a copy of the base of its own."""


class SharedBase:
    """A T5 model, once in memory, and the adapters on it."""

    def __init__(self, loaded: LoadedModel, decoder: Decoder, config: Config) -> None:
        self.loaded, self._decoder = loaded, decoder
        self._config = config
        self._hash = ""
        self._budgets: dict[int, Budget] = {}

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
        """Keep the adapter that `prepare` gave; returns its number. Not to be called while the engine runs."""
        try:
            return self._decoder.take(adapted, "default", name)
        except UnknownLayerError as error:
            raise NotSharedError(str(error)) from error

    def drop(self, adapter: int) -> None:
        """Forget an adapter. Not to be called while the engine runs."""
        self._decoder.drop(adapter)

    def key(self, work: Work) -> object:
        """Limits may differ; all else that steers the search may not."""
        decoding = work.translator.decoding(work.options.beams)
        return replace(decoding, max_tokens=1, max_ratio=1.0), work.options.scores

    def run(self, works: Sequence[Work]) -> list[list[Translation]]:
        """See `Engine`; an engine that ran out of memory goes on with smaller batches from then on."""
        guards = [work.translator.guard() for work in works]
        terms = [_terminology(work, guard) for work, guard in zip(works, guards, strict=True)]
        readings = [work.translator.read(work.lines, guard) for work, guard in zip(works, guards, strict=True)]
        pieces = [[piece for one in reading for piece in one.pieces] for reading in readings]
        texts = [guard.sent(mine) for guard, mine in zip(guards, pieces, strict=True)]
        sent = [own.sent(mine) if own else mine for own, mine in zip(terms, texts, strict=True)]
        parts = [self._part(work, mine) for work, mine in zip(works, sent, strict=True)]
        first = self._decoded(parts, works[0].options.scores)
        results = []
        for number, work in enumerate(works):
            engine, own, found, guard = self._again(work), terms[number], first[number], guards[number]
            decoding, scores = parts[number].decoding, work.options.scores
            if own:
                found = own.checked(texts[number], found, engine, decoding, scores)
                engine = own.engine(engine)
            whole = guard.checked(pieces[number], found, engine, decoding, scores)
            results.append(with_uses(work.lines, guard.together(readings[number], whole), own))
        return results

    def _part(self, work: Work, texts: Sequence[str], decoding: DecodingConfig | None = None) -> Part:
        loaded = work.translator.loaded
        assert isinstance(loaded, LoadedModel)
        wanted = decoding or work.translator.decoding(work.options.beams)
        return Part(loaded, texts, wanted, work.adapter, work.options.alternatives)

    def _decoded(self, parts: Sequence[Part], scores: bool) -> list[list[Translation]]:
        decoding = parts[0].decoding
        budget = self._budgets.setdefault(decoding.beams, first_budget(decoding))
        return decode_parts(parts, self._decoder, scores=scores, budget=budget)

    def _again(self, work: Work) -> kept.Engine:
        """What translates for `work` alone where a placeholder was lost."""

        def decode(
            texts: Sequence[str], decoding: DecodingConfig, advance: Callable[[int], None], scores: bool
        ) -> list[Translation]:
            return self._decoded([self._part(work, texts, decoding)], scores)[0]

        def candidates(texts: Sequence[str], decoding: DecodingConfig, scores: bool) -> list[list[Translation]]:
            part = replace(self._part(work, texts, decoding), alternatives=decoding.beams - 1)
            return [[one, *one.alternatives] for one in self._decoded([part], scores)[0]]

        return kept.Engine(decode, candidates)

    def _base_hash(self) -> str:
        self._hash = self._hash or base_hash(self._config)
        return self._hash


class Alone:
    """A model that nothing is shared with: an export, one of another architecture, an adapter that changes its base."""

    def key(self, work: Work) -> object:
        """All options must be equal."""
        return work.translator.decoding(work.options.beams), work.options.scores, work.options.glossary

    def run(self, works: Sequence[Work]) -> list[list[Translation]]:
        """See `Engine`; it gives no alternatives."""
        first = works[0]
        translator, guard = first.translator, first.translator.guard()
        lines, terms = [line for work in works for line in work.lines], _terminology(first, guard)
        readings, decoding = translator.read(lines, guard), translator.decoding(first.options.beams)
        found = translator.translated(readings, guard, decoding, scores=first.options.scores, terms=terms)
        each = iter(with_uses(lines, found, terms))
        return [[next(each) for _ in work.lines] for work in works]


def _terminology(work: Work, guard: Guard) -> Terminology | None:
    return work.translator.terminology(work.options.glossary, guard)


def for_pair(loaded: LoadedModel, source: str, target: str) -> LoadedModel:
    """The same model with the prompt of two languages; raises `ModelError` where it lacks one."""
    tokenizer = loaded.tokenizer
    family = family_of(loaded.model.config.model_type, type(tokenizer).__name__, tokenizer.get_vocab().keys(), target)
    return replace(loaded, family=family, prompt=family.prompt(source, target))


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
