"""The reports of the runs that are served, at addresses that only `/v1/models` tells, which may need a key."""

from __future__ import annotations

import asyncio
import hmac
import os
import stat
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from translora.serve.protocols.own import service_of
from translora.serve.refusals import RefusalError

router = APIRouter(tags=["translora"])

_MOST_BYTES = 64 << 20
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""No script runs in a report, whatever is in its texts."""


@router.get("/reports/{ticket}", response_class=HTMLResponse)
async def report(ticket: str, request: Request) -> HTMLResponse:
    """The report of a run's training, at the address that `/v1/models` gave."""
    given = ticket.encode("utf-8", "surrogatepass")
    for served in service_of(request).models:
        if served.report is not None and hmac.compare_digest(served.ticket.encode(), given):
            data = await asyncio.to_thread(_read, served.report)
            return HTMLResponse(data, headers=_HEADERS)
    raise RefusalError(404, "no such report")


def _read(file: Path) -> bytes:
    """The content of a report; raises `RefusalError` for what is gone, is no file of its own, or is too large."""
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as opened:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                data = opened.read(_MOST_BYTES + 1)
                if len(data) <= _MOST_BYTES:
                    return data
    except OSError as error:
        raise RefusalError(404, "no such report") from error
    raise RefusalError(404, "no such report")
