"""Native files from the upload to the frame."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tecken.errors import NotFound
from tecken.storage import services as storage_services
from tecken.storage.models import SymbolFile
from tecken.storage.native import find_parents
from tecken.symbols.ids import ObjectId, debug_ids_of_code_id
from tecken.symbols.layouts import FileKey
from tests.support.engines import ENGINES, engine_for
from tests.upload.natives import (
    ARM_ID,
    BUILD_ID,
    ELF_ID,
    WINDOWS_ID,
    convert,
    debian,
    frame,
    send,
    send_bytes,
)
from tests.upload.uploaders import Makes, Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db


@pytest.fixture(params=ENGINES)
def native_builder(
    uploader: Makes, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Uploader:
    """On a site that converts native files, with each engine."""
    engine = engine_for(request.param)
    monkeypatch.setattr(storage_services, "find_engine", lambda: engine)
    return uploader()


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
            debian(BUILD_ID),
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
    native_builder: Uploader, key: FileKey, name: str, module: tuple[str, str], offset: int | None, line: int
) -> None:
    assert send(native_builder, key, name)["warnings"] == []
    if offset is None:
        assert not hasattr(convert(ObjectId(*module)), "reason")
        return
    found = frame(native_builder, ObjectId(*module), offset)
    assert found["function"].startswith("steps")
    assert (found["file"], found["line"]) == ("/build/src/native.c", line)


def test_upload_of_a_symbol_file_comes_before_a_native_file(native_builder: Uploader) -> None:
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    text = f"MODULE Linux x86_64 {ELF_ID} libnative.so\nFUNC 1320 28 0 other\n".encode()
    key = FileKey("libnative.so", ELF_ID, "libnative.so.sym")
    send_bytes(native_builder, key, text)
    assert frame(native_builder, ObjectId("libnative.so", ELF_ID), 0x1335)["function"] == "other"


def test_upload_of_a_debug_file_replaces_the_symbols_of_its_executable(native_builder: Uploader) -> None:
    module = ObjectId("libnative.so", ELF_ID)
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "symbols.so")
    assert "file" not in frame(native_builder, module, 0x1335)
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so.debug"), "libnative.so.debug")
    assert frame(native_builder, module, 0x1335)["line"] == 11


def test_stamp_of_another_native_file_differs(native_builder: Uploader) -> None:
    module = ObjectId("libnative.so", ELF_ID)
    assert storage_services.own_stamp(module) is None
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "symbols.so")
    first = storage_services.own_stamp(module)
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so.debug"), "libnative.so.debug")
    assert None is not first != storage_services.own_stamp(module)


@pytest.mark.parametrize("debug_id", ["0" * 33, "0" * 32 + "A", "B" * 33])
def test_find_parents_with_another_id_raises_not_found(native_builder: Uploader, debug_id: str) -> None:
    """The row of a PDB has no build id, and a debug id of zeros must not be taken for that."""
    send(native_builder, FileKey("native.pdb", WINDOWS_ID, "native.pdb"), "native.pdb")
    with pytest.raises(NotFound):
        find_parents(ObjectId("native.pdb", debug_id))


@pytest.mark.parametrize("build_id", ["0102030405060708", "01020304050607080900"])
def test_find_parents_with_a_short_build_id_is_found(native_builder: Uploader, build_id: str) -> None:
    SymbolFile.objects.create(
        key=f"v1/x/{build_id}/x",
        debug_id=build_id,
        build_id=build_id,
        native_id=debug_ids_of_code_id(build_id)[0],
        kind="debug",
        format="elf",
        completed_at=timezone.now(),
    )
    (debug_id,) = debug_ids_of_code_id(build_id)
    assert str(find_parents(ObjectId("x", debug_id)).main.key) == f"x/{build_id}/x"
