"""The page at `/` on which to try the models: one file, without resources from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import HTMLResponse

router = APIRouter()

_FILE = Path(__file__).parent.parent / "page" / "index.html"


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    """The page, with a policy that lets nothing run but its own script."""
    text, policy = _read()
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return HTMLResponse(text, headers=headers)


@cache
def _read() -> tuple[str, str]:
    """The page and its content security policy."""
    text = _FILE.read_text(encoding="utf-8")
    rules = ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'"]
    rules.append("frame-ancestors 'none'")
    for name, element in (("script-src", "script"), ("style-src", "style")):
        (found,) = re.findall(rf"<{element}>(.*?)</{element}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        rules.append(f"{name} 'sha256-{digest}'")
    return text, "; ".join(rules)
