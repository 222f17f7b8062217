"""As much of DeepL's interface as its client and Weblate use to translate texts."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from translora.io.files import sha256
from translora.languages import same_language
from translora.serve import described
from translora.serve.codes import deepl_source, deepl_targets, name_of
from translora.serve.engines import Options
from translora.serve.glossaries import Stored, entries_of
from translora.serve.parameters import parameters, text, texts
from translora.serve.protocols.own import header_key, service_of
from translora.serve.refusals import RefusalError
from translora.serve.service import Service, Translated
from translora.translation.terms import Glossary

router = APIRouter(prefix="/v2", tags=["DeepL"])

_SURE = 0.9
"""So probable must it be that a text is in the target language already to be left as it is."""
_NO_LIMIT = 10**12
"""The characters that `/usage` says may be translated."""


_TRANSLATE = described.body(
    "text target_lang", text=described.TEXTS, source_lang=described.TEXT, target_lang=described.TEXT,
    tag_handling=described.choice("xml", "html"), ignore_tags=described.TEXTS, formality=described.TEXT,
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
    options = Options(glossary=await _glossary(service, found, (source, target), _owner(request, found)))
    handling = text(found, "tag_handling")
    if handling not in ("", "xml", "html"):
        raise RefusalError(400, "Value for 'tag_handling' not supported.")
    if text(found, "formality") not in ("", "default", "prefer_more", "prefer_less"):
        raise RefusalError(400, "Value for 'formality' not supported: the models know none.")
    ignored = ",".join(texts(found, "ignore_tags") if "ignore_tags" in found else ()).replace(" ", "").split(",")
    given = texts(found, "text")
    service.settings.limits.check_texts(given)
    sources = await _sources(service, given, source, target)
    results: list[Translated | None] = [None] * len(given)
    for language in dict.fromkeys(sources):
        places = [i for i, one in enumerate(sources) if one == language]
        mine = [given[i] for i in places]
        if not source and same_language(language, [target]):
            done = [Translated(one) for one in mine]
        else:
            chosen = service.choose(language, target)
            done = await service.translate(request, chosen, mine, options, bool(handling), ignored)
        for i, one in zip(places, done, strict=True):
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
    """The source language of each text; where it is identified, `target` for what is surely in that language already.

    Raises `RefusalError` where nothing is translated into `target` from it.
    """
    to = service.models.known(target, 1)
    if to is None:
        raise RefusalError(400, "Value for 'target_lang' not supported.")
    if source:
        if service.models.find(source, target) is None:
            raise RefusalError(400, "Value for 'source_lang' not supported.")
        return [source] * len(given)
    codes = [code for code in service.models.languages(0) if service.models.find(code, target)]

    def identified(one: str) -> str:
        (likeliest, share), *rest = service.detector.languages(one, list(dict.fromkeys([*codes, to])))
        if likeliest in codes or (share >= _SURE and rest):
            return likeliest
        return rest[0][0] if rest else codes[0]

    return await asyncio.to_thread(lambda: [identified(one) for one in given])


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


async def _glossary(service: Service, found: dict[str, Any], languages: tuple[str, str], owner: str) -> Glossary | None:
    """The glossary that a request names. Raises `RefusalError` where there is none for its languages."""
    if found.get("glossary_ids"):
        raise RefusalError(400, "Value for 'glossary_ids' not supported: use glossary_id, and one glossary.")
    name = text(found, "glossary_id")
    if not name:
        return None
    stored = service.glossaries.get(name, owner)
    if not languages[0]:
        raise RefusalError(400, "Value for 'source_lang' is required with a glossary.")
    if tuple(map(deepl_source, languages)) != (deepl_source(stored.source), deepl_source(stored.target)):
        raise RefusalError(400, f"The glossary is for {stored.source} to {stored.target}.")
    return await asyncio.to_thread(lambda: stored.glossary)


@router.get("/glossary-language-pairs")
async def glossary_language_pairs(request: Request) -> dict[str, Any]:
    """The languages that glossaries may have: all that are translated."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    pairs = dict.fromkeys((deepl_source(a), deepl_source(b)) for one in service.models for a, b in one.pairs)
    return {"supported_languages": [{"source_lang": a.lower(), "target_lang": b.lower()} for a, b in pairs]}


@router.post("/glossaries", status_code=201)
async def create_glossary(request: Request) -> dict[str, Any]:
    """Store a glossary of `entries`, a text in the form `entries_format`."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    languages = text(found, "source_lang"), text(found, "target_lang")
    for name, code in zip(("source_lang", "target_lang"), languages, strict=True):
        if not code or service.models.known(code, int(name == "target_lang")) is None:
            raise RefusalError(400, f"Value for '{name}' not supported.")
    entries = entries_of(text(found, "entries"), text(found, "entries_format", "tsv"))
    pair = languages[0].lower(), languages[1].lower()
    add = partial(service.glossaries.add, text(found, "name"), pair, entries, _owner(request, found))
    return _shown(await asyncio.to_thread(add))


@router.get("/glossaries")
async def list_glossaries(request: Request) -> dict[str, Any]:
    """The glossaries of this key."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    return {"glossaries": [_shown(one) for one in service.glossaries.all(_owner(request, found))]}


@router.get("/glossaries/{glossary_id}")
async def get_glossary(request: Request, glossary_id: str) -> dict[str, Any]:
    """One glossary, without its entries."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    return _shown(service.glossaries.get(glossary_id, _owner(request, found)))


@router.get("/glossaries/{glossary_id}/entries")
async def get_glossary_entries(request: Request, glossary_id: str) -> Response:
    """The entries of a glossary, one per line, source and target with a tab between them."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    stored = service.glossaries.get(glossary_id, _owner(request, found))
    lines = "\n".join(f"{source}\t{target}" for source, target in stored.entries)
    return Response(lines, media_type="text/tab-separated-values; charset=utf-8")


@router.delete("/glossaries/{glossary_id}", status_code=204)
async def delete_glossary(request: Request, glossary_id: str) -> Response:
    """Forget a glossary."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    service.glossaries.remove(glossary_id, _owner(request, found))
    return Response(status_code=204)


def _shown(stored: Stored) -> dict[str, Any]:
    return {
        "glossary_id": stored.glossary_id,
        "ready": True,
        "name": stored.name,
        "source_lang": stored.source,
        "target_lang": stored.target,
        "creation_time": stored.created,
        "entry_count": len(stored.entries),
    }


def _key(request: Request, found: dict[str, Any]) -> str:
    return header_key(request, "DeepL-Auth-Key") or text(found, "auth_key")


def _owner(request: Request, found: dict[str, Any]) -> str:
    """Whose glossaries a request may see: those of its key, or where the server needs none everybody's."""
    if not service_of(request).settings.keys.required:
        return ""
    return sha256(_key(request, found))


def _check_key(service: Service, request: Request, found: dict[str, Any]) -> None:
    service.admit(request, _key(request, found), missing=403)
