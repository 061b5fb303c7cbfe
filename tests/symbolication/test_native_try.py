"""Native files of try builds: they symbolicate as regular ones do, for requests that include try builds."""

from __future__ import annotations

from datetime import timedelta
from gzip import decompress
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import RequestFactory
from django.utils import timezone

from tecken.download.protocols.tecken import parse
from tecken.download.views import download
from tecken.errors import NotFound
from tecken.storage import services as storage_services
from tecken.storage.models import NativeName
from tecken.storage.native import find_parents
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tecken.symbols.pagefile.file import Header
from tecken.upload.retention import Retention
from tests.upload.natives import DATA, FRAMES_BUILD_ID, FRAMES_ID, WINDOWS_ID, debian, send
from tests.upload.uploaders import Makes, Uploader, stored

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

MODULE = ObjectId("frames.so", FRAMES_ID)
OTHER_NAME = ObjectId("another.so", FRAMES_ID)
DEBUG = (debian(FRAMES_BUILD_ID), "frames.debug")
EXECUTABLE = (FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
SYM = f"/frames.so/{FRAMES_ID}/frames.so.sym"


@pytest.fixture
def builder(native_builder: Uploader, uploader: Makes) -> Uploader:
    """Return a user whose uploads are those of try builds."""
    return uploader("upload_try_symbols", "try@example.com")


def convert(module: ObjectId) -> Header | Missing:
    """Convert a module of either scope in this process."""
    of_scope = symbolication_services.try_converter if module.is_try else symbolication_services.converter
    return of_scope().convert(module)


def frame(builder: Uploader, module: ObjectId, offset: int, query: str = "?try") -> dict[str, Any]:
    convert(module)
    convert(module.in_try())
    body = {"memoryMap": [[module.debug_file, module.debug_id]], "stacks": [[[0, offset]]]}
    reply = builder.post(f"/symbolicate/v5{query}", body).json()
    found: dict[str, Any] = reply["results"][0]["stacks"][0][0]
    return found


def get(path: str) -> Any:
    """Request a file of a site whose workers convert at once."""
    request = RequestFactory().generic("GET", path, headers={"Accept-Encoding": "gzip"})
    debug_file, debug_id, file_name = path.partition("?")[0].strip("/").split("/")
    names = {"debug_file": debug_file, "debug_id": debug_id, "file_name": file_name}
    return download(parse, lambda module, _client: convert(module))(request, **names)


def text(path: str) -> str:
    response = get(path)
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return decompress(body).decode()


@pytest.mark.parametrize("module", [MODULE, OTHER_NAME, ObjectId("x", FRAMES_BUILD_ID.upper())])
def test_native_file_of_a_try_build_symbolicates_requests_with_try(
    builder: Uploader, module: ObjectId
) -> None:
    assert send(builder, *DEBUG)["warnings"] == []
    assert frame(builder, module, 0x13D5)["line"] == 11
    assert "function" not in frame(builder, module, 0x13D5, query="")


def test_files_of_a_try_build_in_any_order_make_one_module(builder: Uploader) -> None:
    send(builder, *EXECUTABLE)
    assert "line" not in frame(builder, MODULE, 0x13D5)
    send(builder, *DEBUG)
    assert frame(builder, MODULE, 0x13D5)["line"] == 11
    assert find_parents(MODULE.in_try()).executable


def test_native_file_that_arrives_after_a_search_is_found(builder: Uploader) -> None:
    assert "function" not in frame(builder, OTHER_NAME, 0x13D5)
    assert get(f"{SYM}?try").status_code == 404
    send(builder, *DEBUG)
    assert frame(builder, OTHER_NAME, 0x13D5)["line"] == 11
    assert get(f"{SYM}?try").status_code == 200


def test_regular_and_try_files_of_one_id_are_apart(builder: Uploader, native_builder: Uploader) -> None:
    send(builder, *EXECUTABLE)
    convert(MODULE.in_try())
    with pytest.raises(NotFound):
        find_parents(MODULE)
    send(native_builder, *DEBUG)
    assert find_parents(MODULE).executable is None
    assert find_parents(MODULE.in_try()).main.has_code
    # The page file of the try build is still there, and the regular one has a name of its own.
    convert(MODULE)
    assert {module.is_try for module, _ in storage_services.page_files().entries()} == {False, True}
    assert sorted(NativeName.objects.values_list("try_symbols", flat=True)) == [False, True]
    assert frame(native_builder, MODULE, 0x13D5)["line"] == 11


def test_symbol_file_of_a_try_build_is_downloaded_with_try_alone(builder: Uploader) -> None:
    send(builder, *DEBUG)
    send(builder, *EXECUTABLE)
    assert get(SYM).status_code == 404
    lines = text(f"{SYM}?try").splitlines()
    assert lines[0] == f"MODULE Linux x86_64 {FRAMES_ID} frames.so"
    assert {line.partition(" ")[0] for line in lines} >= {"FUNC", "STACK", "13d0"}


def test_native_file_of_a_try_build_is_found_by_its_id(builder: Uploader) -> None:
    send(builder, *DEBUG)
    path = f"/frames.so/{FRAMES_ID}/frames.so.debug"
    assert builder.client.get(path).status_code == 404
    found = builder.client.get(f"{path}?try")
    stored_key = DEBUG[0]._replace(debug_id=FRAMES_BUILD_ID.upper())
    assert (found.status_code, found["Location"]) == (302, f"/{stored_key}?try")
    body = builder.client.get(found["Location"])
    assert body.getvalue() == (DATA / "frames.debug").read_bytes()


def test_packed_pdb_of_a_try_build_symbolicates(builder: Uploader) -> None:
    key = FileKey("native.pdb", WINDOWS_ID, "native.pd_")
    send(builder, key, "../cabinets/native.pd_")
    assert frame(builder, ObjectId("native.pdb", WINDOWS_ID), 0x1010)["line"] == 11
    content = stored(key._replace(file_name="native.pdb"), try_symbols=True)
    assert content == (DATA / "native.pdb").read_bytes()


def test_retention_removes_what_was_made_from_files_of_try_builds(builder: Uploader) -> None:
    send(builder, *DEBUG)
    convert(MODULE.in_try())
    Retention(timezone.now() + timedelta(days=10_000)).run()
    assert [*storage_services.page_files().entries()] == []


def test_fsck_accepts_page_files_of_native_files_of_try_builds(builder: Uploader) -> None:
    send(builder, *DEBUG)
    convert(MODULE.in_try())
    out = StringIO()
    call_command("symbols", "fsck", stdout=out)
    assert "2 page files: 0 problems" in out.getvalue()


def test_explain_shows_native_files_of_try_builds(builder: Uploader) -> None:
    send(builder, *DEBUG)
    page = builder.client.get("/explain/", {"file": MODULE.debug_file, "id": MODULE.debug_id}, follow=True)
    assert "Native files of try builds" in page.content.decode()
    assert "Only try builds have its symbols." in page.content.decode()
