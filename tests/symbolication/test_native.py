"""Native files from the upload to the frame."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tecken.errors import NotFound
from tecken.storage import services as storage_services
from tecken.storage.models import SymbolFile
from tecken.storage.native import find_native_file
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId, debug_ids_of_code_id
from tecken.symbols.layouts import FileKey
from tests.support.engines import ENGINES, engine_for
from tests.upload.uploaders import Makes, Uploader
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

DATA = Path(__file__).parents[1] / "data" / "native"
ELF_ID = "52F29A25810178511980D12EF214D9FA0"
BUILD_ID = "259af252018151781980d12ef214d9fab5fe9d52"
WINDOWS_ID = "00AA3880D78BE4BB4C4C44205044422E1"
ARM_ID = "4C4C440055553144A1A3693FB126F9380"


@pytest.fixture(params=ENGINES)
def builder(uploader: Makes, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Uploader:
    """On a site that converts native files, with each engine."""
    engine = engine_for(request.param)
    monkeypatch.setattr(storage_services, "find_engine", lambda: engine)
    return uploader()


def send(builder: Uploader, key: FileKey, name: str) -> Any:
    file = io.BytesIO(zipped({str(key): (DATA / name).read_bytes()}))
    file.name = "any"
    reply = builder.client.post("/upload/", {"symbols.zip": file})
    assert reply.status_code == 201
    return reply.json()["upload"]


def convert(module: ObjectId) -> object:
    return symbolication_services.converter().convert(module)


def frame(builder: Uploader, module: ObjectId, offset: int) -> dict[str, Any]:
    convert(module)
    body = {"memoryMap": [[module.debug_file, module.debug_id]], "stacks": [[[0, offset]]]}
    reply = builder.post("/symbolicate/v5", body).json()
    found: dict[str, Any] = reply["results"][0]["stacks"][0][0]
    return found


@pytest.mark.parametrize(
    ("key", "name", "module", "offset", "line"),
    [
        (
            FileKey("libnative.so", ELF_ID, "libnative.so"),
            "libnative.so",
            ("libnative.so", ELF_ID),
            0x1335,
            11,
        ),
        # As Debian's packages have it: named after its build id, without the name of the library.
        (
            FileKey(f"{BUILD_ID[2:]}.debug", BUILD_ID, f"{BUILD_ID[2:]}.debug"),
            "libnative.so.debug",
            ("libnative.so", ELF_ID),
            0x1335,
            11,
        ),
        (
            FileKey("native.pdb", WINDOWS_ID, "native.pdb"),
            "native.pdb",
            ("native.pdb", WINDOWS_ID),
            0x1012,
            11,
        ),
        (FileKey("native", ARM_ID, "native"), "fat.dwarf", ("native.dylib", ARM_ID), None, 0),
    ],
)
def test_upload_native_file_symbolicates_whatever_its_name(
    builder: Uploader, key: FileKey, name: str, module: tuple[str, str], offset: int | None, line: int
) -> None:
    assert send(builder, key, name)["warnings"] == []
    if offset is None:
        assert not hasattr(convert(ObjectId(*module)), "reason")
        return
    found = frame(builder, ObjectId(*module), offset)
    assert found["function"].startswith("steps")
    assert (found["file"], found["line"]) == ("/build/src/native.c", line)


def test_upload_of_a_symbol_file_comes_before_a_native_file(builder: Uploader) -> None:
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    text = f"MODULE Linux x86_64 {ELF_ID} libnative.so\nFUNC 1320 28 0 other\n".encode()
    key = FileKey("libnative.so", ELF_ID, "libnative.so.sym")
    file = io.BytesIO(zipped({str(key): text}))
    file.name = "any"
    assert builder.client.post("/upload/", {"symbols.zip": file}).status_code == 201
    assert frame(builder, ObjectId("libnative.so", ELF_ID), 0x1335)["function"] == "other"


def test_upload_of_a_debug_file_replaces_the_symbols_of_its_executable(builder: Uploader) -> None:
    module = ObjectId("libnative.so", ELF_ID)
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "symbols.so")
    assert "file" not in frame(builder, module, 0x1335)
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so.debug"), "libnative.so.debug")
    assert frame(builder, module, 0x1335)["line"] == 11


def test_stamp_of_another_native_file_differs(builder: Uploader) -> None:
    module = ObjectId("libnative.so", ELF_ID)
    assert storage_services.own_stamp(module) == ""
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "symbols.so")
    first = storage_services.own_stamp(module)
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so.debug"), "libnative.so.debug")
    assert "" != first != storage_services.own_stamp(module)


@pytest.mark.parametrize("debug_id", ["0" * 33, "0" * 32 + "A", "B" * 33])
def test_find_native_file_with_another_id_raises_not_found(builder: Uploader, debug_id: str) -> None:
    """The row of a PDB has no build id, and a debug id of zeros must not be taken for that."""
    send(builder, FileKey("native.pdb", WINDOWS_ID, "native.pdb"), "native.pdb")
    with pytest.raises(NotFound):
        find_native_file(ObjectId("native.pdb", debug_id))


@pytest.mark.parametrize("build_id", ["0102030405060708", "01020304050607080900"])
def test_find_native_file_with_a_short_build_id_is_found(builder: Uploader, build_id: str) -> None:
    SymbolFile.objects.create(
        key=f"v1/x/{build_id}/x",
        debug_id=build_id,
        build_id=build_id,
        kind="debug",
        format="elf",
        completed_at=timezone.now(),
    )
    (debug_id,) = debug_ids_of_code_id(build_id)
    assert str(find_native_file(ObjectId("x", debug_id)).key) == f"x/{build_id}/x"
