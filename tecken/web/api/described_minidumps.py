"""Description of the operations of minidumps, whose views do not use django-ninja."""

from __future__ import annotations

from tecken.web.api.schemas import STRING, Json, array_of, object_of, reference

BINARY: Json = {"type": "string", "format": "binary"}
COUNT: Json = {"type": "integer", "minimum": 0}
FRAME: Json = object_of(
    "MinidumpFrame",
    {
        "frame": {**COUNT, "description": "its number in the stack"},
        "trust": {**STRING, "description": "how it was found: context, cfi, frame_pointer or scan"},
        "offset": {**STRING, "description": "hexadecimal address of the instruction"},
    },
)
THREAD: Json = object_of(
    "MinidumpThread", {"frame_count": COUNT, "frames": array_of(reference("MinidumpFrame"))}
)
MODULE: Json = object_of(
    "MinidumpModule",
    {
        "filename": STRING,
        "symbols": {
            "enum": ["loaded", "missing", "corrupt", "unavailable", "unused"],
            "description": "state of its symbols",
        },
        "symbols_reason": {**STRING, "description": "explanation of the state; empty if it needs none"},
    },
)
REPORT: Json = {
    **object_of(
        "MinidumpReport",
        {
            "status": {"const": "OK"},
            "system_info": {"type": "object"},
            "crash_info": {"type": "object"},
            "modules": array_of(reference("MinidumpModule")),
            "threads": array_of(reference("MinidumpThread")),
            "warnings": {**array_of(STRING), "description": "parts of the dump that cannot be read"},
        },
    ),
    "description": "rust-minidump's JSON with additional keys",
    "externalDocs": {
        "url": "https://github.com/rust-minidump/rust-minidump/blob/main/minidump-processor/json-schema.md"
    },
}
STATE: Json = object_of(
    "MinidumpState",
    {
        "id": {**STRING, "description": "secret of 32 hex digits"},
        "url": {**STRING, "description": "address of the report"},
        "state": {"enum": ["waiting", "running"]},
    },
)
SCHEMAS: Json = {schema["title"]: schema for schema in (FRAME, THREAD, MODULE, REPORT, STATE)}
REPORTED: Json = {"application/json": {"schema": reference("MinidumpReport")}}
PLACED: Json = {"Content-Location": {"description": "address of the report", "schema": STRING}}
ACCEPTED: Json = {
    "description": "The report is not ready; look again at the address in Location",
    "content": {"application/json": {"schema": reference("MinidumpState")}},
    "headers": {
        "Location": {"required": True, "schema": STRING},
        "Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}},
    },
}
DUMP_ID: Json = {"name": "dump_id", "in": "path", "required": True, "schema": STRING}
REPLIES: dict[int, Json] = {200: {"description": "OK", "headers": PLACED, "content": REPORTED}, 202: ACCEPTED}
FORM: Json = {
    "type": "object",
    "properties": {
        "minidump": BINARY,
        "upload_file_minidump": {
            **BINARY,
            "description": "field of crash handlers; the response is the id as text",
        },
    },
}
PATHS: Json = {
    "/process/minidump": {
        "post": {
            "operationId": "process_minidump",
            "summary": "Walk the stacks of a minidump or a Linux core file",
            "description": "The body may be compressed with gzip or zstd.",
            "tags": ["symbolication"],
            "parameters": [],
            "requestBody": {
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": BINARY},
                    "multipart/form-data": {"schema": FORM},
                },
            },
            "responses": {
                200: {
                    "description": "OK",
                    "headers": PLACED,
                    "content": {**REPORTED, "text/plain": {"schema": STRING}},
                },
                202: ACCEPTED,
            },
        }
    },
    "/process/minidump/{dump_id}": {
        "get": {
            "operationId": "minidump_report",
            "summary": "Read the report of a minidump",
            "tags": ["symbolication"],
            "parameters": [DUMP_ID],
            "responses": {**REPLIES, 413: {"$ref": "#/components/responses/RequestEntityTooLarge"}},
        },
        "post": {
            "operationId": "process_minidump_again",
            "summary": "Process a kept minidump again",
            "description": "The new report replaces the old one. 404 if the dump is not stored any more.",
            "tags": ["symbolication"],
            "parameters": [DUMP_ID],
            "responses": REPLIES,
        },
    },
}
