"""The OpenAPI description of symbolication, whose views do without django-ninja: they are called most."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

INTEGER_64 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
NAME = {"description": "a text; anything else, and an empty one, is not looked up"}
JOB: Json = {
    "title": "Job",
    "type": "object",
    "required": ["memoryMap", "stacks"],
    "properties": {
        "memoryMap": {
            "type": "array",
            "description": "a debug file and a debug id for each module",
            "items": {"type": "array", "prefixItems": [NAME, NAME], "minItems": 2, "maxItems": 2},
            "examples": [[["crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0"]]],
        },
        "stacks": {
            "type": "array",
            "description": "lists of frames: a module's number in memoryMap, or -1, and an offset in it",
            "items": {
                "type": "array",
                "items": {
                    "type": "array",
                    "prefixItems": [{"type": "integer", "minimum": -1}, INTEGER_64],
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
            "examples": [[[[0, 4613]]]],
        },
    },
}
PLACE: Json = {
    "file": {"type": "string", "description": "left out where it is unknown"},
    "line": {"type": "integer", "minimum": 1, "description": "as `file`"},
}
INLINE: Json = {
    "title": "Inline",
    "type": "object",
    "required": ["function"],
    "properties": {"function": {"type": "string"}, **PLACE},
}
FRAME: Json = {
    "title": "Frame",
    "type": "object",
    "required": ["frame", "module", "module_offset"],
    "properties": {
        "frame": {"type": "integer", "minimum": 0, "description": "its number in the stack"},
        "module": {"type": "string"},
        "module_offset": {"type": "string", "description": "hexadecimal, such as 0x1205"},
        "function": {"type": "string", "description": "left out where no symbol covers the offset"},
        "function_offset": {"type": "string", "description": "from its first instruction"},
        **PLACE,
        "inlines": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Inline"},
            "description": "calls that were inlined there, the deepest first",
        },
    },
}
FOUND: Json = {
    "type": ["boolean", "null"],
    "description": "true: symbols were used; false: there are none; null: no stack refers to it",
}
MODULE_ERRORS: Json = {
    "type": "object",
    "description": "why a module is false for another reason than that there are no symbols",
    "additionalProperties": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", "message"],
            "properties": {"name": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
SCHEMAS: Json = {
    "Job": JOB,
    "Jobs": {
        "title": "Jobs",
        "type": "object",
        "required": ["jobs"],
        "properties": {
            "jobs": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Job"}}
        },
    },
    "JobV4": {
        **JOB,
        "title": "JobV4",
        "required": ["memoryMap", "stacks", "version"],
        "properties": {**JOB["properties"], "version": {"type": "integer", "const": 4}},
    },
    "Inline": INLINE,
    "Frame": FRAME,
    "JobResult": {
        "title": "JobResult",
        "type": "object",
        "required": ["stacks", "found_modules", "module_errors"],
        "properties": {
            "stacks": {
                "type": "array",
                "items": {"type": "array", "items": {"$ref": "#/components/schemas/Frame"}},
            },
            "found_modules": {"type": "object", "additionalProperties": FOUND},
            "module_errors": MODULE_ERRORS,
        },
    },
    "Symbolicated": {
        "title": "Symbolicated",
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"$ref": "#/components/schemas/JobResult"}}},
    },
    "SymbolicatedV4": {
        "title": "SymbolicatedV4",
        "type": "object",
        "required": ["symbolicatedStacks", "knownModules", "module_errors"],
        "properties": {
            "symbolicatedStacks": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "string"}},
            },
            "knownModules": {"type": "array", "items": FOUND},
            "module_errors": MODULE_ERRORS,
        },
    },
}


def _operation(version: str, summary: str, body: Json, answer: str) -> Json:
    schema = {"$ref": f"#/components/schemas/{answer}"}
    return {
        "operationId": f"symbolicate_{version}",
        "summary": summary,
        "tags": ["symbolication"],
        "parameters": [],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {200: {"description": "OK", "content": {"application/json": {"schema": schema}}}},
    }


V5_BODY = {"anyOf": [{"$ref": "#/components/schemas/Job"}, {"$ref": "#/components/schemas/Jobs"}]}
V4_BODY = {"$ref": "#/components/schemas/JobV4"}
PATHS: Json = {
    "/symbolicate/v5": {
        "post": _operation("v5", "Functions, files, lines and inlined calls", V5_BODY, "Symbolicated")
    },
    "/symbolicate/v4": {"post": _operation("v4", "Functions alone", V4_BODY, "SymbolicatedV4")},
}
