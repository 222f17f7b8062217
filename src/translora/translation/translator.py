"""The public object: a model, loaded once, that translates, scores, and is saved and shared."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, get_args, overload

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from typing_extensions import Unpack

from translora.config import Config, DecodingConfig
from translora.data.given import given_corpus
from translora.data.pairs import Corpus
from translora.data.tokens import encode
from translora.errors import ConfigError, DataError, ModelError
from translora.io.console import meter
from translora.io.files import file_hash, storage_errors
from translora.models.adapter import load_adapter
from translora.models.load import LoadedModel, base_hash, check_lengths, check_rows, load, model_folder
from translora.models.lora import merged
from translora.models.shortlist import Shortlist
from translora.models.t5.decode import Decoder
from translora.runs.folder import Run, adapter_folder
from translora.scoring.metrics import Scores, evaluate
from translora.translation.configuration import Dtype, Shortlisting, translating_config
from translora.translation.decode import make_decoder
from translora.translation.exported import ExportedModel, read_marker, refuse_shortlist
from translora.translation.interface import Strings
from translora.translation.kept import NOT_READ, Engine, Guard, Reading, engine_of, term_marks, with_context
from translora.translation.memory import Memory
from translora.translation.notes import Notes
from translora.translation.result import Translation
from translora.translation.segments import ENDLESS, parts_of, sentences
from translora.translation.sharing import upload, write_model
from translora.translation.shortlist import with_shortlist
from translora.translation.similar import with_match
from translora.translation.termed import Terminology, with_uses
from translora.translation.terms import Glossary

Protect = Literal["auto", "off"]
"""Whether placeholders, tags, addresses and escapes of a text are kept as they are."""


class _Options(TypedDict, total=False):
    """What may be asked of `Translator.translate` whatever it returns."""

    beams: int
    max_tokens: int
    progress: str
    protect: Protect
    patterns: Sequence[str]
    glossary: Glossary | None


class Translator:
    """A model and its tokenizer, ready to translate: `Translator.from_pretrained("mini").translate("Guten Tag!")`."""

    def __init__(
        self,
        loaded: LoadedModel | ExportedModel,
        config: Config,
        adapter: Path | None = None,
        run: Run | None = None,
    ) -> None:
        """`adapter` is the folder of the adapter that is merged into `loaded`, `run` the run that it is of."""
        self.loaded = loaded
        """The model with what belongs to it: its tokenizer and its prompt."""
        self.config = config
        """The run's configuration, or the default one, with the languages, the model and the decoding in use."""
        self._adapter, self._run = adapter, run
        self._decoder: Decoder | None = None
        self._guarded: tuple[tuple[str, tuple[str, ...]], Guard] | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        source: str = "",
        target: str = "",
        device: str = "",
        dtype: Dtype | None = None,
        max_tokens: int = 0,
        shortlist: Shortlisting | None = None,
    ) -> Translator:
        """Load a run folder, a PEFT adapter folder, an export, a model folder, a model of the hub, or `mini`.

        Languages, device, dtype and decoding are the run's unless they are given; without a run they are the defaults
        of `Config`. An adapter is merged into its base model. `shortlist` is `decoding.shortlist` of a recipe.

        Raises `ConfigError` or `ModelError` where there is no such model, or it lacks a language or a shortlist that
        was asked for.
        """
        path = Path(name)
        adapter = adapter_folder(path)
        config = translating_config(name, source, target, device, dtype, max_tokens, shortlist)
        marker = read_marker(path)
        if marker and marker.format == "ctranslate2":
            marker.require_languages(path, config.source, config.target)
            refuse_shortlist(path, config.decoding)
            return cls(ExportedModel.load(path, marker.prompt, config.device), config)
        with torch.random.fork_rng(devices=[]):
            loaded = load(config, adapter)
            if adapter:
                loaded.model = merged(load_adapter(loaded.model, adapter, lambda: base_hash(config)))
                check_rows(loaded)
        loaded = with_shortlist(loaded, adapter or model_folder(config.model, config.revision), config.decoding)
        return cls(loaded, config, adapter, Run(path) if Run(path).config_file.exists() else None)

    @property
    def model(self) -> PreTrainedModel:
        """The model of transformers, an adapter merged in; raises `ModelError` where CTranslate2 has it.

        Its weights are read when the first text is translated.
        """
        if isinstance(self.loaded, ExportedModel):
            raise ModelError(f"{self.loaded.name}: CTranslate2 has this model: load the run for one of transformers")
        return self.loaded.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of transformers."""
        return self.loaded.tokenizer

    @property
    def shortlist(self) -> Shortlist | None:
        """The tokens that translations may hold; None for the whole vocabulary."""
        return self.loaded.shortlist if isinstance(self.loaded, LoadedModel) else None

    @property
    def prompt(self) -> str:
        """What precedes each source text; it belongs to the model and the two languages."""
        return self.loaded.prompt

    def __repr__(self) -> str:
        return f"Translator({self.loaded.name!r}, {self.config.source!r} to {self.config.target!r})"

    @overload
    def translate(  # type: ignore[overload-overlap]  # a text is an iterable of texts too
        self, texts: str, *, details: Literal[False] = False, **options: Unpack[_Options]
    ) -> str: ...

    @overload
    def translate(  # type: ignore[overload-overlap]  # a text is an iterable of texts too
        self, texts: str, *, details: Literal[True], **options: Unpack[_Options]
    ) -> Translation: ...

    @overload
    def translate(
        self, texts: Iterable[str], *, details: Literal[False] = False, **options: Unpack[_Options]
    ) -> list[str]: ...

    @overload
    def translate(
        self, texts: Iterable[str], *, details: Literal[True], **options: Unpack[_Options]
    ) -> list[Translation]: ...

    def translate(
        self,
        texts: str | Iterable[str],
        *,
        beams: int = 0,
        max_tokens: int = 0,
        details: bool = False,
        progress: str = "",
        protect: Protect = "auto",
        patterns: Sequence[str] = (),
        glossary: Glossary | None = None,
    ) -> str | Translation | list[str] | list[Translation]:
        """Translate a text, or each of several, in order: a text gives a text, several give a list.

        `beams` and `max_tokens` default to the configuration's. With `details` each result is a `Translation`, which
        has the score of the text and says whether it was cut. `progress` is the name under which progress is shown;
        without one none is. A notice on the logger `translora` says how many translations reached their limit.

        Placeholders, tags, addresses, escapes and what the regular expressions `patterns` find are in each translation
        as often as in its text, unless `protect` is `off`; see `Translation.placeholders`.

        Terms of `glossary` (see `read_glossary`) are translated as it says where the model can be brought to it; see
        `Translation.terms`.

        Raises `DataError` for what is no text, and `ConfigError` for a limit that the model cannot reach or a pattern
        that is no regular expression.
        """
        lines = [texts] if isinstance(texts, str) else list(texts)
        for number, line in enumerate(lines, 1):
            if not isinstance(line, str):
                raise DataError(f"text {number} to translate is {type(line).__name__}: give a text, or a list of texts")
        found = self.decode(
            lines,
            beams=beams,
            max_tokens=max_tokens,
            scores=details,
            progress=progress,
            protect=protect,
            patterns=patterns,
            glossary=glossary,
        )
        results: list[str] | list[Translation] = found if details else [one.text for one in found]
        return results[0] if isinstance(texts, str) else results

    def decode(
        self,
        lines: Sequence[str],
        *,
        beams: int = 0,
        max_tokens: int = 0,
        scores: bool = False,
        progress: str = "",
        notes: Notes | None = None,
        advance: Callable[[int], None] = lambda lines: None,
        protect: Protect = "auto",
        patterns: Sequence[str] = (),
        memory: Memory | None = None,
        fuzzy: Protect = "auto",
        glossary: Glossary | None = None,
    ) -> list[Translation]:
        """Translate `lines`, in order.

        A line of more tokens than training took (`data.max_tokens`) is translated sentence by sentence, and put
        together with the spaces that were between them; a sentence of more than twice as many is cut at commas or
        spaces. `notes`, for those who translate in parts, collects what there is to say of the lines; without it that
        is said at the end. `advance` is called with the number of lines that are done since the last call. `protect`,
        `patterns` and `glossary` are those of `translate`. What `memory` has is taken from it; a model that was
        trained with `data.fuzzy` gets the fuzzy matches of other lines too, unless `fuzzy` is `off`.
        """
        decoding, guard = self.decoding(beams, max_tokens), self.guard(protect, patterns)
        terms = self.terminology(glossary, guard)
        known = memory.matches(lines) if memory else {}
        strings = Strings(lines, protect == "auto")
        readings = [NOT_READ if i in known else one for i, one in enumerate(self.read(strings.texts, guard))]
        if memory and fuzzy == "auto" and self.config.data.fuzzy == "memory":
            readings = [with_context(one, partial(self._matched, memory)) for one in readings]
        if progress:
            with meter(progress, sum(len(one.pieces) for one in readings), "sentences") as shown:
                results = self.translated(readings, guard, decoding, shown.advance, scores, terms)
        else:
            results = self.translated(readings, guard, decoding, advance, scores, terms)
        for i, found in known.items():
            results.insert(i, Translation(found, origin="memory"))
        advance(len(known))
        branches = partial(self.decode, beams=beams, max_tokens=max_tokens, scores=scores, glossary=glossary)
        results = with_uses(lines, strings.completed(results, partial(branches, patterns=patterns)), terms)
        own = notes or self.notes(progress or "translate", "max_tokens=")
        own.add(readings, results, decoding)
        if notes is None:
            own.say()
        return results

    def _matched(self, memory: Memory, line: str) -> str:
        """What a model that was trained with fuzzy matches reads of a line."""
        found = memory.similar(line, self.config.data.fuzzy_least)
        return line if found is None else with_match(line, found)

    def decoding(self, beams: int = 0, max_tokens: int = 0) -> DecodingConfig:
        """How lines are translated: the configuration's, but for what is given.

        Raises `ConfigError` for a limit that the model cannot reach.
        """
        own = self.config.decoding
        found = dataclasses.replace(own, beams=beams or own.beams, max_tokens=max_tokens or own.max_tokens)
        if isinstance(self.loaded, LoadedModel):
            check_lengths(self.loaded, dataclasses.replace(self.config, decoding=found))
        return found

    def guard(self, protect: Protect = "auto", patterns: Sequence[str] = ()) -> Guard:
        """What keeps placeholders and tags; see `translate`. Raises `ConfigError` for what is no regular expression."""
        key = protect, tuple(patterns)
        if self._guarded is None or self._guarded[0] != key:
            if protect not in get_args(Protect):
                raise ConfigError(f"protect: must be one of 'auto', 'off', not {protect!r}")
            terms = bool(self.config.data.glossary)
            self._guarded = key, Guard(self.tokenizer, self.config.source, patterns, protect == "auto", terms)
        return self._guarded[1]

    def read(self, lines: Sequence[str], guard: Guard) -> list[Reading]:
        """How each of `lines` is read: protected, and in sentences where it has more tokens than training took."""
        return [guard.read(line, partial(self._sentences, guard.mark)) for line in lines]

    def translated(
        self,
        readings: Sequence[Reading],
        guard: Guard,
        decoding: DecodingConfig,
        advance: Callable[[int], None] = lambda pieces: None,
        scores: bool = False,
        terms: Terminology | None = None,
    ) -> list[Translation]:
        """The translation of each line, as `read` gives it; nothing is said of them."""
        flat = [piece for one in readings for piece in one.pieces]
        engine = terms.engine(self._engine()) if terms else self._engine()
        return guard.together(readings, guard.translate(flat, engine, decoding, advance, scores))

    def terminology(self, glossary: Glossary | None, guard: Guard) -> Terminology | None:
        """A glossary as this model follows it: with annotations only where it was trained with `data.glossary`."""
        if glossary is None:
            return None
        return Terminology(glossary, term_marks(self.tokenizer) if self.config.data.glossary else None, guard.spans)

    def _engine(self) -> Engine:
        """What translates texts."""
        loaded = self.loaded
        if isinstance(loaded, ExportedModel):
            return Engine(loaded.decode, loaded.candidates)
        self._decoder = self._decoder or make_decoder(loaded)
        return engine_of(loaded, self._decoder)

    def _sentences(self, mark: re.Pattern[str], text: str, reads: Callable[[str], str]) -> list[list[str]]:
        found = sentences(text, self.config.source, lambda text: self._is_long(reads(text)))
        return [
            parts_of(one, lambda part: not self._is_long(reads(part)), mark)
            if self._is_long(reads(one), ENDLESS)
            else [one]
            for one in found
        ]

    def notes(self, label: str, flag: str, first: int = 0) -> Notes:
        """An empty collection of what there is to say of lines; see `decode`."""
        return Notes(label, flag, self.loaded.name, self.tokenizer, self.config.data.max_tokens, first)

    def _is_long(self, line: str, times: int = 1) -> bool:
        """Whether a line has more than so many times the tokens that training took."""
        most = times * self.config.data.max_tokens
        return len(line.encode()) >= most and len(next(encode([line], self.tokenizer, self.prompt))) > most

    @property
    def identity(self) -> str:
        """A hash of the weights: of the adapter, which names its base, or of the model."""
        if isinstance(self.loaded, ExportedModel):
            return file_hash(Path(self.loaded.name) / "model.bin")
        if self._adapter:
            return file_hash(self._adapter / "adapter_model.safetensors")
        return base_hash(self.config)

    @property
    def scored_as(self) -> Protect:
        """How texts are protected where a model is scored: as its run was, and by default not at all."""
        return "auto" if self.config.data.placeholders == "protect" else "off"

    def score(self, pairs: Corpus | Iterable[tuple[str, str]], *, beams: int = 0, max_tokens: int = 0) -> Scores:
        """Translate the sources of `pairs` and score the translations against their targets.

        `pairs` is whatever `translora.train` takes as pairs: a list of (source, target), a frame of pandas, a data set
        of `datasets`.

        Raises `DataError` for what is no pair of texts.
        """
        corpus = given_corpus(pairs, self.config.source, self.config.target, "pairs")
        found = self.decode(corpus.sources, beams=beams, max_tokens=max_tokens, protect=self.scored_as)
        return evaluate([one.text for one in found], corpus.targets, self.config.target)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the adapter in PEFT's format or the export as it was read, or the whole model in transformers' format.

        A model card, `README.md`, lies beside it. What `folder` held under these names before is replaced.

        Raises `StorageError` where it cannot be written, and `ModelError` where the adapter is no longer there.
        """
        target = Path(folder)
        with storage_errors(target):
            target.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=target) as name:
                self._build(Path(name))
                for file in Path(name).iterdir():
                    os.replace(file, target / file.name)

    def _build(self, folder: Path) -> None:
        write_model(folder, self.loaded, self.config, self._adapter, self._run)

    def push_to_hub(self, name: str, *, private: bool | None = None, token: str | None = None) -> str:
        """Upload what `save_pretrained` writes to the model `name` (`USER/MODEL`) of the hub; returns its address.

        The repository is made where it is missing. `token` defaults to the one that `hf auth login` stored.

        Raises `ModelError` where the hub cannot be reached or refuses.
        """
        with tempfile.TemporaryDirectory() as folder:
            self._build(Path(folder))
            return upload(Path(folder), name, private, token)
