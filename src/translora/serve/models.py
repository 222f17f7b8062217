"""The models that are served: found by name or by language pair, added and removed while requests go on."""

from __future__ import annotations

import dataclasses
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translora import mini
from translora.config import Config
from translora.errors import ConfigError, TransloraError
from translora.io import console
from translora.languages import matching_languages, same_language
from translora.models.load import LoadedModel, check_languages, model_folder
from translora.runs.folder import Run, adapter_folder
from translora.serve.engines import Alone, Engine, NotSharedError, Searching, SharedBase, for_pair
from translora.translation.configuration import Dtype, Shortlisting, translating_config
from translora.translation.decode import make_decoder
from translora.translation.exported import ExportedModel, read_marker
from translora.translation.shortlist import with_shortlist
from translora.translation.translator import Translator

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The names that an adapter may have: they stand in addresses and in metrics."""

BASE = ":base"
"""Ends the name of an adapter's base in figures and answers; no model's own name holds a colon."""

Pair = tuple[str, str]
"""Source and target language code."""

Exclusive = Callable[[Callable[[], Any]], Any]
"""Calls a function between two steps of the engines, and returns its result."""


@dataclass(eq=False)
class Served:
    """A model under the name by which it is asked for."""

    name: str
    kind: str
    """`adapter`, `model` or `export`."""
    engine: Engine
    translators: dict[Pair, Translator]
    """Its translator for each of its language pairs, the main one first."""
    adapter: int = -1
    """The number of its adapter in a shared engine."""
    base: str = ""
    """The base model as the recipe named it."""
    report: Path | None = None
    """The report of the run that it comes from."""
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What the address of its report ends with; it cannot be guessed."""
    retired: bool = False
    """Whether it was removed: what is under way is finished, and nothing new begins."""

    @property
    def pairs(self) -> list[Pair]:
        """Its language pairs, the main one first."""
        return list(self.translators)

    def pair(self, source: str, target: str) -> Pair | None:
        """Its language pair that means these languages; an empty code means any."""
        fitting = [
            pair
            for pair in self.translators
            if (not source or same_language(source, [pair[0]])) and (not target or same_language(target, [pair[1]]))
        ]
        return fitting[0] if fitting else None

    def without_adapter(self) -> Served:
        """Its base alone, under the name `NAME:base`; only for an adapter whose base is shared."""
        return dataclasses.replace(self, name=f"{self.name}{BASE}", kind="model", adapter=-1, report=None)

    @property
    def shared(self) -> bool:
        """Whether its base is in memory once for all of its adapters."""
        return isinstance(self.engine, SharedBase)


@dataclass(frozen=True)
class Loading:
    """How models are loaded."""

    source: str = ""
    """The source language of models that do not state theirs."""
    target: str = ""
    device: str = ""
    dtype: Dtype | None = None
    shortlist: Shortlisting | None = None
    """Instead of each model's own."""


class Models:
    """All models that are served."""

    def __init__(self, loading: Loading, exclusive: Exclusive = lambda work: work()) -> None:
        self._loading = loading
        self.exclusive = exclusive
        """Set by whoever runs the engines in another thread."""
        self._served: dict[str, Served] = {}
        self._bases: dict[object, SharedBase] = {}
        self._changing, self._loading_one = threading.Lock(), threading.Lock()
        self.failed: dict[str, str] = {}
        """Why a model could not be loaded, by its name."""

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._served.values()))

    def __len__(self) -> int:
        return len(self._served)

    def get(self, name: str) -> Served | None:
        """The model of that name."""
        return self._served.get(name)

    def find(self, source: str, target: str) -> tuple[Served, Pair] | None:
        """The model for two languages: adapters before others, and the one that was given first."""
        for served in sorted(self, key=lambda one: one.kind != "adapter"):
            if pair := served.pair(source, target):
                return served, pair
        return None

    def pairs(self) -> list[Pair]:
        """All language pairs, each once."""
        return list(dict.fromkeys(pair for served in self for pair in served.pairs))

    def languages(self, side: int) -> list[str]:
        """The language codes of the sources (0) or the targets (1)."""
        return list(dict.fromkeys(pair[side] for pair in self.pairs()))

    def known(self, code: str, side: int) -> str | None:
        """The code among the sources (0) or targets (1) that means `code`."""
        return next(iter(matching_languages(code, self.languages(side))), None)

    def load_all(self, paths: list[str]) -> None:
        """Load each of `paths` (`NAME=PATH` or a path); one that fails is noticed and leaves the others.

        Raises `ConfigError` for two of one name, and where all fail, the error of the first.
        """
        named = [split_name(path) for path in paths]
        for name, path in named:
            if sum(name == other for other, _ in named) > 1:
                raise ConfigError(f"two models are named {name}: give one another name, as in other={path}")
        errors = []
        for name, path in named:
            try:
                self.add(name, path)
            except TransloraError as error:
                errors.append(error)
                self.failed[name] = str(error)
                if len(named) > 1:
                    console.notice(f"{name} is not served: {error}")
        if not self._served:
            raise errors[0]

    def add(self, name: str, path: str) -> Served:
        """Load the model at `path` and serve it as `name`; may be called while engines run.

        Raises `ConfigError` for a name that is taken or none, and what loading raises.
        """
        with self._loading_one:
            if not NAME.fullmatch(name):
                raise ConfigError(f"{name!r} is no name for a model: use letters, digits, '-', '_' and '.'")
            if name in self._served:
                raise ConfigError(f"a model named {name} is served already: remove it first or choose another name")
            try:
                served = self._load(name, path)
                served.report = report_of(Path(path))
                with self._changing:
                    self._served = {**self._served, name: served}
            finally:
                self._forget_unused_bases()
            self.failed.pop(name, None)
            return served

    def remove(self, name: str) -> Served | None:
        """Serve that model no more; returns it, for `release` once nothing is left to do for it."""
        with self._changing:
            served = self._served.get(name)
            if served:
                served.retired = True
                self._served = {key: one for key, one in self._served.items() if key != name}
            return served

    def release(self, served: Served) -> None:
        """Give back the memory of a removed model, of which no request is left; only to be called between two steps."""
        if isinstance(served.engine, SharedBase) and served.adapter >= 0:
            served.engine.drop(served.adapter)
        if not self._loading_one.locked():  # one that is being loaded may be on the same base
            self._forget_unused_bases()

    def _forget_unused_bases(self) -> None:
        with self._changing:
            used = [one.engine for one in self]
            self._bases = {key: base for key, base in self._bases.items() if base in used}

    def _load(self, name: str, path: str) -> Served:
        marker = read_marker(Path(path))
        options = dataclasses.asdict(self._loading)
        if marker or Run(Path(path)).config_file.exists():  # which state their languages
            options |= {"source": "", "target": ""}
        if marker and marker.format == "ctranslate2":
            return _alone(name, "export", Translator.from_pretrained(path, **options))
        folder, config = adapter_folder(Path(path)), translating_config(path, **options)
        check_languages(config)
        base = self._base(config)
        if folder is None:
            return _whole(name, base, config)
        if isinstance(base, SharedBase):
            try:
                loaded, adapted = base.prepare(folder, config)
                loaded = with_shortlist(loaded, folder, config.decoding)
                number = self.exclusive(lambda: base.take(adapted, name))
            except NotSharedError as reason:
                console.notice(f"{name} has a copy of its base of its own: {reason}")
            else:
                both = config.data.both_directions
                return Served(name, "adapter", base, _translators(loaded, config, both), number, config.model)
        return _alone(name, "adapter", Translator.from_pretrained(path, **options))

    def _base(self, config: Config) -> SharedBase | LoadedModel:
        key = model_folder(config.model, config.revision).resolve(), config.device, config.dtype
        if key not in self._bases:
            base = SharedBase.load(dataclasses.replace(config, init="pretrained"))
            if not isinstance(base, SharedBase):
                return base  # its tokenizer is set to two languages
            self._bases[key] = base
        return self._bases[key]


def _whole(name: str, base: SharedBase | LoadedModel, config: Config) -> Served:
    """A model without an adapter."""
    folder = model_folder(config.model, config.revision)
    if isinstance(base, SharedBase):
        both = config.data.both_directions or folder == mini.MODEL
        loaded = with_shortlist(base.loaded, folder, config.decoding)
        return Served(name, "model", base, _translators(loaded, config, both), base=config.model)
    loaded = with_shortlist(base, folder, config.decoding)
    return Served(name, "model", Alone(), _one_pair(Translator(loaded, config)), base=config.model)


def _alone(name: str, kind: str, translator: Translator) -> Served:
    loaded = translator.loaded
    decoder = None if isinstance(loaded, ExportedModel) else make_decoder(loaded)
    engine = Alone() if decoder is None or isinstance(loaded, ExportedModel) else Searching(loaded, decoder)
    return Served(name, kind, engine, _one_pair(translator), base=translator.config.model)


def _one_pair(translator: Translator) -> dict[Pair, Translator]:
    translator.guard()  # is made of the whole vocabulary: before the first request
    return {(translator.config.source, translator.config.target): translator}


def _translators(loaded: LoadedModel, config: Config, both: bool) -> dict[Pair, Translator]:
    """A translator for the configuration's direction, and where the model has learnt `both`, for the other."""
    pairs = [(config.source, config.target)]
    if both:
        pairs.append((config.target, config.source))
    made: dict[Pair, Translator] = {}
    for pair in pairs:
        translator = Translator(for_pair(loaded, *pair), dataclasses.replace(config, source=pair[0], target=pair[1]))
        made |= _one_pair(translator)
    return made


def report_of(path: Path) -> Path | None:
    """The report in a run folder, given by itself or by its adapter; None where there is none of its own."""
    folder = path.parent if path.name == "adapter" else path
    file = Run(folder).report
    return file.resolve() if Run(folder).config_file.exists() and file.is_file() and not file.is_symlink() else None


def split_name(path: str) -> tuple[str, str]:
    """The name and the path of `NAME=PATH`; a path alone has the name of its folder, `RUN/adapter` that of the run."""
    name, equals, rest = path.partition("=")
    if equals and NAME.fullmatch(name):
        return name, rest
    folder = Path(path)
    last = folder.resolve().name if folder.exists() else folder.name
    if last == "adapter" and adapter_folder(folder):
        last = folder.resolve().parent.name
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")[:64]
    return cleaned or "model", path
