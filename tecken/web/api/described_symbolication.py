"""Description of the operations of symbolication, whose views do not use django-ninja."""

from __future__ import annotations

from tecken.web.api.schemas import STRING, Json, array_of, object_of, pair_of, reference

INTEGER_64: Json = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
NAME: Json = {"description": "a text; an empty one, or another type, is not looked up"}
JOB: Json = {
    "memoryMap": {
        "type": "array",
        "description": "a debug file and a debug id for each module",
        "items": pair_of(NAME, NAME),
        "examples": [[["crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0"]]],
    },
    "stacks": {
        "type": "array",
        "description": "lists of frames: the index of a module in memoryMap, or -1, and an offset",
        "items": array_of(pair_of({"type": "integer", "minimum": -1}, INTEGER_64)),
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
        **array_of(reference("Inline")),
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
    "additionalProperties": array_of(MODULE_ERROR),
}
FOUND_MODULES: Json = {"type": "object", "additionalProperties": FOUND}
SCHEMAS: Json = {
    schema["title"]: schema
    for schema in (
        object_of("Job", JOB),
        object_of("Jobs", {"jobs": {"type": "array", "minItems": 1, "items": reference("Job")}}),
        object_of("JobV4", {**JOB, "version": {"type": "integer", "const": 4}}),
        object_of("Inline", {"function": STRING}, PLACE),
        object_of("Frame", FRAME, SYMBOL),
        object_of(
            "JobResult",
            {
                "stacks": array_of(array_of(reference("Frame"))),
                "found_modules": FOUND_MODULES,
                "module_errors": MODULE_ERRORS,
            },
        ),
        object_of("Symbolicated", {"results": array_of(reference("JobResult"))}),
        object_of(
            "SymbolicatedV4",
            {
                "symbolicatedStacks": array_of(array_of(STRING)),
                "knownModules": array_of(FOUND),
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
            200: {"description": "OK", "content": {"application/json": {"schema": reference(response)}}}
        },
    }


V5_BODY = {"anyOf": [reference("Job"), reference("Jobs")]}
PATHS: Json = {
    "/symbolicate/v5": {
        "post": _operation("v5", "Find functions, files, lines and inlined calls", V5_BODY, "Symbolicated")
    },
    "/symbolicate/v4": {"post": _operation("v4", "Find functions", reference("JobV4"), "SymbolicatedV4")},
}
