"""What all protocols call: texts in, translations out, with the limits, the queue and the figures in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request

from translora.errors import OutOfMemoryError, TransloraError
from translora.runs.folder import adapter_folder
from translora.serve.batcher import Batcher
from translora.serve.detection import Detector
from translora.serve.engines import Options
from translora.serve.files import Files
from translora.serve.glossaries import Glossaries
from translora.serve.keys import ApiKeys, Caller
from translora.serve.limits import Limits
from translora.serve.metrics import Metrics
from translora.serve.models import BASE, Models, Pair, Served
from translora.serve.refusals import GONE, RefusalError
from translora.serve.texts import Piece, pieces_of, restored
from translora.translation.result import Translation
from translora.translation.tally import together
from translora.translation.terms import TermUse

Result = TypeVar("Result")


@dataclass(frozen=True)
class Translated:
    """A text of a client, translated."""

    text: str
    score: float | None = None
    """The mean log-probability per token, where asked for and the text is one line."""
    cut: bool = False
    """Whether part of it reached its limit."""
    alternatives: tuple[Translated, ...] = ()
    """The next best translations, the best first."""
    terms: tuple[TermUse, ...] = ()
    """The terms of the request's glossary that it has, and how many were honoured."""


@dataclass(frozen=True)
class Settings:
    """How the server behaves."""

    limits: Limits = field(default_factory=Limits)
    keys: ApiKeys = field(default_factory=ApiKeys)
    beams: int = 0
    """The beams of requests that do not ask for a number; 0 stands for each model's own."""
    adapters_root: Path | None = None
    """The folder below which adapters may be added; without it none may."""
    origins: tuple[str, ...] = ()
    """The web pages that browsers may call the server from."""
    glossaries: Path | None = None
    """The folder of stored glossaries; without it they are in memory."""


_DOCUMENTS = 4
"""So many documents are translated at a time; each holds one of asyncio's threads, of which there are five at least."""


class Service:
    """The models, the queue and the figures of one server."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self.models, self.settings = models, settings
        self.metrics = Metrics(lambda: self.batcher.room.used)
        self.batcher = Batcher(settings.limits.queue_lines, settings.limits.patience, self.metrics)
        self.detector = Detector()
        self.files = Files()
        self.documents = asyncio.Semaphore(_DOCUMENTS)
        """Held by each document that is under way."""
        self.glossaries = Glossaries(settings.glossaries)
        models.exclusive = self.batcher.exclusive
        self.characters = 0
        """How many characters were translated."""
        self.draining = False
        """Whether the server is about to end."""

    def admit(self, request: Request, key: str | None, missing: int = 401) -> None:
        """Take note of who asks. Raises `RefusalError` for a wrong key, and with the status `missing` for none."""
        request.state.caller = self.settings.keys.check(key, missing)

    async def spend(self, request: Request, characters: int) -> None:
        """Count a request that was admitted once, and so many characters; waits where its key has rates.

        Raises `RefusalError` where the rates are used up, or the client is gone.
        """
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None:
            return
        requests = 0 if getattr(request.state, "counted", False) else 1
        request.state.counted = True
        await unless_gone(request, caller.spend(requests, characters, self.settings.limits.patience))

    def choose(self, source: str = "", target: str = "", name: str = "") -> tuple[Served, Pair]:
        """The model of that name, or for these languages; empty codes mean any where there is a name.

        Raises `RefusalError` where there is none.
        """
        if not name:
            found = self.models.find(source, target)
            if found is None:
                raise RefusalError(400, f"{source or 'any language'} to {target or 'any language'} is not supported")
            return found
        served = self.models.get(name)
        if served is None:
            raise RefusalError(404, f"no model named {name} is served")
        pair = served.pair(source, target)
        if pair is None:
            raise RefusalError(
                400, f"{name} does not translate {source or 'any language'} to {target or 'any language'}"
            )
        return served, pair

    def without_adapter(self, chosen: tuple[Served, Pair]) -> tuple[Served, Pair]:
        """The base of an adapter; raises `RefusalError` for what is no adapter, and where its base is not shared."""
        served, pair = chosen
        if served.kind != "adapter":
            raise RefusalError(400, f"{served.name} is not an adapter: it has no base of its own")
        if not served.shared:
            raise RefusalError(400, f"{served.name} changes its base, which is not in memory without it")
        return served.without_adapter(), pair

    async def translate(
        self,
        request: Request,
        chosen: tuple[Served, Pair],
        texts: Sequence[str],
        options: Options,
        markup: bool = False,
        ignored: Collection[str] = (),
    ) -> list[Translated]:
        """Translate `texts`, line by line; with `markup` the text between tags alone, not that of `ignored` elements.

        Raises `RefusalError` for too much of anything, where the server is too busy, or the client is gone.
        """
        options = self.checked(texts, options)
        await self.spend(request, sum(map(len, texts)))
        pieces = [pieces_of(text, markup, ignored) for text in texts]
        lines = [piece.text for parts in pieces for piece in parts if piece.translated]
        found = iter(await self.lines(request, chosen, lines, options, self.settings.limits.seconds))
        return [_translated(parts, [next(found) for piece in parts if piece.translated], options) for parts in pieces]

    def checked(self, texts: Sequence[str], options: Options) -> Options:
        """The options with the beams that they come to. Raises `RefusalError` for too much of anything."""
        limits = self.settings.limits
        limits.check_texts(texts)
        limits.check_beams(options.beams)
        beams = max(options.beams or self.settings.beams, options.alternatives + 1 if options.alternatives else 0)
        limits.check_beams(beams)
        return replace(options, beams=beams)

    async def lines(
        self, request: Request, chosen: tuple[Served, Pair], lines: Sequence[str], options: Options, seconds: float
    ) -> list[Translation]:
        """Translate `lines`, whose number and length were checked before, within so many seconds.

        Raises `RefusalError` where the server is too busy, or the client is gone.
        """
        return await unless_gone(request, self.work(chosen, lines, options, seconds))

    async def work(
        self, chosen: tuple[Served, Pair], lines: Sequence[str], options: Options, seconds: float
    ) -> list[Translation]:
        """Translate `lines` within so many seconds; cancelled, they leave the queue.

        Raises `RefusalError` where the server is too busy or too slow.
        """
        if not lines:
            return []
        if self.draining and not self.batcher.alive:
            raise RefusalError(503, "the server is going down", 1)
        try:
            found = await asyncio.wait_for(self.batcher.translate(*chosen, lines, options), seconds)
        except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
            raise RefusalError(503, f"not done within {self.settings.limits.seconds:g} seconds", 1) from error
        except OutOfMemoryError as error:
            raise RefusalError(503, "the server has no memory left for this request") from error
        characters = sum(map(len, lines))
        self.metrics.lines.labels(chosen[0].name).inc(len(lines))
        self.metrics.characters.labels(chosen[0].name).inc(characters)
        self.characters += characters
        return found

    async def add(self, name: str, folder: str) -> Served:
        """Serve the adapter in `folder`, which lies below the root of adapters.

        Raises `RefusalError` for another folder, a name that is taken, and what cannot be loaded.
        """
        path = self._below_root(folder)
        if self.models.get(name):
            raise RefusalError(409, f"a model named {name} is served already")
        try:
            return await asyncio.to_thread(self.models.add, name, str(path))
        except TransloraError as error:
            raise RefusalError(400, str(error)) from error

    def remove(self, name: str) -> None:
        """Serve that adapter no more; requests that wait for it are answered. Raises `RefusalError` without one."""
        found = self.models.get(name)
        if found is not None and found.kind != "adapter":
            raise RefusalError(400, f"{name} is not an adapter: only adapters can be removed")
        served = self.models.remove(name)
        if served is None:
            raise RefusalError(404, f"no adapter named {name} is served")
        self.batcher.retire(served, self._release)

    def _release(self, served: Served) -> None:
        self.models.release(served)
        if self.models.get(served.name) is None:
            for name in (served.name, served.name + BASE):
                self.metrics.forget(name)

    def _below_root(self, folder: str) -> Path:
        root = self.settings.adapters_root
        if root is None:
            raise RefusalError(403, "this server takes no adapters: it was started without --adapters-root")
        missing = RefusalError(400, "there is no adapter of that path below the root of adapters")
        try:
            root = root.resolve(strict=True)
            path = (root / folder).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise missing from error
        if path == root or not path.is_relative_to(root):
            raise missing
        found = adapter_folder(path)
        if found is None or not found.resolve().is_relative_to(root):
            raise missing
        if not all(file.resolve().is_relative_to(root) for place in (path, found) for file in place.iterdir()):
            raise missing
        return path


def _translated(pieces: Sequence[Piece], lines: Sequence[Translation], options: Options) -> Translated:
    """A text of its translated lines."""
    most = max((len(line.alternatives) for line in lines), default=0)
    ranked = []
    for number in range(most + 1):
        chosen = [[line, *line.alternatives][min(number, len(line.alternatives))] for line in lines]
        text = restored(pieces, iter([one.text for one in chosen]))
        score = chosen[0].score if options.scores and len(chosen) == 1 else None
        ranked.append(Translated(text, score, any(one.cut for one in chosen)))
    terms = together(use for line in lines for use in line.terms)
    return replace(ranked[0], alternatives=tuple(ranked[1:]), terms=terms)


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled where the client goes away; the request's body must have been read."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RefusalError(GONE, "the client is gone")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(receive: Callable[[], Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
