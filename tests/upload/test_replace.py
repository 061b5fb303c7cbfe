"""Uploads of a file that is stored already: skipped, replaced, or refused by `upload_replace`."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from tecken.storage import services as storage_services
from tecken.storage.backends.files import gzip_chunks
from tecken.storage.models import SymbolFile
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tecken.upload.models import Upload
from tests.support.options import Override
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader, stored
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

NATIVE = FileKey("crash-c", SYM_KEY.debug_id, "crash-c")
OTHER_SYM = SYM + b"PUBLIC ffff0 0 other\n"


@pytest.fixture
def alice(uploader: Makes) -> Uploader:
    return uploader(email="alice@example.com")


@pytest.fixture
def bob(uploader: Makes) -> Uploader:
    return uploader(email="bob@example.com")


def send(who: Uploader, files: dict[FileKey, bytes]) -> Any:
    file = io.BytesIO(zipped({str(key): content for key, content in files.items()}))
    file.name = "any"
    return who.client.post("/upload/", {"symbols.zip": file})


def test_upload_same_bytes_as_an_object_without_row_are_skipped(alice: Uploader) -> None:
    storage_services.own_files().put(SYM_KEY, gzip_chunks([SYM]))
    storage_services.own_files().put(NATIVE, [b"native"])
    before = storage_services.own_files().stat(SYM_KEY)
    upload = send(alice, {SYM_KEY: SYM, NATIVE: b"native"}).json()["upload"]
    assert sorted(upload["skipped_keys"]) == [f"v1/{NATIVE}", f"v1/{SYM_KEY}"]
    assert storage_services.own_files().stat(SYM_KEY) == before
    assert SymbolFile.objects.filter(upload=None, debug_file="crash-c").count() == 2


def test_upload_after_a_killed_upload_finishes_it(alice: Uploader) -> None:
    """The killed upload stored the file, but neither removed the former page file nor wrote the row."""
    send(alice, {SYM_KEY: OTHER_SYM})
    module = ObjectId.parse(*SYM_KEY[:2])
    storage_services.page_files().write(module, [b"made of the former file"])
    storage_services.own_files().put(SYM_KEY, gzip_chunks([SYM]))
    for _ in range(2):
        assert send(alice, {SYM_KEY: SYM}).json()["upload"]["skipped_keys"] == [f"v1/{SYM_KEY}"]
    assert module not in dict(storage_services.page_files().entries())
    assert SymbolFile.objects.filter(etag=storage_services.own_files().stat(SYM_KEY).etag).count() == 1


@pytest.mark.parametrize("there", [OTHER_SYM, SYM[:-1], b"", SYM[:-2] + b"!\n"])
def test_upload_over_an_object_without_row_stores_other_bytes(alice: Uploader, there: bytes) -> None:
    storage_services.own_files().put(SYM_KEY, gzip_chunks([there]))
    assert send(alice, {SYM_KEY: SYM}).json()["upload"]["skipped_keys"] == []
    assert stored(SYM_KEY) == SYM


def test_upload_over_a_broken_object_without_row_is_stored(alice: Uploader) -> None:
    storage_services.own_files().put(SYM_KEY, [b"\x1f\x8bbroken"])
    assert send(alice, {SYM_KEY: SYM}).status_code == 201
    assert stored(SYM_KEY) == SYM


def test_upload_replacing_the_file_of_another_user_is_logged_and_noted_in_the_first_row(
    alice: Uploader, bob: Uploader, caplog: pytest.LogCaptureFixture
) -> None:
    first = send(alice, {SYM_KEY: SYM}).json()["upload"]["id"]
    with caplog.at_level(logging.WARNING, "tecken.upload.file_rows"):
        second = send(bob, {SYM_KEY: OTHER_SYM}).json()["upload"]["id"]
    assert caplog.messages == [
        f"v1/{SYM_KEY}: replaced by upload {second} of bob@example.com; "
        f"it was stored by upload {first} of alice@example.com"
    ]
    assert SymbolFile.objects.get(upload=first).replaced_by_id == second
    assert SymbolFile.objects.get(upload=second).replaced_by_id is None


def test_upload_replacing_a_file_of_a_user_without_email_is_logged_by_name(
    alice: Uploader, bob: Uploader, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.filter(pk=alice.user.pk).update(username="alice", email="")
    first = send(alice, {SYM_KEY: SYM}).json()["upload"]["id"]
    with caplog.at_level(logging.WARNING, "tecken.upload.file_rows"):
        send(bob, {SYM_KEY: OTHER_SYM})
    (message,) = caplog.messages
    assert message.endswith(f"it was stored by upload {first} of alice")


def test_upload_replacing_a_file_of_the_same_user_logs_no_warning(
    alice: Uploader, caplog: pytest.LogCaptureFixture
) -> None:
    send(alice, {SYM_KEY: SYM})
    with caplog.at_level(logging.WARNING, "tecken.upload.file_rows"):
        send(alice, {SYM_KEY: OTHER_SYM})
    assert caplog.messages == []


def test_upload_replace_own_keeps_the_file_of_another_user_and_stores_the_rest(
    alice: Uploader, bob: Uploader, runtime_options: Override
) -> None:
    runtime_options(upload_replace="own")
    first = send(alice, {SYM_KEY: SYM}).json()["upload"]["id"]
    reply = send(bob, {SYM_KEY: OTHER_SYM, NATIVE: b"native"})
    assert reply.status_code == 201
    (warning,) = reply.json()["upload"]["warnings"]
    assert (warning["key"], warning["stored"]) == (f"v1/{SYM_KEY}", False)
    assert f"by alice@example.com in upload {first}" in warning["message"]
    assert stored(SYM_KEY) == SYM
    assert stored(NATIVE) == b"native"
    assert send(alice, {SYM_KEY: OTHER_SYM}).json()["upload"]["warnings"] == []
    assert stored(SYM_KEY) == OTHER_SYM


def test_upload_replace_own_keeps_a_file_without_upload(alice: Uploader, runtime_options: Override) -> None:
    runtime_options(upload_replace="own")
    storage_services.own_files().put(SYM_KEY, gzip_chunks([OTHER_SYM]))
    reply = send(alice, {SYM_KEY: SYM})
    assert (reply.status_code, "by no upload" in reply.json()["error"]) == (409, True)


def test_upload_replace_never_archive_without_new_files_is_409(
    alice: Uploader, runtime_options: Override
) -> None:
    runtime_options(upload_replace="never")
    send(alice, {SYM_KEY: SYM})
    reply = send(alice, {SYM_KEY: OTHER_SYM})
    assert reply.status_code == 409
    assert reply.json()["error"].startswith(f"None of 1 files is stored; v1/{SYM_KEY}: not stored")
    upload = Upload.objects.latest("pk")
    assert (upload.completed_at, upload.error) == (None, reply.json()["error"])
    assert send(alice, {SYM_KEY: SYM}).status_code == 201


def test_upload_replace_never_direct_upload_is_409_at_each_completion(
    alice: Uploader, runtime_options: Override
) -> None:
    runtime_options(upload_replace="never")
    send(alice, {SYM_KEY: SYM})
    answer = alice.announce({SYM_KEY: OTHER_SYM})
    alice.put(answer["files"][0]["action"]["url"], OTHER_SYM)
    assert [alice.complete(answer["id"]).status_code for _ in range(2)] == [409, 409]
    assert stored(SYM_KEY) == SYM


def test_upload_replace_never_sym_upload_is_refused(alice: Uploader, runtime_options: Override) -> None:
    runtime_options(upload_replace="never")
    send(alice, {SYM_KEY: SYM})
    fields = {"debug_file": SYM_KEY.debug_file, "debug_identifier": SYM_KEY.debug_id}
    for content, status in ((OTHER_SYM, 409), (SYM, 200)):
        file = SimpleUploadedFile("crash-c.sym", content)
        path = f"/upload/sym_upload?key={alice.key}"
        assert alice.client.post(path, {**fields, "symbol_file": file}).status_code == status
    assert stored(SYM_KEY) == SYM
