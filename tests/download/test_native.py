"""Downloads of native files, and of the `.sym` files that are made from them, by their ids."""

from __future__ import annotations

from functools import partial
from gzip import decompress
from typing import Any

import pytest
from django.test import RequestFactory

from tecken.download.protocols.tecken import parse
from tecken.download.views import download
from tecken.storage import services as storage_services
from tecken.store import services as store_services
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.page_reader import read_header
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tecken.symbols.pagefile.file import PREFIX
from tests.support.options import Override
from tests.upload.natives import (
    DATA,
    FRAMES_BUILD_ID,
    FRAMES_ID,
    UNWIND_ID,
    convert,
    debian,
    send,
    send_bytes,
)
from tests.upload.uploaders import Makes, Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

DEBUG = (debian(FRAMES_BUILD_ID), "frames.debug")
SYM = f"/frames.so/{FRAMES_ID}/frames.so.sym"


def convert_here(module: ObjectId, _client: str) -> None:
    """Convert in this process, in place of a worker."""
    if module.is_try:
        symbolication_services.try_converter().convert(module)
    else:
        convert(module)


def get(path: str, method: str = "GET") -> Any:
    """Request a file of a site whose workers convert at once."""
    request = RequestFactory().generic(method, path, headers={"Accept-Encoding": "gzip"})
    *root, debug_file, debug_id, file_name = path.partition("?")[0].strip("/").split("/")
    names = {"debug_file": debug_file, "debug_id": debug_id, "file_name": file_name}
    return download(partial(parse, root="/try") if root else parse, convert_here)(request, **names)


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


@pytest.mark.parametrize(
    "path",
    [
        SYM,
        f"/another/{FRAMES_ID.lower()}/another.sym",
        f"/frames.so/{FRAMES_ID[:-1]}/frames.so.sym",
    ],
)
def test_symbol_file_of_native_files_is_complete_under_any_name(native_builder: Uploader, path: str) -> None:
    send(native_builder, *DEBUG)
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    response = get(path)
    assert (response.status_code, response["Content-Encoding"]) == (200, "gzip")
    lines = decompress(body(response)).decode().splitlines()
    assert lines[0] == f"MODULE Linux x86_64 {FRAMES_ID} frames.so"
    assert {line.partition(" ")[0] for line in lines} >= {"FILE", "FUNC", "STACK", "13d0"}
    head = get(path, "HEAD")
    assert (head["ETag"], head["Content-Encoding"], head.content) == (response["ETag"], "gzip", b"")


def test_symbol_file_of_native_files_by_build_id_is_a_redirect_to_the_debug_id(
    native_builder: Uploader,
) -> None:
    send(native_builder, *DEBUG)
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    response = get(f"/another/{FRAMES_BUILD_ID}/another.sym")
    assert (response.status_code, response["Location"]) == (302, SYM)
    assert get(SYM).status_code == 200


def test_symbol_file_of_a_pdb_by_code_file_and_code_id_is_a_redirect_to_its_debug_id(
    native_builder: Uploader,
) -> None:
    """Stackwalkers take the debug file and the debug id from the address."""
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    send(native_builder, FileKey("unwind.exe", "CD6F5F244000", "unwind.exe"), "unwind.exe")
    by_code_id = get("/unwind.exe/cd6f5f244000/unwind.sym")
    location = f"/unwind.pdb/{UNWIND_ID}/unwind.sym"
    assert (by_code_id.status_code, by_code_id["Location"]) == (302, location)
    assert get("/unwind.exe/CD6F5F244000/unwind.sym", "HEAD")["Location"] == location
    lines = decompress(body(get(location))).decode().splitlines()
    assert lines[0] == f"MODULE windows x86_64 {UNWIND_ID} unwind.pdb"
    assert get("/other.exe/CD6F5F244000/other.sym").status_code == 404


@pytest.mark.usefixtures("native_builder")
def test_symbol_file_of_a_try_build_by_code_id_is_a_redirect_below_try(uploader: Makes) -> None:
    builder = uploader("upload_try_symbols", "try@example.com")
    send(builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    send(builder, FileKey("unwind.exe", "CD6F5F244000", "unwind.exe"), "unwind.exe")
    path, location = "/unwind.exe/CD6F5F244000/unwind.sym", f"/unwind.pdb/{UNWIND_ID}/unwind.sym"
    assert get(f"/try{path}")["Location"] == f"/try{location}"
    assert get(f"{path}?try=1")["Location"] == f"{location}?try=1"
    assert get(path).status_code == 404


def test_symbol_file_is_requested_without_a_worker_answers_503(
    native_builder: Uploader, runtime_options: Override
) -> None:
    send(native_builder, *DEBUG)
    runtime_options(symbolicate_deadline_seconds=0.1)
    response = native_builder.client.get(SYM)
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_symbol_file_is_there_although_it_was_remembered_as_missing(
    native_builder: Uploader, method: str
) -> None:
    assert get(SYM).status_code == 404
    assert get(f"/frames.so/{FRAMES_BUILD_ID}/frames.so.sym").status_code == 404
    send(native_builder, *DEBUG)
    assert get(SYM, method).status_code == 200
    assert get(f"/frames.so/{FRAMES_BUILD_ID}/frames.so.sym").status_code == 302


def test_symbol_file_is_another_one_after_another_upload(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    assert b"STACK" not in decompress(body(get(SYM)))
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    assert b"STACK" in decompress(body(get(SYM)))


def test_symbol_file_of_a_file_that_cannot_be_converted_is_not_found(native_builder: Uploader) -> None:
    content = (DATA / "frames.debug").read_bytes()
    send_bytes(native_builder, DEBUG[0], content.replace(b".debug_info", b".debug_inf0", 1)[:-40])
    assert get(SYM).status_code == 404


def test_symbol_file_disappears_with_its_page_file(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    assert get(SYM).status_code == 200
    symbolication_services.remove_derived(ObjectId.without_name(FRAMES_ID))
    assert [*storage_services.page_files().entries()] == []
    # It is made again.
    assert get(SYM).status_code == 200


def test_symbol_file_is_made_again_from_a_page_file_with_a_malformed_header(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    lines = decompress(body(get(SYM)))
    files, nameless = storage_services.page_files(), ObjectId.without_name(FRAMES_ID)
    header = read_header(files, nameless)
    files.write(nameless, [header[:PREFIX], b"\0" * (len(header) - PREFIX)])
    store_services.page_store().forget(nameless)
    assert decompress(body(get(SYM))) == lines


def test_uploaded_symbol_file_comes_before_that_of_native_files(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    own = f"MODULE Linux x86_64 {FRAMES_ID} frames.so\nFUNC 13c0 28 0 own\n".encode()
    send_bytes(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so.sym"), own)
    assert decompress(body(get(SYM))) == own


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        (f"/frames.so/{FRAMES_ID}/frames.so.debug", str(DEBUG[0]).replace(FRAMES_BUILD_ID, "BUILD")),
        (f"/frames.so/{FRAMES_BUILD_ID}/frames.so", f"stripped/{FRAMES_ID}/stripped"),
    ],
)
def test_native_file_under_another_name_is_a_redirect(
    native_builder: Uploader, path: str, stored: str
) -> None:
    assert get(path).status_code == 404
    send(native_builder, *DEBUG)
    send(native_builder, FileKey("stripped", FRAMES_ID, "stripped"), "frames.so")
    response = get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/{stored}".replace("BUILD", FRAMES_BUILD_ID.upper())
    assert get(f"/frames.so/{FRAMES_ID}/frames.pdb").status_code == 404
