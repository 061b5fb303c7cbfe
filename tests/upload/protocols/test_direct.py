"""Upload protocol v2: announce, send each file, complete."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.errors import NotFound
from tecken.storage import services as storage_services
from tecken.storage.backends.files import Slot
from tecken.storage.models import SymbolFile
from tecken.symbols.layouts import FileKey
from tecken.upload.models import Announcement, Upload
from tests.support.options import Override
from tests.support.s3_server import S3Bucket
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader, spec, stored

pytest_plugins = ["tests.support.upstreams", "tests.upload.site"]
pytestmark = pytest.mark.django_db

DLL_KEY = FileKey("crash-c", SYM_KEY.debug_id, "crash-c.dl_")
DLL = b"MSCF" + bytes(5000)


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


def urls(answer: Any) -> dict[str, str]:
    return {file["key"]: file["action"]["url"] for file in answer["files"]}


def test_direct_upload_of_two_files_stores_both(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM, DLL_KEY: DLL})
    assert abs(answer.pop("created_at") - datetime.now(UTC).timestamp()) < 600
    files = answer.pop("files")
    number = answer.pop("id")
    assert answer == {"user": "builder@example.com", "try_symbols": False, "upload_protocol": "http-put"}
    assert [file["key"] for file in files] == [str(SYM_KEY), str(DLL_KEY)]
    actions = [file["action"] for file in files]
    assert [action["type"] for action in actions] == ["upload", "upload"]
    assert [action["content_encoding"] for action in actions] == ["gzip", None]
    assert builder.put(actions[0]["url"], gzip.compress(SYM)).status_code == 200
    assert builder.put(actions[1]["url"], DLL).status_code == 200
    reply = builder.complete(number)
    assert reply.status_code == 200, reply.content
    assert reply.json()["upload"]["completed_at"] is not None
    assert (stored(SYM_KEY), stored(DLL_KEY)) == (SYM, DLL)
    rows = SymbolFile.objects.filter(upload=number).order_by("key")
    assert [(row.original_size, row.completed_at is not None) for row in rows] == [
        (len(DLL), True),
        (len(SYM), True),
    ]
    assert rows[1].debug_id == SYM_KEY.debug_id
    assert list(storage_services.staging().entries()) == []
    assert not Announcement.objects.exists()


def test_put_uncompressed_symbol_file_is_stored(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    assert builder.complete(answer["id"]).status_code == 200
    assert stored(SYM_KEY) == SYM


def test_put_before_completion_stores_no_file(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    with pytest.raises(NotFound):
        stored(SYM_KEY)
    assert not SymbolFile.objects.exists()


def test_announce_stored_file_is_skipped(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    builder.complete(answer["id"])
    again = builder.announce({SYM_KEY: SYM})
    assert again["files"] == [{"key": str(SYM_KEY), "action": {"type": "skip"}}]
    upload = Upload.objects.get(pk=again["id"])
    assert upload.completed_at is not None
    assert upload.skipped_keys == [f"v1/{SYM_KEY}"]
    assert builder.complete(again["id"]).status_code == 200


def test_announce_other_content_of_same_size_is_uploaded(builder: Uploader) -> None:
    answer = builder.announce({DLL_KEY: DLL})
    builder.put(urls(answer)[str(DLL_KEY)], DLL)
    builder.complete(answer["id"])
    other = DLL[:-1] + b"!"
    answer = builder.announce({DLL_KEY: other})
    builder.put(urls(answer)[str(DLL_KEY)], other)
    assert builder.complete(answer["id"]).status_code == 200
    assert stored(DLL_KEY) == other


def test_announce_invalid_files_have_errors_and_the_valid_file_a_url(builder: Uploader) -> None:
    good = spec(str(SYM_KEY), SYM)
    bad = [
        (good | {"key": "xul.so/1A2B3G4E/xul.sym"}, "invalid key"),
        (good | {"key": "xul.so/../xul.sym"}, "invalid key"),
        (good | {"key": "xul.sym"}, "invalid key"),
        (good | {"key": "crypt\x10.pdb/1A2B3C4D5E/crypt.pd_"}, "invalid key"),
        (good | {"md5_hash": good["md5_hash"].upper()}, "invalid MD5 hex digest"),
        (good | {"md5_hash": good["md5_hash"][1:]}, "invalid MD5 hex digest"),
        (good | {"size": -1}, "invalid size: 0 to 4294967296 bytes"),
    ]
    reply = builder.post("/upload/v2/", {"files": [file for file, _ in bad] + [good, good]})
    assert reply.status_code == 201
    *wrong, right, twice = [file["action"] for file in reply.json()["files"]]
    assert wrong == [{"type": "error", "msg": text} for _, text in bad]
    assert right["type"] == "upload"
    assert twice == {"type": "error", "msg": "the key is there twice"}


@pytest.mark.parametrize(
    "body",
    [
        b"not JSON",
        b"[]",
        b'{"files": "wrong type"}',
        b'{"files": [1]}',
        b'{"files": {}}',
        b'{"files": ""}',
        b'{"files": [{"key": "a/b/c", "size": 123}]}',
        b'{"files": [{"key": "a/b/c", "size": true, "md5_hash": "0"}]}',
        b'{"files": [{"key": "a/b/c", "size": 1e3, "md5_hash": "0"}]}',
    ],
)
def test_announce_body_of_another_structure_is_400(builder: Uploader, body: bytes) -> None:
    reply = builder.post("/upload/v2/", body)
    assert (reply.status_code, reply.json()) == (400, {"error": "malformed JSON request body"})


def test_announce_too_many_files_is_400(builder: Uploader, runtime_options: Override) -> None:
    runtime_options(upload_direct_max_files=1)
    reply = builder.post("/upload/v2/", {"files": [spec("a", b""), spec("b", b"")]})
    assert (reply.status_code, reply.json()) == (400, {"error": "too many files"})


def test_complete_with_wrong_files_lists_them_and_they_can_be_sent_again(builder: Uploader) -> None:
    good_hash, bad_hash = (md5(content).hexdigest() for content in (b"123456", b"654321"))
    short, other, missing, good = (FileKey("a", "1" * 33, f"{n}.dl_") for n in range(4))
    answer = builder.announce({short: b"123456", other: b"123456", missing: b"1", good: b"good"})
    where = urls(answer)
    for key, content in ((short, b"123"), (other, b"654321"), (good, b"good")):
        assert builder.put(where[str(key)], content).status_code == 200
    reply = builder.complete(answer["id"])
    assert reply.status_code == 400
    assert reply.json() == {
        "error": "3 files are missing or not what was announced; send them again",
        "files": [
            {"key": str(short), "error": "it has 3 bytes, not 6"},
            {"key": str(other), "error": f"its MD5 hash is {bad_hash}, not {good_hash}"},
            {"key": str(missing), "error": "it was not sent"},
        ],
    }
    assert Upload.objects.get(pk=answer["id"]).completed_at is None
    for key, content in ((short, b"123456"), (other, b"123456"), (missing, b"1")):
        builder.put(where[str(key)], content)
    assert builder.complete(answer["id"]).status_code == 200
    assert [stored(key) for key in (short, other, missing, good)] == [b"123456", b"123456", b"1", b"good"]
    assert SymbolFile.objects.filter(upload=answer["id"]).count() == 4


def test_complete_twice_returns_the_same_response(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    first, second = builder.complete(answer["id"]), builder.complete(answer["id"])
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert SymbolFile.objects.count() == 1


def test_complete_after_a_killed_completion_finishes_it(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    slot = Slot(answer["id"], 0)
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    left = Announcement.objects.get()
    builder.complete(answer["id"])
    # This is the state after a call that was killed right after it completed the upload.
    left.save(force_insert=True)
    storage_services.staging().put(slot, [SYM])
    assert builder.complete(answer["id"]).status_code == 200
    assert list(storage_services.staging().entries()) == []
    assert not Announcement.objects.exists()


def test_complete_upload_of_another_user_is_404(builder: Uploader, uploader: Makes) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    for other in (uploader(email="else@example.com"), uploader("upload_try_symbols")):
        reply = other.complete(answer["id"])
        assert (reply.status_code, reply.json()["error"]) == (404, "You have no such upload")


def test_direct_upload_with_try_token_stores_try_symbols(uploader: Makes) -> None:
    builder = uploader("upload_try_symbols")
    answer = builder.announce({SYM_KEY: SYM})
    assert answer["try_symbols"] is True
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    assert builder.complete(answer["id"]).status_code == 200
    assert stored(SYM_KEY, try_symbols=True) == SYM
    with pytest.raises(NotFound):
        stored(SYM_KEY)


class TestSignedUrl:
    def test_put_more_bytes_than_announced_is_413(self, builder: Uploader) -> None:
        url = urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]
        reply = builder.put(url, DLL + b"!")
        assert (reply.status_code, reply.json()) == (
            413,
            {"error": f"The body is larger than {len(DLL)} bytes"},
        )
        assert list(storage_services.staging().entries()) == []

    def test_put_to_a_changed_url_is_403(self, builder: Uploader) -> None:
        url = urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]
        reply = builder.put(url[:-1] + ("x" if url[-1] != "x" else "y"), DLL)
        assert (reply.status_code, reply.json()) == (403, {"error": "Nobody was given this address"})

    def test_put_to_an_expired_url_is_403(self, builder: Uploader, runtime_options: Override) -> None:
        url = urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]
        runtime_options(upload_direct_seconds=1e-6)
        reply = builder.put(url, DLL)
        assert (reply.status_code, reply.json()) == (403, {"error": "This address has expired"})

    def test_put_after_completion_is_403(self, builder: Uploader) -> None:
        answer = builder.announce({DLL_KEY: DLL})
        url = urls(answer)[str(DLL_KEY)]
        builder.put(url, DLL)
        builder.complete(answer["id"])
        reply = builder.put(url, DLL)
        assert (reply.status_code, reply.json()) == (403, {"error": "This upload takes no more files"})

    def test_signed_url_without_token_accepts_only_put(self, builder: Uploader) -> None:
        path = urlsplit(urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]).path
        assert Client().put(path, DLL, content_type="application/octet-stream").status_code == 200
        reply = Client().get(path)
        assert (reply.status_code, reply["Allow"]) == (405, "PUT")


def test_direct_upload_on_s3_sends_files_to_the_bucket(
    uploader: Makes, s3_bucket: S3Bucket, settings: Settings
) -> None:
    settings.STORAGE_URL = f"s3://{s3_bucket.name}/symbols"
    services.discard_all()
    builder = uploader()
    answer = builder.announce({SYM_KEY: SYM})
    url = urls(answer)[str(SYM_KEY)]
    assert url.startswith(s3_bucket.endpoint)
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    with urlopen(Request(url, data=gzip.compress(SYM), headers=headers, method="PUT"), timeout=10):
        assert builder.complete(answer["id"]).status_code == 200
    assert stored(SYM_KEY) == SYM
    assert builder.post("/upload/auth_info/").json()["upload_api_version"] == 2


@pytest.mark.parametrize("permission", ["upload_symbols", "upload_try_symbols"])
def test_auth_info_returns_user_and_permission(uploader: Makes, permission: str) -> None:
    builder = uploader(permission)
    reply = builder.post("/upload/auth_info/")
    assert reply.status_code == 200
    info = reply.json()
    assert abs(info.pop("token_expires_at") - datetime.now(UTC).timestamp() - 86_400) < 600
    assert info == {
        "email": "builder@example.com",
        "user_id": builder.user.pk,
        "permission": f"upload.{permission}",
        "try_symbols": permission == "upload_try_symbols",
        "upload_api_version": 1,
        "limits": {
            "upload_max_bytes": 4 << 30,
            "upload_max_unpacked_bytes": 16 << 30,
            "upload_max_members": 10_000,
            "symbol_max_bytes": 4 << 30,
            "upload_direct_max_files": 1024,
        },
    }


@pytest.mark.parametrize("path", ["/upload/auth_info/", "/upload/v2/", "/upload/v2/1/complete"])
def test_upload_v2_without_token_is_403_and_with_get_405(path: str, builder: Uploader) -> None:
    assert Client().post(path, b"", "application/json").status_code == 403
    assert builder.client.get(path).status_code == 405
