"""OpenAPI description of symbolication.

Its views do not use django-ninja, because they get the most requests, so their description is written here.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _array(items: Json) -> Json:
    return {"type": "array", "items": items}


def _pair(first: Json, second: Json) -> Json:
    return {"type": "array", "prefixItems": [first, second], "minItems": 2, "maxItems": 2}


def _object(title: str, required: Json, optional: Json | None = None) -> Json:
    """Return the schema of an object with required and optional properties."""
    properties = {**required, **(optional or {})}
    return {"title": title, "type": "object", "required": list(required), "properties": properties}


STRING: Json = {"type": "string"}
INTEGER_64: Json = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
NAME: Json = {"description": "a text; an empty one, or another type, is not looked up"}
JOB: Json = {
    "memoryMap": {
        "type": "array",
        "description": "a debug file and a debug id for each module",
        "items": _pair(NAME, NAME),
        "examples": [[["crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0"]]],
    },
    "stacks": {
        "type": "array",
        "description": "lists of frames: the index of a module in memoryMap, or -1, and an offset",
        "items": _array(_pair({"type": "integer", "minimum": -1}, INTEGER_64)),
        "examples": [[[[0, 4613]]]],
    },
}
PLACE: Json = {
    "file": {**STRING, "description": "absent if it is not known"},
    "line": {"type": "integer", "minimum": 1, "description": "absent if it is not known"},
}
FRAME: Json = {
    "frame": {"type": "integer", "minimum": 0, "description": "its number in the stack"},
    "module": STRING,
    "module_offset": {**STRING, "description": "hexadecimal, such as 0x1205"},
}
SYMBOL: Json = {
    "function": {**STRING, "description": "absent if no symbol covers the offset"},
    "function_offset": {**STRING, "description": "from its first instruction"},
    **PLACE,
    "inlines": {
        **_array(_schema("Inline")),
        "description": "inlined calls at this offset, the deepest first",
    },
}
FOUND: Json = {
    "type": ["boolean", "null"],
    "description": "true: symbols were used; false: there are none; null: no stack refers to it",
}
MODULE_ERROR: Json = {
    "type": "object",
    "required": ["name", "message"],
    "properties": {"name": STRING, "message": STRING},
}
MODULE_ERRORS: Json = {
    "type": "object",
    "description": "why a module is false for another reason than missing symbols",
    "additionalProperties": _array(MODULE_ERROR),
}
FOUND_MODULES: Json = {"type": "object", "additionalProperties": FOUND}
SCHEMAS: Json = {
    schema["title"]: schema
    for schema in (
        _object("Job", JOB),
        _object("Jobs", {"jobs": {"type": "array", "minItems": 1, "items": _schema("Job")}}),
        _object("JobV4", {**JOB, "version": {"type": "integer", "const": 4}}),
        _object("Inline", {"function": STRING}, PLACE),
        _object("Frame", FRAME, SYMBOL),
        _object(
            "JobResult",
            {
                "stacks": _array(_array(_schema("Frame"))),
                "found_modules": FOUND_MODULES,
                "module_errors": MODULE_ERRORS,
            },
        ),
        _object("Symbolicated", {"results": _array(_schema("JobResult"))}),
        _object(
            "SymbolicatedV4",
            {
                "symbolicatedStacks": _array(_array(STRING)),
                "knownModules": _array(FOUND),
                "module_errors": MODULE_ERRORS,
            },
        ),
    )
}


def _operation(version: str, summary: str, body: Json, response: str) -> Json:
    return {
        "operationId": f"symbolicate_{version}",
        "summary": summary,
        "tags": ["symbolication"],
        "parameters": [],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            200: {"description": "OK", "content": {"application/json": {"schema": _schema(response)}}}
        },
    }


V5_BODY = {"anyOf": [_schema("Job"), _schema("Jobs")]}
PATHS: Json = {
    "/symbolicate/v5": {
        "post": _operation("v5", "Find functions, files, lines and inlined calls", V5_BODY, "Symbolicated")
    },
    "/symbolicate/v4": {"post": _operation("v4", "Find functions", _schema("JobV4"), "SymbolicatedV4")},
}
