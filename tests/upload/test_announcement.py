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

from tecken import wiring
from tecken.errors import Absent
from tecken.storage.backends.staging import Slot
from tecken.storage.models import SymbolFile
from tecken.storage.port import FileKey
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


def test_files_are_announced_sent_and_completed(builder: Uploader) -> None:
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
    assert list(wiring.staging().entries()) == []
    assert not Announcement.objects.exists()


def test_a_symbol_file_may_also_be_sent_as_it_is(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    assert builder.complete(answer["id"]).status_code == 200
    assert stored(SYM_KEY) == SYM


def test_nothing_is_visible_before_completion(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    with pytest.raises(Absent):
        stored(SYM_KEY)
    assert not SymbolFile.objects.exists()


def test_what_is_stored_already_is_skipped(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    builder.complete(answer["id"])
    again = builder.announce({SYM_KEY: SYM})
    assert again["files"] == [{"key": str(SYM_KEY), "action": {"type": "skip"}}]
    upload = Upload.objects.get(pk=again["id"])
    assert upload.completed_at is not None
    assert upload.skipped_keys == [f"v1/{SYM_KEY}"]
    assert builder.complete(again["id"]).status_code == 200


def test_same_size_and_other_content_is_uploaded(builder: Uploader) -> None:
    answer = builder.announce({DLL_KEY: DLL})
    builder.put(urls(answer)[str(DLL_KEY)], DLL)
    builder.complete(answer["id"])
    other = DLL[:-1] + b"!"
    answer = builder.announce({DLL_KEY: other})
    builder.put(urls(answer)[str(DLL_KEY)], other)
    assert builder.complete(answer["id"]).status_code == 200
    assert stored(DLL_KEY) == other


def test_each_bad_file_fails_alone(builder: Uploader) -> None:
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
def test_a_body_of_another_shape_is_a_400(builder: Uploader, body: bytes) -> None:
    reply = builder.post("/upload/v2/", body)
    assert (reply.status_code, reply.json()) == (400, {"error": "malformed JSON request body"})


def test_too_many_files_are_a_400(builder: Uploader, runtime_options: Override) -> None:
    runtime_options(upload_direct_max_files=1)
    reply = builder.post("/upload/v2/", {"files": [spec("a", b""), spec("b", b"")]})
    assert (reply.status_code, reply.json()) == (400, {"error": "too many files"})


def test_what_was_not_sent_right_is_told_and_can_be_sent_again(builder: Uploader) -> None:
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


def test_completing_twice_is_completing(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    first, second = builder.complete(answer["id"]), builder.complete(answer["id"])
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert SymbolFile.objects.count() == 1


def test_a_completion_that_was_killed_is_finished_by_the_next(builder: Uploader) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    slot = Slot(answer["id"], 0)
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    left = Announcement.objects.get()
    builder.complete(answer["id"])
    left.save(force_insert=True)  # as if it had been killed right after the upload was complete
    wiring.staging().put(slot, [SYM])
    assert builder.complete(answer["id"]).status_code == 200
    assert list(wiring.staging().entries()) == []
    assert not Announcement.objects.exists()


def test_nobody_completes_the_upload_of_another(builder: Uploader, uploader: Makes) -> None:
    answer = builder.announce({SYM_KEY: SYM})
    for other in (uploader(email="else@example.com"), uploader("upload_try_symbols")):
        reply = other.complete(answer["id"])
        assert (reply.status_code, reply.json()["error"]) == (404, "You have no such upload")


def test_a_try_token_writes_to_the_try_store(uploader: Makes) -> None:
    builder = uploader("upload_try_symbols")
    answer = builder.announce({SYM_KEY: SYM})
    assert answer["try_symbols"] is True
    builder.put(urls(answer)[str(SYM_KEY)], SYM)
    assert builder.complete(answer["id"]).status_code == 200
    assert stored(SYM_KEY, try_symbols=True) == SYM
    with pytest.raises(Absent):
        stored(SYM_KEY)


class TestAddress:
    def test_takes_no_more_than_was_announced(self, builder: Uploader) -> None:
        url = urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]
        reply = builder.put(url, DLL + b"!")
        assert (reply.status_code, reply.json()) == (
            413,
            {"error": f"The body is larger than {len(DLL)} bytes"},
        )
        assert list(wiring.staging().entries()) == []

    def test_cannot_be_changed(self, builder: Uploader) -> None:
        url = urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]
        reply = builder.put(url[:-1] + ("x" if url[-1] != "x" else "y"), DLL)
        assert (reply.status_code, reply.json()) == (403, {"error": "Nobody was given this address"})

    def test_expires(self, builder: Uploader, runtime_options: Override) -> None:
        url = urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]
        runtime_options(upload_direct_seconds=1e-6)
        reply = builder.put(url, DLL)
        assert (reply.status_code, reply.json()) == (403, {"error": "This address has expired"})

    def test_ends_with_its_upload(self, builder: Uploader) -> None:
        answer = builder.announce({DLL_KEY: DLL})
        url = urls(answer)[str(DLL_KEY)]
        builder.put(url, DLL)
        builder.complete(answer["id"])
        reply = builder.put(url, DLL)
        assert (reply.status_code, reply.json()) == (403, {"error": "This upload takes no more files"})

    def test_needs_no_token_and_takes_only_put(self, builder: Uploader) -> None:
        path = urlsplit(urls(builder.announce({DLL_KEY: DLL}))[str(DLL_KEY)]).path
        assert Client().put(path, DLL, content_type="application/octet-stream").status_code == 200
        reply = Client().get(path)
        assert (reply.status_code, reply["Allow"]) == (405, "PUT")


def test_s3_takes_the_files_itself(uploader: Makes, s3_bucket: S3Bucket, settings: Settings) -> None:
    settings.STORAGE_URL = f"s3://{s3_bucket.name}/symbols"
    wiring.forget()
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
def test_auth_info_says_what_a_token_may_do(uploader: Makes, permission: str) -> None:
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
    }


@pytest.mark.parametrize("path", ["/upload/auth_info/", "/upload/v2/", "/upload/v2/1/complete"])
def test_needs_a_token_and_post(path: str, builder: Uploader) -> None:
    assert Client().post(path, b"", "application/json").status_code == 403
    assert builder.client.get(path).status_code == 405
