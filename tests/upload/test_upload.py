"""POST /upload/: every text and status, and the stored files and rows."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from celery.exceptions import Retry
from django.test import Client
from django.test.client import MULTIPART_CONTENT
from django.utils import timezone
from pytest_django import Settings

from tecken import redisclient, services
from tecken.errors import NotFound
from tecken.http.form import Spool
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.storage.models import SymbolFile
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tecken.symbols.pagefile.file import Header
from tecken.tasks import keep_upload
from tecken.upload import archive_upload
from tecken.upload.ingest import ingest_file
from tecken.upload.models import Upload
from tests.support.options import Override
from tests.support.redis_server import free_port
from tests.support.s3_server import S3Bucket
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader, stored
from tests.upload.zips import corrupted, deflated, packed_as, zipped

pytest_plugins = ["tests.support.upstreams", "tests.upload.site"]
pytestmark = pytest.mark.django_db

DLL_KEY = FileKey("crash-c", SYM_KEY.debug_id, "crash-c.dl_")
DLL = b"odd" + bytes(range(256)) * 20
BOTH = zipped({str(SYM_KEY): SYM, str(DLL_KEY): DLL})


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


def send(who: Uploader, archive: bytes = BOTH, name: str = "symbols.zip", query: str = "") -> Any:
    file = io.BytesIO(archive)
    file.name = "any"
    return who.client.post(f"/upload/{query}", {name: file})


def rows() -> list[str]:
    return sorted(SymbolFile.objects.values_list("key", flat=True))


def test_upload_archive_stores_every_member_before_the_response(builder: Uploader) -> None:
    reply = send(builder)
    assert reply.status_code == 201, reply.content
    upload = Upload.objects.get()
    answer = reply.json()["upload"]
    assert answer.pop("completed_at") > answer.pop("created_at") > "2020"
    assert answer == {
        "id": upload.pk,
        "size": len(BOTH),
        "filename": "symbols.zip",
        "bucket": storage_services.own_files().name,
        "region": None,
        "download_url": None,
        "try_symbols": False,
        "redirect_urls": [],
        "user": "builder@example.com",
        "skipped_keys": [],
        "ignored_keys": [],
        "warnings": [],
        "members_total": 2,
        "members_done": 2,
        **dict.fromkeys(("build", "branch", "commit", "note"), ""),
        "resolved": dict.fromkeys(("modules", "requests", "symbolications", "debuginfod", "symsrv"), 0),
    }
    assert (stored(SYM_KEY), stored(DLL_KEY)) == (SYM, DLL)
    assert rows() == [f"v1/{DLL_KEY}", f"v1/{SYM_KEY}"]


def test_upload_symbol_file_row_has_the_fields_of_its_records(builder: Uploader) -> None:
    send(builder, zipped({str(SYM_KEY).lower().replace("crash-c.sym", "crash-c.sym"): SYM}))
    row = SymbolFile.objects.get()
    there = storage_services.own_files().stat(SYM_KEY)
    assert (row.debug_file, row.debug_id) == SYM_KEY[:2]
    assert row.generator == "mozilla/dump_syms 2.3.9"
    assert row.code_id == "6CB9DBDAED91F95812FB09F7F2655E6F992E626C"
    assert (row.size, row.original_size, row.etag) == (there.size, len(SYM), there.etag)
    assert (row.compressed, row.update, row.try_symbols) == (True, False, False)


def test_upload_row_of_each_file_has_what_is_known_of_its_format(builder: Uploader) -> None:
    send(builder)
    columns = ("kind", "format", "build_id", "arch")
    found = {row.pop("key"): tuple(row.values()) for row in SymbolFile.objects.values("key", *columns)}
    build_id = "6cb9dbdaed91f95812fb09f7f2655e6f992e626c"
    assert found == {
        f"v1/{SYM_KEY}": ("debug", "breakpad", build_id, "x86_64"),
        f"v1/{DLL_KEY}": ("unknown", "unknown", "", ""),
    }


@pytest.mark.parametrize(
    ("written", "build_id"), [("ABCD1234" * 5, "abcd1234" * 5), ("A" * 129, ""), ("nonsense", "")]
)
def test_upload_row_has_the_build_id_in_lower_case_if_it_is_hex(
    builder: Uploader, written: str, build_id: str
) -> None:
    """PostgreSQL refuses a longer text than the column holds."""
    text = f"MODULE Linux x86_64 {SYM_KEY.debug_id} crash-c\nINFO CODE_ID {written}\nFUNC 1000 20 0 f\n"
    assert send(builder, zipped({str(SYM_KEY): text.encode()})).status_code == 201
    assert SymbolFile.objects.get().build_id == build_id


def test_upload_stored_file_is_skipped_and_changed_file_is_stored(builder: Uploader) -> None:
    send(builder)
    other = DLL[:-1] + b"!"
    answer = send(builder, zipped({str(SYM_KEY): SYM, str(DLL_KEY): other})).json()["upload"]
    assert answer["skipped_keys"] == [f"v1/{SYM_KEY}"]
    assert stored(DLL_KEY) == other
    assert SymbolFile.objects.filter(upload=answer["id"]).values_list("key", "update").get() == (
        f"v1/{DLL_KEY}",
        True,
    )


def test_upload_over_an_object_without_row_replaces_it(builder: Uploader) -> None:
    send(builder)
    storage_services.own_files().put(DLL_KEY, [b"x" * len(DLL)])
    assert send(builder).json()["upload"]["skipped_keys"] == [f"v1/{SYM_KEY}"]
    assert stored(DLL_KEY) == DLL


def test_upload_of_a_deleted_object_stores_it_again(builder: Uploader) -> None:
    send(builder)
    storage_services.own_files().delete(SYM_KEY)
    assert send(builder).json()["upload"]["skipped_keys"] == [f"v1/{DLL_KEY}"]
    assert stored(SYM_KEY) == SYM


def test_upload_ignored_members_are_listed(builder: Uploader) -> None:
    answer = send(builder, zipped({"firefox-symbols.txt": b"x", str(DLL_KEY): DLL})).json()["upload"]
    assert answer["ignored_keys"] == ["firefox-symbols.txt"]
    assert answer["members_total"] == 1


def test_upload_with_try_token_stores_try_symbols(uploader: Makes) -> None:
    builder = uploader("upload_try_symbols")
    answer = send(builder, query="?try_symbols=false").json()["upload"]
    assert answer["try_symbols"] is True
    assert stored(SYM_KEY, try_symbols=True) == SYM
    with pytest.raises(NotFound):
        stored(SYM_KEY)
    assert set(SymbolFile.objects.values_list("try_symbols", flat=True)) == {True}


def test_upload_regular_and_try_files_are_independent(uploader: Makes) -> None:
    send(uploader("upload_try_symbols", "try@example.com"))
    assert send(uploader()).json()["upload"]["skipped_keys"] == []


@pytest.mark.parametrize(
    ("key", "content", "text"),
    [
        (
            SYM_KEY._replace(debug_id="A" * 33),
            SYM,
            f"its MODULE record is of another build, {SYM_KEY.debug_id}",
        ),
        (SYM_KEY, b"hello", "no MODULE record"),
    ],
)
def test_upload_unusable_symbol_file_is_stored_with_a_warning(
    builder: Uploader, key: FileKey, content: bytes, text: str
) -> None:
    (warning,) = send(builder, zipped({str(key): content})).json()["upload"]["warnings"]
    assert warning["key"] == f"v1/{key}"
    assert text in warning["message"]
    assert stored(key) == content


def test_upload_of_a_missing_module_is_visible_in_this_process_at_once(builder: Uploader) -> None:
    module = ObjectId.parse(*SYM_KEY[:2])
    assert not isinstance(symbolication_services.converter().convert(module), Header)
    send(builder)
    assert isinstance(symbolication_services.converter().convert(module), Header)


@pytest.mark.parametrize(
    ("archive", "name", "status", "text"),
    [
        (BOTH, "symbols.rar", 400, 'Unrecognized archive file extension ".rar"'),
        (b"no zip", "notes.txt", 400, 'Unrecognized archive file extension ".txt"'),
        (b"no zip", "symbols.zip", 400, "File is not a zip file"),
        (b"no zip", "symbols", 400, "File is neither an archive"),
        (b"no zip", "libx.so", 400, "nor a symbol file of a known format"),
        (b"", "symbols.zip", 400, "File is not a zip file"),
        (
            zipped({"vendor/qcom/proprietary/x": b""}),
            "a.zip",
            400,
            "Content of archive file contains the snippet",
        ),
        (zipped({"../x": b""}), "a.zip", 400, "Unrecognized file pattern"),
        (zipped({}), "a.zip", 400, "The archive has no files"),
        (zipped({"m/ABC/m.sym": bytes(9 << 20)}), "a.zip", 413, "times its size"),
    ],
)
def test_upload_invalid_archive_is_refused(
    builder: Uploader, archive: bytes, name: str, status: int, text: str
) -> None:
    reply = send(builder, archive, name)
    assert (reply.status_code, text in reply.json()["error"]) == (status, True), reply.content
    assert not Upload.objects.exists()


def test_upload_with_a_broken_member_stores_the_others(builder: Uploader) -> None:
    reply = send(builder, corrupted(zipped({str(DLL_KEY): DLL})))
    assert reply.status_code == 400
    assert "cannot be unpacked: Bad CRC-32" in reply.json()["error"]
    upload = Upload.objects.get()
    assert upload.error == reply.json()["error"]
    assert (upload.completed_at, upload.members_done) == (None, 0)
    assert list(storage_services.own_files().keys()) == []


def read_stored(key: FileKey) -> bytes:
    """Return the bytes in the storage."""
    with storage_services.own_files().read(key) as chunks:
        return b"".join(chunks)


def test_upload_compressed_member_is_stored_as_its_client_compressed_it(builder: Uploader) -> None:
    text, stream = SYM + bytes(len(SYM)), deflated(SYM + bytes(len(SYM)))
    assert send(builder, packed_as(str(SYM_KEY), stream, text)).status_code == 201
    there = read_stored(SYM_KEY)
    assert (gzip.decompress(there), there[10:-8]) == (text, stream)
    row = SymbolFile.objects.get()
    assert (row.size, row.original_size) == (len(there), len(text))
    assert row.content_hash == sha256(text).hexdigest()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_upload_member_that_is_hardly_compressed_is_compressed(builder: Uploader, compression: int) -> None:
    text = SYM + bytes(1 << 20)
    level_0 = zlib.compressobj(0, wbits=-15)
    stream = level_0.compress(text) + level_0.flush()
    is_deflated = compression == zipfile.ZIP_DEFLATED
    archive = (
        packed_as(str(SYM_KEY), stream, text) if is_deflated else zipped({str(SYM_KEY): text}, compression)
    )
    assert send(builder, archive).status_code == 201
    assert stored(SYM_KEY) == text
    assert SymbolFile.objects.get().size < len(text) // 10


def test_upload_member_with_more_bytes_than_its_stream_is_stored(builder: Uploader) -> None:
    """The stored file cannot have the stream as it is: readers of gzip refuse the bytes after it."""
    text = SYM + bytes(len(SYM))
    archive = packed_as(str(SYM_KEY), deflated(text) + b"more", text)
    assert send(builder, archive).status_code == 201
    assert stored(SYM_KEY) == text
    assert SymbolFile.objects.get().content_hash == sha256(text).hexdigest()


def test_upload_member_with_another_checksum_is_refused(builder: Uploader) -> None:
    reply = send(builder, corrupted(zipped({str(SYM_KEY): SYM + bytes(len(SYM))})))
    assert reply.json() == {"error": f"{SYM_KEY} cannot be unpacked: Bad CRC-32 for file '{SYM_KEY}'"}
    assert list(storage_services.own_files().keys()) == []


def test_upload_two_archives_in_one_form_are_refused(builder: Uploader) -> None:
    files = {"a.zip": io.BytesIO(BOTH), "b.zip": io.BytesIO(BOTH)}
    reply = builder.client.post("/upload/", files)
    assert (reply.status_code, reply.json()) == (
        400,
        {"error": "One archive in each upload: there is a.zip and b.zip"},
    )


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/zip"),
        (b"", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--",
            "multipart/form-data; boundary=x",
        ),
        (b"urls=1", "application/x-www-form-urlencoded"),
    ],
)
def test_upload_form_without_an_archive_is_refused(builder: Uploader, content: bytes, kind: str) -> None:
    reply = builder.client.post("/upload/", content, content_type=kind)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("Must be multipart form data with at least one file")


def form(archive: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="symbols.zip"; filename="a"\r\n\r\n'
    return head + archive + b"\r\n--x--\r\n"


def post_form(who: Uploader, body: bytes, encoding: str, path: str = "/upload/") -> Any:
    kind = "multipart/form-data; boundary=x"
    return who.client.post(path, body, kind, headers={"Content-Encoding": encoding})


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "zstd"])
def test_upload_compressed_body_is_unpacked(builder: Uploader, encoding: str) -> None:
    pack = zstandard.compress if encoding == "zstd" else gzip.compress
    assert post_form(builder, pack(form(BOTH)), encoding).status_code == 201
    assert stored(DLL_KEY) == DLL


def test_upload_compressed_body_past_the_limit_is_refused(
    builder: Uploader, runtime_options: Override
) -> None:
    runtime_options(upload_max_bytes=1000)
    reply = post_form(builder, gzip.compress(form(bytes(1 << 20))), "gzip")
    assert (reply.status_code, reply.json()["error"]) == (
        413,
        f"The body is larger than {1000 + (64 << 10)} bytes",
    )


@pytest.mark.parametrize(("body", "encoding", "status"), [(b"\x1f\x8bx", "gzip", 400), (b"x", "br", 415)])
def test_upload_body_that_cannot_be_unpacked_is_refused(
    builder: Uploader, body: bytes, encoding: str, status: int
) -> None:
    assert post_form(builder, body, encoding).status_code == status


@pytest.mark.parametrize("path", ["/upload", "//upload/", "/upload//"])
def test_upload_other_spellings_of_the_path_are_served(builder: Uploader, path: str) -> None:
    reply = builder.client.post("/", form(BOTH), "multipart/form-data; boundary=x", PATH_INFO=path)
    assert reply.status_code == 201


def test_upload_full_disk_is_503_with_retry_after(builder: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tecken.http.form.TemporaryFile", full_disk)
    reply = send(builder, zipped({str(DLL_KEY): bytes(1 << 20)}, zipfile.ZIP_STORED))
    assert (reply.status_code, reply["Retry-After"]) == (503, "60")
    assert "disk for temporary files is full" in reply.json()["error"]
    assert not Upload.objects.exists()


def test_keep_upload_full_disk_is_retried(builder: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    send(builder, zipped({str(DLL_KEY): bytes(1 << 20)}, zipfile.ZIP_STORED), query="?async=1")
    upload = Upload.objects.get()
    with monkeypatch.context() as patched:
        patched.setattr("tecken.upload.ingest.TemporaryFile", full_disk)
        with pytest.raises(Retry):
            keep_upload.apply(args=[upload.pk], throw=True)
    keep_upload(upload.pk)
    upload.refresh_from_db()
    assert upload.completed_at is not None


def full_disk(**_: object) -> Any:
    """Return a file whose writes fail as on a full disk."""
    return open("/dev/full", "r+b", buffering=0)


@pytest.mark.parametrize("as_form", [True, False])
def test_upload_from_a_forbidden_url_is_refused(builder: Uploader, as_form: bool, settings: Settings) -> None:
    settings.ALLOW_UPLOAD_BY_DOWNLOAD_DOMAINS = ["Queue.example"]

    def ask(url: str) -> Any:
        content = {"url": url} if as_form else f"url={url}"
        kind = MULTIPART_CONTENT if as_form else "application/x-www-form-urlencoded"
        reply = builder.client.post("/upload/", content, content_type=kind)
        return reply.status_code, reply.json()["error"]

    assert ask("http://queue.example/a.zip") == (400, "Insecure URL")
    assert ask("https://other.example/a.zip") == (
        400,
        "Not an allowed domain ('other.example') to download from.",
    )
    assert ask("https://queue.example/a.rar") == (400, 'Unrecognized archive file extension ".rar"')


def test_upload_archive_over_the_limit_is_413(builder: Uploader, runtime_options: Override) -> None:
    runtime_options(upload_max_bytes=10)
    reply = send(builder, BOTH + bytes(100_000))
    assert reply.status_code == 413


def test_upload_without_permission_is_403(uploader: Makes) -> None:
    assert Client().post("/upload/").status_code == 403
    assert send(uploader("view_all_uploads")).status_code == 403


def test_upload_get_is_405(builder: Uploader) -> None:
    reply = builder.client.get("/upload/")
    assert (reply.status_code, reply["Allow"]) == (405, "POST, OPTIONS")


def test_upload_without_redis_cache_stores_every_member(
    builder: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without redis-cache only the messages to other processes and the early conversion are missing."""
    redis_url = f"redis://127.0.0.1:{free_port()}/"
    monkeypatch.setattr(
        redis_services, "cache_client", lambda: redisclient.client(redis_url, timeout=1, connect_timeout=1)
    )
    services.discard_all()
    assert send(builder).status_code == 201
    assert (stored(SYM_KEY), stored(DLL_KEY)) == (SYM, DLL)
    assert len(rows()) == 2


def test_upload_async_is_stored_by_a_worker(builder: Uploader) -> None:
    reply = send(builder, query="?async=1")
    upload = Upload.objects.get()
    assert reply.status_code == 202
    assert reply.json()["url"] == reply["Location"] == f"http://testserver/api/uploads/upload/{upload.pk}"
    assert (reply.json()["upload"]["completed_at"], rows()) == (None, [])
    keep_upload(upload.pk)
    upload.refresh_from_db()
    assert upload.completed_at
    assert (upload.members_done, stored(SYM_KEY)) == (2, SYM)
    assert list(storage_services.staging().entries()) == []
    keep_upload(upload.pk)
    assert SymbolFile.objects.count() == 2


def test_keep_upload_after_a_killed_worker_stores_the_rest(builder: Uploader) -> None:
    send(builder, query="?async=1")
    upload = Upload.objects.get()
    ingest_file(upload, SYM_KEY, lambda: [SYM], len(SYM))
    keep_upload(upload.pk)
    upload.refresh_from_db()
    assert (upload.members_done, upload.skipped_keys, len(rows())) == (2, [], 2)


def test_keep_upload_cancelled_upload_stores_nothing(builder: Uploader) -> None:
    send(builder, query="?async=1")
    Upload.objects.update(cancelled_at=timezone.now())
    keep_upload(Upload.objects.get().pk)
    assert rows() == []
    assert list(storage_services.staging().entries()) == []


def test_ingest_all_cancelled_meanwhile_raises(builder: Uploader) -> None:
    send(builder, query="?async=1")
    upload = Upload.objects.get()
    Upload.objects.update(cancelled_at=timezone.now())
    with (
        archive_upload.open_listed(io.BytesIO(BOTH), "symbols.zip") as listing,
        pytest.raises(archive_upload.Cancelled, match="The upload was cancelled"),
    ):
        archive_upload.ingest_all(upload, listing)
    assert Upload.objects.get().completed_at is None


def test_keep_upload_broken_archive_writes_the_error(builder: Uploader) -> None:
    send(builder, corrupted(zipped({str(DLL_KEY): DLL})), query="?async=1")
    upload = Upload.objects.get()
    keep_upload(upload.pk)
    upload.refresh_from_db()
    assert "Bad CRC-32" in upload.error
    assert list(storage_services.staging().entries()) == []


def test_keep_upload_deleted_upload_is_ignored(uploader: Makes) -> None:
    keep_upload(4711)


def test_upload_on_s3_stores_and_skips(builder: Uploader, settings: Settings, s3_bucket: S3Bucket) -> None:
    settings.STORAGE_URL = f"s3://{s3_bucket.name}"
    services.discard_all()
    assert send(builder, query="?async=1").status_code == 202
    keep_upload(Upload.objects.get().pk)
    assert (stored(SYM_KEY), stored(DLL_KEY)) == (SYM, DLL)
    skipped = send(builder).json()["upload"]["skipped_keys"]
    assert sorted(skipped) == [f"v1/{DLL_KEY}", f"v1/{SYM_KEY}"]
    assert s3_bucket.unfinished_uploads() == 0


def test_spool_file_has_no_name_on_disk(tmp_path: Path, settings: Settings) -> None:
    settings.SPOOL_DIR = str(tmp_path)
    spool = Spool()
    spool.new_file("symbols.zip", "any", "application/zip", None)
    spool.receive_data_chunk(BOTH, 0)
    file = spool.file_complete(len(BOTH))
    assert list(tmp_path.iterdir()) == []
    assert (file.read(), spool.digest.hexdigest()) == (BOTH, sha256(BOTH).hexdigest())
    file.close()
