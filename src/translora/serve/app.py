"""The application: the routes of all protocols, one form of error for each, limits on bodies, log and figures."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from translora import __version__
from translora.errors import TransloraError
from translora.serve.models import Models
from translora.serve.protocols import deepl, libre_files, libretranslate, operation, opuscat, own, page, reports
from translora.serve.refusals import GONE, RefusalError
from translora.serve.service import Service, Settings

_BODY_SECONDS = 60.0
"""A body that is not here after this time is given up."""

access_log = logging.getLogger("translora.access")
access_log.setLevel(logging.WARNING)  # until somebody asks for it
"""One JSON object per request; no addresses' parameters, texts or keys."""
log = logging.getLogger("translora.serve")


class Json(JSONResponse):
    """JSON that can hold whatever a client sent, half surrogate pairs too."""

    def render(self, content: Any) -> bytes:
        """The bytes of the answer."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def create_app(models: Models, settings: Settings | None = None) -> ASGIApp:
    """The server of `models` as an ASGI application; its worker lives as long as the application's lifespan."""
    service = Service(models, settings or Settings())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        service.draining = True
        await asyncio.to_thread(service.batcher.stop)

    app = FastAPI(
        title="translora", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        default_response_class=Json, description="Translation by fine-tuned models.",
    )  # fmt: skip
    app.state.service = service
    for module in (own, libretranslate, libre_files, deepl, opuscat, operation, reports, page):
        app.include_router(module.router)
    app.add_exception_handler(RefusalError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TransloraError, _user_error)
    app.add_exception_handler(Exception, _defect)
    return Outside(app, service)


def error_answer(path: str, status: int, message: str, retry_after: int = 0) -> Response:
    """An error in the form of the protocol that `path` belongs to."""
    name = "message" if path.startswith("/v2/") else "error"
    headers = {"retry-after": str(retry_after)} if retry_after else {}
    return Json({name: message}, status, headers)


async def _refused(request: Request, error: Any) -> Response:
    return error_answer(request.url.path, error.status, error.message, error.retry_after)


async def _invalid(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    message = f"Invalid request: {place + ': ' if place else ''}{first.get('msg', 'not understood')}"
    return error_answer(request.url.path, 400, message)


async def _http_error(request: Request, error: Any) -> Response:
    return error_answer(request.url.path, error.status_code, str(error.detail))


async def _user_error(request: Request, error: Any) -> Response:
    return error_answer(request.url.path, 400, str(error))


async def _defect(request: Request, error: Any) -> Response:
    return error_answer(request.url.path, 500, "internal error")


class Outside:
    """Around the application: reads bodies within their limit, logs and counts, and lets no traceback out."""

    def __init__(self, app: FastAPI, service: Service) -> None:
        self.app, self.service = app, service
        self._entry: ASGIApp = self._handle
        if origins := service.settings.origins:  # around all, for pages must see what is refused outside of `app` too
            self._entry = CORSMiddleware(self._handle, origins, allow_methods=["*"], allow_headers=["*"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._entry(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status, started = time.perf_counter(), GONE, False

        async def sending(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
            await send(message)

        if scope["path"].lower().startswith(opuscat.PREFIX + "/"):
            scope = {**scope, "path": scope["path"].lower()}
        self.service.metrics.under_way.inc()
        try:
            await self._answer(scope, receive, sending)
        except asyncio.CancelledError:  # it outlived the time that a server going down leaves
            if started:
                raise
            status = 503
            await error_answer(scope["path"], status, "the server is going down", 1)(scope, receive, sending)
        except Exception:
            log.error("a request to %s failed:\n%s", scope["path"], traceback.format_exc())
            if not started:
                status = 500
                await error_answer(scope["path"], 500, "internal error")(scope, receive, sending)
        finally:
            self.service.metrics.under_way.dec()
            self._note(scope, status, time.perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await asyncio.wait_for(self._body(scope, receive), _BODY_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            await error_answer(scope["path"], 408, "the body did not come in time")(scope, receive, send)
            return
        except RefusalError as error:
            if error.status != GONE:
                await error_answer(scope["path"], error.status, error.message)(scope, receive, send)
            return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, replay, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body; raises `RefusalError` for one that is too long."""
        most = self.service.settings.limits.body_bytes
        refusal = RefusalError(413, f"the body exceeds {most} bytes")
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > most:
                raise refusal
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusalError(GONE, "the client is gone")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise refusal
            more = message.get("more_body", False)
        return b"".join(parts)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.service.metrics.requests.labels(route, str(status)).inc()
        self.service.metrics.latency.labels(route).observe(seconds)
        if access_log.isEnabledFor(logging.INFO):
            client = scope.get("client") or ("", 0)
            line = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "client": client[0],
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round(1000 * seconds, 1),
            }
            access_log.info(json.dumps(line))
