"""Options of uploads, downloads, retention and logins: what is in force at the beginning counts."""

from __future__ import annotations

import io
from datetime import timedelta
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axes.helpers import get_cool_off
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tecken import services
from tecken.celery import app
from tecken.download import missing as of_misses
from tecken.download.models import MissingSymbol
from tecken.runtimeconfig.current import overridden
from tecken.storage import services as storage_services
from tecken.upload.models import Upload
from tecken.upload.retention import Retention
from tests.support.s3_server import S3Bucket
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader, spec
from tests.upload.zips import zipped

pytest_plugins = ["tests.support.upstreams", "tests.upload.site"]
pytestmark = pytest.mark.django_db

# Its archive has more bytes than the fields of a form, and unpacks to more than 200 times its size.
DLL = Random(1).randbytes(70_000) + bytes(20 << 20)
ARCHIVE = zipped({str(SYM_KEY): SYM, f"a/{SYM_KEY.debug_id}/a.dl_": DLL})


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


def send(who: Uploader) -> Any:
    file = io.BytesIO(ARCHIVE)
    file.name = "any"
    return who.client.post("/upload/", {"symbols.zip": file})


@pytest.mark.parametrize(
    ("option", "value", "status", "why"),
    [
        ("upload_max_bytes", 1, 413, "The body is larger than"),
        ("upload_max_unpacked_bytes", 1000, 413, "at most 1000"),
        ("upload_max_members", 1, 413, "The archive has 2 files, at most 1"),
        ("upload_max_ratio", 100, 413, "unpacks to more than 100 times its size"),
        ("symbol_max_bytes", 1000, 413, "at most 1000"),
        ("upload_forbidden_snippets", ("crash",), 400, "contains the snippet 'crash'"),
    ],
)
def test_archives(builder: Uploader, option: str, value: Any, status: int, why: str) -> None:
    with overridden(**{"upload_max_ratio": 2000, option: value}):
        reply = send(builder)
    assert (reply.status_code, why in reply.json()["error"]) == (status, True), reply.json()
    with overridden(upload_max_ratio=2000):
        assert send(builder).status_code == 201


@pytest.mark.parametrize(
    ("option", "value", "answer"),
    [
        ("upload_direct_max_files", 1, {"error": "too many files"}),
        ("symbol_max_bytes", 4, "invalid size: 0 to 4 bytes"),
    ],
)
def test_announcements(builder: Uploader, option: str, value: int, answer: Any) -> None:
    def announce() -> Any:
        files = [spec(str(SYM_KEY), b"MODULE"), spec(f"a/{SYM_KEY.debug_id}/a.dl_", b"12345")]
        told = builder.post("/upload/v2/", {"files": files}).json()
        return told["files"][0]["action"].get("msg") if "files" in told else told

    with overridden(**{option: value}):
        assert announce() == answer
    assert announce() is None


def test_the_address_of_a_direct_upload(builder: Uploader) -> None:
    url = builder.announce({SYM_KEY: SYM})["files"][0]["action"]["url"]
    with overridden(upload_direct_seconds=1e-6):
        assert builder.put(url, SYM).status_code == 403
    assert builder.put(url, SYM).status_code == 200


def tasks() -> int:
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.llen("convert\x06\x169"))


def test_conversion_ahead_of_demand(builder: Uploader) -> None:
    with overridden(upload_convert_ahead=False):
        assert send(builder).status_code == 413
        with overridden(upload_max_ratio=2000):
            assert send(builder).status_code == 201
        assert tasks() == 0
        storage_services.own_files().delete(SYM_KEY)
    with overridden(upload_max_ratio=2000):
        assert send(builder).status_code == 201
    assert tasks() == 1


def lasts(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


def test_how_long_signed_addresses_hold(builder: Uploader, s3_bucket: S3Bucket, settings: Settings) -> None:
    settings.STORAGE_URL = f"s3://{s3_bucket.name}/symbols"
    services.discard_all()
    storage_services.own_files().put(SYM_KEY, [SYM])

    def to_read() -> int:
        return lasts(Client().get(f"/{SYM_KEY}")["Location"])

    def to_write() -> int:
        return lasts(builder.announce({SYM_KEY: SYM + b"\n"})["files"][0]["action"]["url"])

    with overridden(download_url_seconds=77, upload_direct_seconds=88):
        assert (to_read(), to_write()) == (77, 88)
    assert (to_read(), to_write()) == (3600, 21_600)


@pytest.mark.parametrize(
    ("option", "of_try", "finished"),
    [
        ("keep_try_days", True, True),
        ("keep_regular_days", False, True),
        ("keep_unfinished_days", False, False),
    ],
)
def test_how_long_uploads_are_kept(builder: Uploader, option: str, of_try: bool, finished: bool) -> None:
    ten_days_ago = timezone.now() - timedelta(days=10)
    Upload.objects.create(
        user=builder.user,
        try_symbols=of_try,
        created_at=ten_days_ago,
        completed_at=ten_days_ago if finished else None,
    )

    def removed() -> int:
        return Retention(timezone.now(), dry_run=True).run().uploads

    with overridden(**{option: 5}):
        assert removed() == 1
    with overridden(**{option: 20}):
        assert removed() == 0


def test_how_long_missing_symbols_are_kept() -> None:
    now = timezone.now()
    MissingSymbol.objects.create(
        digest="0" * 32, debug_file="a", debug_id="B", count=1, last_seen=now - timedelta(days=10)
    )
    with overridden(keep_missing_days=5):
        assert of_misses.remove_old(now, dry_run=True) == 1
    assert of_misses.remove_old(now, dry_run=True) == 0


def test_failed_tokens(builder: Uploader) -> None:
    def guess() -> Any:
        return Client(headers={"Auth-Token": "a guess"}).post("/upload/")

    for _ in range(3):
        assert guess().status_code == 403
    with overridden(failed_tokens=2, failure_seconds=70):
        reply = guess()
        assert (reply.status_code, reply["Retry-After"]) == (429, "70")
        assert get_cool_off() == timedelta(seconds=70)
    assert guess().status_code == 403
    assert get_cool_off() == timedelta(seconds=300)
