"""translora's own routes: `/v1/translate`, `/v1/models`, `/v1/adapters`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from translora.serve.engines import Options
from translora.serve.events import TYPE, Event, EventStream, wanted
from translora.serve.glossaries import glossary_of
from translora.serve.models import Pair, Served
from translora.serve.refusals import RefusalError
from translora.serve.service import Service, unless_gone
from translora.serve.service import Translated as Done
from translora.serve.stream import parts

router = APIRouter(prefix="/v1", tags=["translora"])


class TranslateRequest(BaseModel):
    """Texts to translate."""

    model_config = ConfigDict(extra="forbid")

    texts: str | list[str] = Field(description="A text or several.")
    adapter: str = Field("", description="The model, by name; without it one is chosen by the languages.")
    base: bool = Field(False, description="Whether to translate by the base of the adapter, without the adapter.")
    source: str = Field("", description="The source language.")
    target: str = Field("", description="The target language.")
    beams: int = Field(0, ge=0, description="The beam size; 0 is the server's.")
    scores: bool = Field(False, description="Whether to give the mean log-probability per token of each text.")
    alternatives: int = Field(0, ge=0, description="How many next best translations to give; beams are raised to it.")
    glossary: list[tuple[str, str]] = Field(
        [], max_length=1_000, description="Source terms and their translations, to be used where they occur."
    )
    format: Literal["text", "html"] = Field("text", description="Whether to translate the text between tags alone.")
    stream: bool = Field(False, description="Whether to answer with server-sent events, one for each sentence.")


class Candidate(BaseModel):
    """A translation that is not the best."""

    text: str
    score: float | None = None


class TermCount(BaseModel):
    """A term of the request's glossary in one text."""

    source: str
    target: str
    occurred: int = Field(description="How often it is in the text.")
    honoured: int = Field(description="How many of these are translated as the glossary says.")


class Translated(BaseModel):
    """A translated text."""

    text: str
    score: float | None = Field(None, description="Null where it was not asked for, or the text is several lines.")
    cut: bool = Field(description="Whether the translation reached its limit and is cut there.")
    alternatives: list[Candidate] = Field([], description="The next best translations, the best first.")
    terms: list[TermCount] = Field([], description="The terms of the glossary that the text has.")


class TranslateAnswer(BaseModel):
    """The translations, in order."""

    adapter: str = Field(description="The model that translated.")
    source: str
    target: str
    translations: list[Translated]


class AdapterRequest(BaseModel):
    """An adapter to serve."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, description="A run or adapter folder, relative to the root of adapters.")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def service_of(request: Request) -> Service:
    """The service behind the request's application."""
    found: Service = request.app.state.service
    return found


def header_key(request: Request, scheme: str) -> str | None:
    """The key of an `Authorization` header of that scheme; None without one."""
    given, _, key = request.headers.get("authorization", "").partition(" ")
    if given.lower() != scheme.lower():
        return None
    return key.strip().encode("latin-1").decode("utf-8", "replace")


def _check(request: Request) -> Service:
    service = service_of(request)
    service.admit(request, header_key(request, "Bearer"))
    return service


@router.post("/translate", response_model=TranslateAnswer, responses={200: {"content": {TYPE: {}}}})
async def translate(request: Request, asked: TranslateRequest) -> TranslateAnswer | Response:
    """Translate texts by the adapter of a name, or by the first that knows the languages.

    With `stream`, or where `Accept` names `text/event-stream`, the answer is server-sent events: `start`, then
    `translation` for each sentence in order, then `end`, or `error` in place of what is missing.
    """
    service = _check(request)
    if not (asked.adapter or asked.source or asked.target) and len(service.models) > 1:
        raise RefusalError(400, "name an adapter or the languages: several models are served")
    chosen = service.choose(asked.source, asked.target, asked.adapter)
    if asked.base:
        chosen = service.without_adapter(chosen)
    texts = [asked.texts] if isinstance(asked.texts, str) else asked.texts
    glossary = await asyncio.to_thread(glossary_of, asked.glossary, *chosen[1]) if asked.glossary else None
    options = Options(asked.beams, asked.scores, asked.alternatives, glossary)
    if asked.stream or wanted(request.headers.get("accept", "")):
        return await _stream(request, service, chosen, texts, (options, asked.format == "html"))
    found = await service.translate(request, chosen, texts, options, asked.format == "html")
    return TranslateAnswer(**_chosen(chosen), translations=[_answered(one) for one in found])


async def _stream(
    request: Request, service: Service, chosen: tuple[Served, Pair], texts: list[str], how: tuple[Options, bool]
) -> Response:
    """The answer as events; `how` is the options and whether the texts are markup.

    Raises `RefusalError` for what goes wrong before the first event: that has a status of its own.
    """
    options, markup = how
    if options.alternatives:
        raise RefusalError(400, "alternatives are not streamed: ask for them without stream")
    options = service.checked(texts, options)
    await service.spend(request, sum(map(len, texts)))
    found = parts(service, chosen, texts, options, markup)
    first = await unless_gone(request, anext(found, None))

    async def events() -> AsyncGenerator[Event, None]:
        try:
            yield "start", _chosen(chosen)
            if first:
                yield "translation", asdict(first)
            async for one in found:
                yield "translation", asdict(one)
            yield "end", {"texts": len(texts)}
        finally:
            await found.aclose()

    return EventStream(events())


def _chosen(chosen: tuple[Served, Pair]) -> dict[str, str]:
    """What translates."""
    served, (source, target) = chosen
    return {"adapter": served.name, "source": source, "target": target}


def _answered(one: Done) -> Translated:
    terms = [TermCount.model_validate(use.as_dict()) for use in one.terms]
    others = [Candidate(text=other.text, score=other.score) for other in one.alternatives]
    return Translated(text=one.text, score=one.score, cut=one.cut, alternatives=others, terms=terms)


@router.get("/models")
async def models(request: Request) -> dict[str, Any]:
    """The models that are served, and the names of those that could not be loaded."""
    service = _check(request)
    return {"models": [_shown(one) for one in service.models], "failed": sorted(service.models.failed)}


@router.post("/adapters", status_code=201)
async def add_adapter(request: Request, asked: AdapterRequest) -> dict[str, Any]:
    """Load an adapter from below the root of adapters, while requests go on."""
    service = _check(request)
    await service.spend(request, 0)
    return _shown(await service.add(asked.name, asked.path))


@router.delete("/adapters/{name}")
async def remove_adapter(request: Request, name: str) -> dict[str, str]:
    """Serve an adapter no more; requests that wait for it are still answered."""
    _check(request).remove(name)
    return {"removed": name}


def _shown(served: Served) -> dict[str, Any]:
    pairs = [{"source": source, "target": target} for source, target in served.pairs]
    report = f"reports/{served.ticket}" if served.report else None
    return {
        "name": served.name, "kind": served.kind, "languages": pairs, "shares_base": served.shared, "report": report,
    }  # fmt: skip
