"""As much of DeepL's interface as its client and Weblate use to translate texts."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from translora.serve import described
from translora.serve.codes import deepl_source, deepl_targets, name_of
from translora.serve.engines import Options
from translora.serve.parameters import parameters, text, texts
from translora.serve.protocols.own import header_key, service_of
from translora.serve.refusals import RefusalError
from translora.serve.service import Service, Translated

router = APIRouter(prefix="/v2", tags=["DeepL"])

_NO_LIMIT = 10**12
"""The characters that `/usage` says may be translated."""


_TRANSLATE = described.body(
    "text target_lang", text=described.TEXTS, source_lang=described.TEXT, target_lang=described.TEXT,
    tag_handling=described.choice("xml", "html"),
)  # fmt: skip


@router.post("/translate", openapi_extra=_TRANSLATE)
async def translate(request: Request) -> dict[str, Any]:
    """Translate `text`, one or several, to `target_lang`; without `source_lang` the language is identified."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    if not found.get("text"):
        raise RefusalError(400, "Parameter 'text' not specified.")
    target, source = text(found, "target_lang"), text(found, "source_lang")
    if not target:
        raise RefusalError(400, "Value for 'target_lang' not supported.")
    handling = text(found, "tag_handling")
    if handling not in ("", "xml", "html"):
        raise RefusalError(400, "Value for 'tag_handling' not supported.")
    given = texts(found, "text")
    service.settings.limits.check_texts(given)
    sources = await _sources(service, given, source, target)
    results: list[Translated | None] = [None] * len(given)
    for language in dict.fromkeys(sources):
        places = [i for i, one in enumerate(sources) if one == language]
        chosen = service.choose(language, target)
        mine = [given[i] for i in places]
        for i, one in zip(
            places, await service.translate(request, chosen, mine, Options(), bool(handling)), strict=True
        ):
            results[i] = one
    billed = str(found.get("show_billed_characters", "")).lower() in ("true", "1")
    return {
        "translations": [
            {"detected_source_language": deepl_source(language), "text": one.text if one else ""}
            | ({"billed_characters": len(original)} if billed else {})
            for language, one, original in zip(sources, results, given, strict=True)
        ]
    }


async def _sources(service: Service, given: list[str], source: str, target: str) -> list[str]:
    """The source language of each text. Raises `RefusalError` where nothing is translated into `target` from it."""
    if service.models.known(target, 1) is None:
        raise RefusalError(400, "Value for 'target_lang' not supported.")
    if source:
        if service.models.find(source, target) is None:
            raise RefusalError(400, "Value for 'source_lang' not supported.")
        return [source] * len(given)
    codes = [code for code in service.models.languages(0) if service.models.find(code, target)]
    return await asyncio.to_thread(lambda: [service.detector.languages(one, codes)[0][0] for one in given])


@router.get("/languages", openapi_extra=described.query("", type=described.choice("source", "target")))
async def languages(request: Request) -> list[dict[str, Any]]:
    """The source languages, or with `type=target` the target languages."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    if text(found, "type") != "target":
        codes = dict.fromkeys(map(deepl_source, service.models.languages(0)))
        return [{"language": code, "name": name_of(code)} for code in codes]
    targets = dict.fromkeys(one for code in service.models.languages(1) for one in deepl_targets(code))
    return [{"language": code, "name": name_of(code), "supports_formality": False} for code in targets]


@router.get("/usage")
async def usage(request: Request) -> dict[str, int]:
    """The characters that were translated since the server started."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    return {"character_count": service.characters, "character_limit": _NO_LIMIT}


def _check_key(service: Service, request: Request, found: dict[str, Any]) -> None:
    key = header_key(request, "DeepL-Auth-Key") or text(found, "auth_key")
    service.admit(request, key, missing=403)
