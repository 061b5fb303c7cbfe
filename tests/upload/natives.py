"""Native files that tests upload, and what becomes of them; `native_builder` of `site` uploads them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tecken.storage.dump import find_rust_engine
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tecken.symbols.pagefile.file import Header
from tests.upload.uploaders import Uploader
from tests.upload.zips import zipped

# The engine in Python does not read common files and packages.
needs_rust = pytest.mark.skipif(find_rust_engine() is None, reason="the engine is not built (make engine)")

DATA = Path(__file__).parents[1] / "data" / "native"
ELF_ID = "52F29A25810178511980D12EF214D9FA0"
BUILD_ID = "259af252018151781980d12ef214d9fab5fe9d52"
FRAMES_ID = "00747021EE352852259B8189628EB7AC0"
FRAMES_BUILD_ID = "2170740035ee5228259b8189628eb7ac26e4b705"
WINDOWS_ID = "00AA3880D78BE4BB4C4C44205044422E1"
UNWIND_ID = "063FF3CBB9F855154C4C44205044422E1"
ARM_ID = "4C4C440055553144A1A3693FB126F9380"
DWZ_ID = "CD2BC788CE6AD6FB9EA0CC8FF84688EE0"
COMMON_BUILD_ID = "01037cc3850e4b69766b29951a3be92ef7d3e9af"


def debian(build_id: str) -> FileKey:
    """Return the key of a debug file as Debian names it: after its build id alone."""
    return FileKey(f"{build_id[2:]}.debug", build_id, f"{build_id[2:]}.debug")


def send_bytes(builder: Uploader, key: FileKey, content: bytes) -> Any:
    file = io.BytesIO(zipped({str(key): content}))
    file.name = "any"
    reply = builder.client.post("/upload/", {"symbols.zip": file})
    assert reply.status_code == 201
    return reply.json()["upload"]


def send(builder: Uploader, key: FileKey, name: str) -> Any:
    return send_bytes(builder, key, (DATA / name).read_bytes())


def convert(module: ObjectId) -> Header | Missing:
    return symbolication_services.converter().convert(module)


def frame(builder: Uploader, module: ObjectId, offset: int) -> dict[str, Any]:
    convert(module)
    return warm_frame(builder, module, offset)


def warm_frame(builder: Uploader, module: ObjectId, offset: int) -> dict[str, Any]:
    body = {"memoryMap": [[module.debug_file, module.debug_id]], "stacks": [[[0, offset]]]}
    reply = builder.post("/symbolicate/v5", body).json()
    found: dict[str, Any] = reply["results"][0]["stacks"][0][0]
    return found
