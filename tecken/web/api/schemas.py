"""Schemas of the parts of the OpenAPI document that are written by hand."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

STRING: Json = {"type": "string"}


def reference(name: str) -> Json:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def pair_of(first: Json, second: Json) -> Json:
    """Return the schema of a list of exactly two items."""
    return {"type": "array", "prefixItems": [first, second], "minItems": 2, "maxItems": 2}


def object_of(title: str, required: Json, optional: Json | None = None) -> Json:
    """Return the schema of an object with required and optional properties."""
    properties = {**required, **(optional or {})}
    return {"title": title, "type": "object", "required": list(required), "properties": properties}
