"""Description of the operations of downloads and of source code, whose views do not use django-ninja."""

from __future__ import annotations

from typing import Final

from tecken.web.api.schemas import STRING, Json, array_of, object_of, reference

Responses = dict[int, Json]

CONDITIONS: Final = (
    "GET and HEAD, with ranges, `If-None-Match` and `If-Modified-Since`. "
    "Files of try builds are found below `/try`."
)
DEBUGINFOD: Final = f"debuginfod, as gdb, valgrind and elfutils request it. {CONDITIONS}"
MAXSIZE: Final = "With `X-DEBUGINFOD-MAXSIZE`, a larger file is refused with 406."
SSQP: Final = f"SSQP, as dotnet-symbol and Visual Studio request it. {CONDITIONS}"
SOURCE_ACCESS: Final = (
    "It needs a token with the permission `storage.view_sources`, "
    "unless the option `source_code_public` is on."
)
HEX: Json = {**STRING, "pattern": "^[0-9A-Fa-f]+$"}
BUILD_ID: Json = {
    **STRING,
    "pattern": "^([0-9A-Fa-f]{2}){2,64}$",
    "description": "build id of an ELF file",
    "examples": ["dadbb96c91ed58f912fb09f7f2655e6f"],
}
DEBUG_FILE: Json = {**STRING, "description": "debug file, such as `xul.pdb`"}
BYTES: Json = {
    "application/octet-stream": {"schema": {**STRING, "contentMediaType": "application/octet-stream"}}
}
ERROR: Json = {"application/json": {"schema": reference("Error")}}
FILE_RESPONSES: Responses = {
    200: {"description": "The file", "content": BYTES},
    206: {"description": "The range of the file that was requested", "content": BYTES},
    302: {"description": "The file is at the address in `Location`"},
    304: {"description": "The file is the one that the client has"},
    412: {"description": "The file is not the one that the client expects", "content": ERROR},
    416: {"description": "The file has no such range", "content": ERROR},
}
TOO_LARGE: Responses = {406: {"description": "The file is larger than the client takes", "content": ERROR}}
TOKEN: Final[list[Json]] = [{"TokenPermission": []}]
SOURCE: Json = object_of(
    "Source",
    {"file": STRING, "source": STRING},
    {"symbolsLastModified": {"type": "null"}, "sourceLastModified": {"type": "null"}},
)
SOURCE_QUERY: Json = object_of(
    "SourceQuery",
    {
        "debugName": {**STRING, "description": "debug file"},
        "debugId": {**STRING, "description": "debug id"},
        "moduleOffset": {**STRING, "pattern": "^0x[0-9A-Fa-f]{1,16}$"},
        "file": {
            **STRING,
            "description": "file of a frame at this offset, as the answer of /symbolicate/v5 has it",
        },
    },
)
METADATA: Json = object_of(
    "Metadata",
    {
        "results": array_of({"type": "object", "additionalProperties": STRING}),
        "complete": {"type": "boolean", "description": "false if there are more results"},
    },
)
SCHEMAS: Json = {schema["title"]: schema for schema in (SOURCE, SOURCE_QUERY, METADATA)}


def _parameter(name: str, schema: Json, place: str = "path") -> Json:
    return {"name": name, "in": place, "required": True, "schema": schema}


def _in_path(**schemas: Json) -> list[Json]:
    """Return the parameters in the path of a URL."""
    return [_parameter(name, schema) for name, schema in schemas.items()]


def _file(name: str, summary: str, about: str, parameters: list[Json]) -> Json:
    """Return the path item of files that clients download."""
    operation = {
        "operationId": name,
        "summary": summary,
        "description": about,
        "tags": ["downloads"],
        "parameters": parameters,
        "responses": FILE_RESPONSES,
    }
    return {"get": operation}


def _by_build_id(part: str, summary: str, about: str = "", **parameters: Json) -> Json:
    """Return the path item of a file that debuginfod has for a build id."""
    about = " ".join((DEBUGINFOD, MAXSIZE, about)).strip()
    item = _file(f"buildid_{part}", summary, about, _in_path(build_id=BUILD_ID, **parameters))
    item["get"]["responses"] = {**FILE_RESPONSES, **TOO_LARGE}
    return item


def _by_key(key: str, summary: str) -> Json:
    """Return the path item of a key of SSQP."""
    some_id = {**HEX, "description": "build id or UUID"}
    name = f"ssqp_{key.replace('-', '_')}"
    return _file(name, summary, SSQP, _in_path(name=STRING, some_id=some_id, file_name=STRING))


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


METADATA_PATH: Json = {
    "get": {
        "operationId": "metadata",
        "summary": "Find build ids by the name of a file",
        "description": DEBUGINFOD,
        "tags": ["downloads"],
        "parameters": [
            _parameter("key", {"enum": ["file", "glob"], "description": "how the name is compared"}, "query"),
            _parameter("value", {**STRING, "description": "path; only its last part is compared"}, "query"),
        ],
        "responses": {200: {"description": "OK", "content": _content(reference("Metadata"))}},
    }
}
SOURCE_PATH: Json = {
    "post": {
        "operationId": "source_v1",
        "summary": "Read the source file of a frame",
        "description": f"Only files of the frame and of its inlined calls are returned. {SOURCE_ACCESS}",
        "tags": ["source code"],
        "parameters": [],
        "security": TOKEN,
        "requestBody": {"required": True, "content": _content(reference("SourceQuery"))},
        "responses": {
            200: {"description": "OK", "content": _content(reference("Source"))},
            404: {"$ref": "#/components/responses/NotFound"},
        },
    }
}
SECTION: Json = {**STRING, "description": "section, such as `.debug_line`"}
PATH: Json = {**STRING, "description": "absolute path without the first slash"}
SOURCE_FILE: Json = _by_build_id("source", "Download a source file", SOURCE_ACCESS, file=PATH)
SOURCE_FILE["get"]["security"] = TOKEN
PATHS: Json = {
    "/{debug_file}/{debug_id}/{file_name}": _file(
        "download",
        "Download a file",
        f"As stackwalkers and SymSrv request it, with SSQP's keys for PE and PDB files. {CONDITIONS}",
        _in_path(
            debug_file=DEBUG_FILE,
            debug_id={**HEX, "description": "debug id, code id or build id"},
            file_name={**STRING, "description": "such as `xul.pdb` or `xul.pd_`"},
        ),
    ),
    "/buildid/{build_id}/debuginfo": _by_build_id("debuginfo", "Download debug information"),
    "/buildid/{build_id}/executable": _by_build_id("executable", "Download a program or library"),
    "/buildid/{build_id}/section/{section}": _by_build_id(
        "section", "Download one section of an ELF file", section=SECTION
    ),
    "/buildid/{build_id}/source/{file}": SOURCE_FILE,
    "/metadata": METADATA_PATH,
    "/{name}/elf-buildid-{some_id}/{file_name}": _by_key("elf-buildid", "Download an ELF file with code"),
    "/{name}/elf-buildid-sym-{some_id}/{file_name}": _by_key(
        "elf-buildid-sym", "Download an ELF file with debug information"
    ),
    "/{name}/mach-uuid-{some_id}/{file_name}": _by_key("mach-uuid", "Download a Mach-O file with code"),
    "/{name}/mach-uuid-sym-{some_id}/{file_name}": _by_key("mach-uuid-sym", "Download the file of a dSYM"),
    "/source/v1": SOURCE_PATH,
}
