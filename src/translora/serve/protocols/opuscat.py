"""OPUS-CAT's interface, for its plug-ins of CAT tools. Their addresses differ in case, so paths are matched without."""

from __future__ import annotations

from fastapi import APIRouter, Request

from translora.languages import subtags
from translora.serve import described
from translora.serve.engines import Options
from translora.serve.protocols.own import service_of
from translora.serve.refusals import RefusalError
from translora.serve.service import Service

PREFIX = "/mtrestservice"
router = APIRouter(prefix=PREFIX, tags=["OPUS-CAT"])

_LANGUAGES = {name: described.TEXT for name in ("srcLangCode", "trgLangCode", "modelTag", "tokenCode")}
_PAIR = described.query("srcLangCode trgLangCode", **_LANGUAGES)
_TRANSLATE = described.query("input srcLangCode trgLangCode", input=described.TEXT, **_LANGUAGES)


@router.get("/translatejson", openapi_extra=_TRANSLATE)
async def translate(request: Request) -> dict[str, str]:
    """Translate `input` from `srcLangCode` to `trgLangCode`, by the adapter `modelTag` where one is named."""
    service, found = _begin(request)
    if "input" not in found:
        raise RefusalError(400, "the parameter input is missing")
    source, target = _languages(found)
    chosen = service.choose(source, target, found.get("modeltag", ""))
    (one,) = await service.translate(request, chosen, [found["input"]], Options())
    return {"translation": one.text}


@router.get("/listsupportedlanguagepairs")
async def pairs(request: Request) -> list[str]:
    """The language pairs, such as `de-en`."""
    service, _ = _begin(request)
    named = (f"{subtags(source).language}-{subtags(target).language}" for source, target in service.models.pairs())
    return list(dict.fromkeys(named))


@router.get("/getlanguagepairmodeltags", openapi_extra=_PAIR)
async def tags(request: Request) -> list[str]:
    """The names of the models for two languages."""
    service, found = _begin(request)
    source, target = _languages(found)
    return [served.name for served in service.models if served.pair(source, target)]


@router.get("/checkmodelstatus", openapi_extra=_PAIR)
async def status(request: Request) -> str:
    """Whether a model for two languages is served."""
    service, found = _begin(request)
    source, target = _languages(found)
    served, _ = service.choose(source, target, found.get("modeltag", ""))
    return f"model {served.name} is ready"


@router.get("/preorderbatch")
@router.post("/preorderbatch", include_in_schema=False)
async def preorder(request: Request) -> str:
    """Take note of texts that will be asked for, as the plug-ins expect; nothing is computed ahead."""
    _begin(request)
    return "batch received"


@router.get("/login")
async def login(request: Request) -> str:
    """A token, which means nothing."""
    return "0"


def _begin(request: Request) -> tuple[Service, dict[str, str]]:
    """The service, and the parameters by their names in lower case. Raises `RefusalError` for a wrong key."""
    service = service_of(request)
    found = {name.lower(): value for name, value in request.query_params.items()}
    service.admit(request, found.get("tokencode"))
    return service, found


def _languages(found: dict[str, str]) -> tuple[str, str]:
    for name in ("srclangcode", "trglangcode"):
        if not found.get(name):
            raise RefusalError(400, f"the parameter {name} is missing")
    return found["srclangcode"], found["trglangcode"]
