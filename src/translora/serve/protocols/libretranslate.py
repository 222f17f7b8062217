"""LibreTranslate's interface, version 1.9: `/translate`, `/languages`, `/detect`, `/frontend/settings`, `/suggest`."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from translora.documents.formats import endings
from translora.languages import same_language
from translora.serve import described
from translora.serve.codes import from_libre, libre_code, name_of
from translora.serve.engines import Options
from translora.serve.parameters import number, parameters, text, texts
from translora.serve.protocols.own import service_of
from translora.serve.refusals import RefusalError
from translora.serve.service import Service, Translated

router = APIRouter(tags=["LibreTranslate"])


_TRANSLATE = described.body(
    "q source target", q=described.TEXTS, source=described.TEXT, target=described.TEXT,
    format=described.choice("text", "html"), alternatives=described.NUMBER, api_key=described.TEXT,
)  # fmt: skip
_DETECT = described.body("q", q=described.TEXT, api_key=described.TEXT)


@router.post("/translate", openapi_extra=_TRANSLATE)
async def translate(request: Request) -> dict[str, Any]:
    """Translate `q`, a text or with JSON a list of texts, from `source` (a code or `auto`) to `target`."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    for name in ("q", "source", "target"):
        if not found.get(name) and not (name == "q" and isinstance(found.get(name), list)):
            raise RefusalError(400, f"Invalid request: missing {name} parameter")
    given = texts(found, "q")
    kind = text(found, "format") or "text"
    if kind not in ("text", "html"):
        raise RefusalError(400, f"{kind} format is not supported")
    service.settings.limits.check_texts(given)
    source, target = text(found, "source"), text(found, "target")
    options = Options(alternatives=number(found, "alternatives"))
    to = service.models.known(from_libre(target), 1)
    if to is None:
        raise RefusalError(400, f"{target} is not supported")
    detected = await _sources(service, given, source, to)
    groups = dict.fromkeys(language for language, _ in detected)
    results: list[Translated | None] = [None] * len(given)
    for language in groups:
        places = [i for i, (one, _) in enumerate(detected) if one == language]
        mine = [given[i] for i in places]
        for i, one in zip(
            places, await _translated(service, request, mine, (language, to), options, kind), strict=True
        ):
            results[i] = one
    return _answer([one for one in results if one], detected, isinstance(found["q"], str), source, options)


async def _translated(
    service: Service, request: Request, given: list[str], pair: tuple[str, str], options: Options, kind: str
) -> list[Translated]:
    source, target = pair
    if same_language(source, [target]):
        return [Translated(one) for one in given]
    if service.models.find(source, target) is None:
        name, code = name_of(target), libre_code(target)
        raise RefusalError(
            400, f"{name} ({code}) is not available as a target language from {name_of(source)} ({libre_code(source)})"
        )
    return await service.translate(request, service.choose(source, target), given, options, kind == "html")


def _answer(
    results: list[Translated], detected: list[tuple[str, float]], alone: bool, source: str, options: Options
) -> dict[str, Any]:
    """The answer, of lists or of single values where `alone`."""
    columns: dict[str, list[Any]] = {"translatedText": [one.text for one in results]}
    if source == "auto":
        columns["detectedLanguage"] = [_detected(*one) for one in detected]
    if options.alternatives:
        columns["alternatives"] = [[other.text for other in one.alternatives] for one in results]
    return {name: values[0] if alone else values for name, values in columns.items()}


@router.get("/languages")
async def languages(request: Request) -> list[dict[str, Any]]:
    """The languages, each with those that it can be translated into."""
    pairs = service_of(request).models.pairs()
    codes = dict.fromkeys(libre_code(code) for pair in pairs for code in pair)
    named = {libre_code(code): name_of(code) for pair in pairs for code in pair}
    return [
        {"code": code, "name": named[code], "targets": _unique(t for s, t in pairs if libre_code(s) == code)}
        for code in codes
    ]


@router.post("/detect", openapi_extra=_DETECT)
async def detect(request: Request) -> list[dict[str, Any]]:
    """The languages that `q` may be in, the likeliest first."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    if not found.get("q"):
        raise RefusalError(400, "Invalid request: missing q parameter")
    given = text(found, "q")
    service.settings.limits.check_texts([given])
    await service.spend(request, 0)
    ranked = await asyncio.to_thread(service.detector.languages, given, _all_codes(service))
    return [_detected(*one) for one in ranked if one[1] >= 0.01] or [_detected(*ranked[0])]


@router.get("/frontend/settings")
async def frontend_settings(request: Request) -> dict[str, Any]:
    """What LibreTranslate's page asks for."""
    service = service_of(request)
    pairs = service.models.pairs()
    first = [{"code": libre_code(code), "name": name_of(code)} for code in (pairs[0] if pairs else ("en", "en"))]
    return {
        "charLimit": service.settings.limits.characters,
        "frontendTimeout": 500,
        "apiKeys": service.settings.keys.required,
        "keyRequired": service.settings.keys.required,
        "suggestions": False,
        "filesTranslation": True,
        "supportedFilesFormat": [".txt", *endings()],
        "language": {"source": first[0], "target": first[1]},
    }


@router.post("/suggest")
async def suggest(request: Request) -> dict[str, bool]:
    """Accept a better translation, as clients expect; it is not kept."""
    service, found = service_of(request), await parameters(request)
    _check_key(service, request, found)
    return {"success": True}


@router.get("/spec")
async def spec(request: Request) -> dict[str, Any]:
    """The description of all routes, as OpenAPI."""
    found: dict[str, Any] = request.app.openapi()
    return found


def _check_key(service: Service, request: Request, found: dict[str, Any]) -> None:
    service.admit(request, text(found, "api_key"), missing=400)


async def _sources(service: Service, given: list[str], source: str, target: str) -> list[tuple[str, float]]:
    """The source language of each text, with the probability that it is the one."""
    if source != "auto":
        known = service.models.known(from_libre(source), 0) or service.models.known(from_libre(source), 1)
        if known is None:
            raise RefusalError(400, f"{source} is not supported")
        return [(known, 1.0)] * len(given)
    codes = _all_codes(service)

    def likeliest(one: str) -> tuple[str, float]:
        ranked = service.detector.languages(one, codes)
        fitting = [
            (code, share)
            for code, share in ranked
            if same_language(code, [target]) or service.models.find(code, target) is not None
        ]
        return fitting[0] if fitting else ranked[0]

    return await asyncio.to_thread(lambda: [likeliest(one) for one in given])


def _all_codes(service: Service) -> list[str]:
    return list(dict.fromkeys([*service.models.languages(0), *service.models.languages(1)]))


def _detected(code: str, share: float) -> dict[str, Any]:
    return {"confidence": round(100 * share, 1), "language": libre_code(code)}


def _unique(codes: Any) -> list[str]:
    return list(dict.fromkeys(map(libre_code, codes)))
