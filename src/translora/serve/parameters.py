"""The parameters of a request, whether they come as JSON, as a form or in the address."""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from translora.serve.limits import is_unicode
from translora.serve.refusals import RefusalError


async def parameters(request: Request) -> dict[str, Any]:
    """All parameters by name; one that a form has several times, or whose name ends with `[]`, is a list of texts.

    Raises `RefusalError` for JSON that is none, or is no object.
    """
    found: dict[str, Any] = dict(request.query_params)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        found.update(_json_object(await request.body()))
    elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.form(max_files=0, max_fields=2_000)
        for name in form:
            values = [value for value in form.getlist(name) if not isinstance(value, UploadFile)]
            if name.endswith("[]") or len(values) > 1:
                found[name.removesuffix("[]")] = values
            elif values:
                found[name] = values[0]
    return found


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, "Invalid JSON format") from error
    if not isinstance(found, dict):
        raise RefusalError(400, "Invalid JSON format: the body is not an object")
    return found


def text(found: dict[str, Any], name: str, default: str = "") -> str:
    """The text of a parameter; raises `RefusalError` for another type."""
    value = found.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str) or not is_unicode(value):
        raise RefusalError(400, f"Invalid request: {name} parameter is not a text")
    return value


def number(found: dict[str, Any], name: str) -> int:
    """The number of a parameter, 0 where it is missing; raises `RefusalError` for what is none or negative."""
    try:
        value = int(found.get(name) or 0)
    except (ValueError, TypeError, OverflowError) as error:
        raise RefusalError(400, f"Invalid request: {name} parameter is not a number") from error
    if value < 0:
        raise RefusalError(400, f"Invalid request: {name} parameter is negative")
    return value


def texts(found: dict[str, Any], name: str) -> list[str]:
    """The texts of a parameter that is one or a list; raises `RefusalError` for another type."""
    value = found.get(name)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise RefusalError(400, f"Invalid request: {name} parameter is neither a text nor a list of texts")
    return values
