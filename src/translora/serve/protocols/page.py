"""The page at `/` on which to try the models: one answer, put together of the files in `page/`."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import HTMLResponse

router = APIRouter()

_FOLDER = Path(__file__).parent.parent / "page"
_PARTS = (("style", "/* page.css */", ("page.css",)), ("script", "/* words.js */", ("words.js", "page.js")))
"""The elements of `index.html`, what stands in them there, and the files that come in its place."""


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
    text = (_FOLDER / "index.html").read_text(encoding="utf-8")
    rules = ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'"]
    rules.append("frame-ancestors 'none'")
    for element, place, names in _PARTS:
        content = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)
        text = text.replace(f"<{element}>{place}</{element}>", f"<{element}>{content}</{element}>")
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        rules.append(f"{element}-src 'sha256-{digest}'")
    return text, "; ".join(rules)
