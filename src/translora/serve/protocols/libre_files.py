"""LibreTranslate's `/translate_file`: a document comes in, and its translation can be downloaded for a while."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from translora.documents.document import Options as DocumentOptions
from translora.documents.fill import translate_segments
from translora.documents.formats import format_of, read
from translora.serve import described
from translora.serve.codes import from_libre
from translora.serve.engines import Options
from translora.serve.models import Pair, Served
from translora.serve.protocols.own import service_of
from translora.serve.refusals import RefusalError
from translora.serve.service import Service

router = APIRouter(tags=["LibreTranslate"])
_MOST_FIELDS = 20


_FIELDS = described.upload(
    "file source target", file=described.FILE, source=described.TEXT, target=described.TEXT, adapter=described.TEXT,
    api_key=described.TEXT,
)  # fmt: skip


@router.post("/translate_file", openapi_extra=_FIELDS)
async def translate_file(request: Request) -> dict[str, str]:
    """Translate the document `file` from `source` to `target`; the answer says where its translation is.

    The field `adapter` names the model; clients of LibreTranslate do not have it.
    """
    service = service_of(request)
    async with request.form(max_files=1, max_fields=_MOST_FIELDS) as form:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        service.admit(request, fields.get("api_key", request.query_params.get("api_key", "")), missing=400)
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise RefusalError(400, "Invalid request: missing file parameter")
        ending, data = PurePosixPath(upload.filename or "").suffix.lower(), await upload.read()
    for name in ("source", "target"):
        if not fields.get(name):
            raise RefusalError(400, f"Invalid request: missing {name} parameter")
    chosen = _model(service, fields["source"], fields["target"], fields.get("adapter", ""))
    kind = await asyncio.to_thread(_format_of, data, ending)
    if kind == "text":
        what = ending or "files without an ending"
        raise RefusalError(400, f"Invalid request: the format of {what} is not supported")
    filled = await _filled(service, request, chosen, data, kind)
    return {"translatedFileUrl": f"{request.base_url}download_file/{service.files.keep(filled, ending)}"}


@router.get("/download_file/{name}")
async def download_file(name: str, request: Request) -> Response:
    """The translation that `/translate_file` named."""
    data = service_of(request).files.get(name)
    if data is None:
        raise RefusalError(404, "no such file: translations are kept for a while only")
    headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _model(service: Service, source: str, target: str, name: str) -> tuple[Served, Pair]:
    if source == "auto":
        raise RefusalError(400, "Invalid request: a document needs a source language: auto is for texts")
    pair = [service.models.known(from_libre(code), place) for place, code in enumerate((source, target))]
    for known, code in zip(pair, (source, target), strict=True):
        if known is None:
            raise RefusalError(400, f"{code} is not supported")
    return service.choose(pair[0] or "", pair[1] or "", name)


def _format_of(data: bytes, ending: str) -> str:
    """The format of a document by the ending of its name, which may depend on its content; `text` for others."""
    if ending == ".txt":
        return "paragraphs"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"document{ending if ending.isascii() and ending[1:].isalnum() else ''}"
        file.write_bytes(data)
        return format_of(file)


async def _filled(service: Service, request: Request, chosen: tuple[Served, Pair], data: bytes, kind: str) -> bytes:
    """The document with its texts translated; raises `DataError` where it is damaged."""
    loop, options = asyncio.get_running_loop(), Options(service.settings.beams)

    def work() -> bytes:
        document = read(data, "the document", kind, DocumentOptions(*chosen[1]))
        characters = sum(len(segment.text) for segment in document.segments)
        asyncio.run_coroutine_threadsafe(service.spend(request, characters), loop).result()
        until = loop.time() + service.settings.limits.seconds

        def engine(lines: Sequence[str]) -> list[str]:
            done = service.lines(request, chosen, lines, options, max(0.0, until - loop.time()))
            return [one.text for one in asyncio.run_coroutine_threadsafe(done, loop).result()]

        return document.filled(translate_segments(document.segments, engine)[0])

    async with service.documents:
        return await asyncio.to_thread(work)
