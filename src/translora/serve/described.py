"""What the routes of foreign protocols take, for the OpenAPI document: their parameters come as JSON or as a form."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}
FILE: Schema = {"type": "string", "format": "binary"}


def choice(*values: str) -> Schema:
    """One of some texts."""
    return {"type": "string", "enum": list(values)}


def body(required: str, **fields: Schema) -> Schema:
    """Parameters that come as JSON or as a form; `required` names those that must be there, with spaces between."""
    schema = _object(required, fields)
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}}


def upload(required: str, **fields: Schema) -> Schema:
    """Parameters that come as a form with a file."""
    content = {"multipart/form-data": {"schema": _object(required, fields)}}
    return {"requestBody": {"required": True, "content": content}}


def query(required: str, **fields: Schema) -> Schema:
    """Parameters that come in the address."""
    needed = required.split()
    return {
        "parameters": [
            {"name": name, "in": "query", "required": name in needed, "schema": schema}
            for name, schema in fields.items()
        ]
    }


def _object(required: str, fields: dict[str, Schema]) -> Schema:
    schema: Schema = {"type": "object", "properties": fields}
    return {**schema, "required": required.split()} if required else schema
