"""Uploads of source bundles, whose source files are found by debug id and path."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tecken.errors import NotFound, Unavailable
from tecken.storage import services as storage_services
from tecken.storage.models import Blob, SourceFile, SymbolFile
from tecken.storage.source_code import StoredSource, find_source, read_source
from tecken.symbols.layouts import FileKey
from tecken.upload.retention import Retention
from tests.support.source_bundles import TEXTS, bundle, bundle_of, manifest
from tests.upload.natives import ELF_ID
from tests.upload.uploaders import Makes, Uploader, stored
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db
KEY = FileKey("libnative.so", ELF_ID, "libnative.so.src.zip")


def post(builder: Uploader, content: bytes, name: str = "sources.zip", status: int = 201) -> Any:
    file = io.BytesIO(content)
    file.name = name
    reply = builder.client.post("/upload/", {name: file})
    assert reply.status_code == status, reply.content
    answer = reply.json()
    return answer.get("upload", answer)


def find(path: str, debug_id: str = ELF_ID) -> StoredSource:
    return find_source([debug_id], path, with_try=False)


def text(path: str, debug_id: str = ELF_ID) -> bytes:
    return read_source(storage_services.own_files(), find(path, debug_id))


@pytest.mark.parametrize("form", ["alone", "zip without the header", "in an archive", "in a symbol store"])
def test_bundle_is_stored_below_the_id_of_its_manifest(uploader: Makes, form: str) -> None:
    content = bundle(ELF_ID, header=b"") if form == "zip without the header" else bundle(ELF_ID)
    sent = {
        "in an archive": zipped({"out/any.bin": content}),
        "in a symbol store": zipped({str(KEY): content}),
    }
    upload = post(uploader(), sent.get(form, content))
    assert (upload["warnings"], upload["ignored_keys"]) == ([], [])
    row = SymbolFile.objects.get()
    assert (row.key, row.kind, row.format, row.arch) == (f"v1/{KEY}", "sources", "source bundle", "x86_64")
    assert stored(KEY) == content
    assert {path: text(path) for path in TEXTS} == TEXTS


def test_direct_upload_of_a_bundle_is_indexed(uploader: Makes) -> None:
    builder = uploader()
    content = bundle(ELF_ID)
    announced = builder.announce({KEY: content})
    builder.put(announced["files"][0]["action"]["url"], content)
    builder.complete(announced["id"])
    assert text("/src/app/main.c") == TEXTS["/src/app/main.c"]


def test_stored_members_are_read_like_deflated_ones(uploader: Makes) -> None:
    texts = {"/a.c": b"", "/b.c": random.Random(1).randbytes(700_000), "/c.c": b"\0\xff" * 300_000}
    post(uploader(), bundle(ELF_ID, texts, compression=zipfile.ZIP_STORED))
    assert {path: text(path) for path in texts} == texts


def test_large_file_of_a_compressed_blob_is_read_by_range(uploader: Makes) -> None:
    texts = {f"/{number}.c": b"line %d\n" % number * 200_000 for number in range(3)}
    post(uploader(), bundle(ELF_ID, texts, compression=zipfile.ZIP_STORED))
    ((_, blob),) = storage_services.own_files().blobs.entries()
    assert blob.size < 1 << 20
    assert {path: text(path) for path in texts} == texts


def test_path_is_found_in_any_spelling_of_its_directories(uploader: Makes) -> None:
    post(uploader(), bundle(ELF_ID, {"/src/x/../app//./main.c": b"main", "C:\\src\\..\\a.c": b"windows"}))
    assert text("/src/app/main.c") == text("//src/app/y/../main.c") == b"main"
    assert text("C:\\a.c") == b"windows"
    with pytest.raises(NotFound):
        find("/src/app/Main.c")


def test_hostile_paths_are_keys_only(uploader: Makes) -> None:
    paths = ["../../../etc/passwd", "/../../etc/passwd", "files/../..", "'; DROP TABLE storage_blob; --"]
    post(uploader(), bundle(ELF_ID, {path: path.encode() for path in paths}))
    assert [text(path) for path in paths] == [path.encode() for path in paths]


def test_source_of_another_id_and_of_zeros_is_not_found(uploader: Makes) -> None:
    builder = uploader()
    post(builder, bundle(ELF_ID))
    post(builder, zipped({f"x/{'0' * 33}/x.src.zip": bundle("0" * 33, {"/zero.c": b"x"})}))
    for debug_id in ("A" * 33, "0" * 33):
        with pytest.raises(NotFound):
            find("/zero.c", debug_id)


def test_equal_bundles_share_content_and_rows(uploader: Makes) -> None:
    content = bundle(ELF_ID)
    builder = uploader()
    post(builder, content)
    other = FileKey("other.so", "A" * 33, "other.so.src.zip")
    post(builder, zipped({str(other): content}))
    assert (Blob.objects.count(), SourceFile.objects.count()) == (1, len(TEXTS))
    assert text("/src/app/main.c", "A" * 33) == TEXTS["/src/app/main.c"]


def test_same_bundle_again_is_skipped(uploader: Makes) -> None:
    builder = uploader()
    post(builder, bundle(ELF_ID))
    assert post(builder, bundle(ELF_ID))["skipped_keys"] == [f"v1/{KEY}"]
    assert SourceFile.objects.count() == len(TEXTS)


def test_replaced_bundle_answers_no_more(uploader: Makes) -> None:
    builder = uploader()
    post(builder, bundle(ELF_ID, {"/a.c": b"old", "/gone.c": b"old"}))
    post(builder, bundle(ELF_ID, {"/a.c": b"new"}))
    assert text("/a.c") == b"new"
    with pytest.raises(NotFound):
        find("/gone.c")


def test_bundle_of_a_try_build_answers_no_regular_request(uploader: Makes) -> None:
    post(uploader("upload_try_symbols", "try@example.com"), bundle(ELF_ID))
    assert SourceFile.objects.count() == len(TEXTS)
    with pytest.raises(NotFound):
        find("/src/app/main.c")


def test_retention_removes_the_rows_with_the_content(uploader: Makes) -> None:
    post(uploader(), bundle(ELF_ID))
    Retention(timezone.now() + timedelta(days=731)).run()
    assert not SourceFile.objects.exists()
    assert not list(storage_services.own_files().blobs.entries())


@pytest.mark.parametrize("header", [b"SYSB\2\0\0\0", b"SYSB"])
def test_broken_bundle_is_refused_with_the_reason(uploader: Makes, header: bytes) -> None:
    answer = post(uploader(), header + b"no zip at all" * 100, status=400)
    assert "the source bundle cannot be read" in str(answer["error"])
    assert not SymbolFile.objects.exists()


def test_broken_bundle_in_an_archive_is_named(uploader: Makes) -> None:
    broken = bundle_of(manifest(ELF_ID, {"absent": "/a.c"}), {})
    upload = post(uploader(), zipped({"good": bundle(ELF_ID), "broken": broken}))
    (warning,) = upload["warnings"]
    assert (warning["key"], warning["stored"]) == ("broken", False)
    assert "does not have 'absent'" in warning["message"]


def test_zip_with_another_manifest_stays_an_archive(uploader: Makes) -> None:
    symbols = f"MODULE Linux x86_64 {ELF_ID} x\nPUBLIC 10 0 main\n".encode()
    upload = post(uploader(), zipped({"manifest.json": b'{"name": "extension"}', "x.sym": symbols}))
    assert upload["ignored_keys"] == ["manifest.json"]
    assert SymbolFile.objects.get().debug_file == "x"


def bomb(declared: int, actual: int) -> bytes:
    """Return a bundle with a member that unpacks to more or fewer bytes than its directory declares."""
    content = bundle(ELF_ID, {"/a.c": b"x" * actual})
    return content.replace(actual.to_bytes(4, "little"), declared.to_bytes(4, "little"))


def test_member_that_unpacks_to_more_than_declared_is_cut(uploader: Makes) -> None:
    post(uploader(), bomb(declared=1000, actual=1_000_003))
    assert text("/a.c") == b"x" * 1000


def test_member_that_unpacks_to_less_than_declared_is_damaged(uploader: Makes) -> None:
    post(uploader(), bomb(declared=1_000_003, actual=1000))
    with pytest.raises(Unavailable, match="damaged: 999003 bytes are missing"):
        text("/a.c")


def test_member_whose_own_header_is_not_there_is_damaged(uploader: Makes) -> None:
    content = bundle(ELF_ID)
    post(uploader(), content[:8] + b"XX" + content[10:])
    with pytest.raises(Unavailable, match="damaged"):
        text("/src/app/main.c")
