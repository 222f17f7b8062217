"""Server-sent events: an answer that comes in parts, and gives up its work where the client goes away."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from translora.serve.refusals import RefusalError

TYPE = "text/event-stream"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""No proxy may keep the events back."""

log = logging.getLogger("translora.serve")

Event = tuple[str, dict[str, Any]]
"""The name of an event and its data."""


class EventStream(StreamingResponse):
    """The answer that sends `events`; an error among them is the last event."""

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self._events = events
        super().__init__(self._written(), media_type=TYPE, headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; ends them where the client is gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()

    async def _written(self) -> AsyncGenerator[bytes, None]:
        try:
            async for name, data in self._events:
                yield written(name, data)
        except RefusalError as error:
            yield written("error", {"error": error.message, "status": error.status})
        except Exception:
            log.error("a stream failed:\n%s", traceback.format_exc())
            yield written("error", {"error": "internal error", "status": 500})


def written(name: str, data: dict[str, Any]) -> bytes:
    """An event as it is sent."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode("utf-8", "backslashreplace")


def wanted(accept: str) -> bool:
    """Whether the header `Accept` asks for events."""
    return any(kind.partition(";")[0].strip().lower() == TYPE for kind in accept.split(","))
