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
ROW: Json = {
    "number": {"type": "integer", "minimum": 0},
    "module": STRING,
    "offset": {**STRING, "description": "hexadecimal: in the module, or the address where there is none"},
    "call": {"anyOf": [reference("Call"), {"type": "null"}], "description": "null if no symbol covers it"},
    "inlines": {**array_of(reference("Call")), "description": "inlined calls, the deepest first"},
    "given": {**STRING, "description": "the frame as the text describes it, if no symbol covers it"},
}
SOURCE_LINE: Json = {"file": STRING, "line": {"type": ["integer", "null"]}, "url": STRING}
REPORT: Json = {
    "kind": {**STRING, "description": "recognized kind of text"},
    "reason": STRING,
    "remarks": {**array_of(STRING), "description": "missing information, and the way to get it"},
    "threads": array_of(
        object_of(
            "ReportThread",
            {"name": STRING, "crashed": {"type": "boolean"}, "rows": array_of(object_of("Row", ROW))},
        )
    ),
    "modules": array_of(
        object_of(
            "ReportModule",
            {
                "debug_file": STRING,
                "debug_id": STRING,
                "why_not": {**STRING, "description": "why it has no functions; empty if it has"},
            },
        )
    ),
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
            "Call",
            {
                "function": STRING,
                "at": {"anyOf": [object_of("SourceLine", SOURCE_LINE), {"type": "null"}]},
                "source": {"type": "array"},
            },
        ),
        object_of("Report", REPORT),
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


def _operation(version: str, summary: str, body: Json, content: Json) -> Json:
    return {
        "operationId": f"symbolicate_{version}",
        "summary": summary,
        "tags": ["symbolication"],
        "parameters": [],
        "requestBody": {"required": True, "content": body},
        "responses": {200: {"description": "OK", "content": content}},
    }


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


V5_BODY = {"anyOf": [reference("Job"), reference("Jobs")]}
PATHS: Json = {
    "/symbolicate/v5": {
        "post": _operation(
            "v5",
            "Find functions, files, lines and inlined calls",
            _json(V5_BODY),
            _json(reference("Symbolicated")),
        )
    },
    "/symbolicate/v4": {
        "post": _operation(
            "v4", "Find functions", _json(reference("JobV4")), _json(reference("SymbolicatedV4"))
        )
    },
    "/symbolicate/text": {
        "post": _operation(
            "text",
            "Find the functions of a crash report, a log or a debugger's output",
            {"text/plain": {"schema": STRING}},
            {"text/plain": {"schema": STRING}, **_json(reference("Report"))},
        )
    },
}
TEXT_ERRORS = ("/symbolicate/text",)
"""Operations whose errors are text for clients that do not prefer JSON."""
