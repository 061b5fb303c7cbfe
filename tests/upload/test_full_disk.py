"""Every upload protocol while a disk is nearly full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from pytest_django import Settings

from tecken import services
from tecken.errors import Unavailable
from tecken.http.ratelimit import check_disk_space
from tests.support.options import Override
from tests.support.small_disk import SmallDisk, small_disk
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

TIB = 1 << 40
ZIP = {"symbols.zip": zipped({str(SYM_KEY): SYM})}


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


@pytest.fixture
def disk(tmp_path: Path, settings: Settings, builder: Uploader) -> Iterator[SmallDisk]:
    """The disk of the storage and of temporary files."""
    with small_disk(tmp_path / "small") as disk:
        settings.SPOOL_DIR = str(disk.directory)
        settings.STORAGE_URL = disk.directory.as_uri()
        services.discard_all()
        yield disk
        services.discard_all()


def archive(who: Uploader) -> Any:
    return who.client.post("/upload/", data=ZIP["symbols.zip"], content_type="application/zip")


def direct(who: Uploader) -> Any:
    return who.post("/upload/v2/", {"files": [{"key": str(SYM_KEY), "size": len(SYM), "md5_hash": "0" * 32}]})


def symupload(who: Uploader) -> Any:
    return who.client.post(f"/upload/sym_upload/v1/uploads:create?key={who.key}", b"", "text/plain")


@pytest.mark.parametrize("door", [archive, direct, symupload])
def test_upload_with_full_disk_is_503_with_reason(
    builder: Uploader, disk: SmallDisk, door: Callable[[Uploader], Any]
) -> None:
    disk.fill(leave=1 << 20)
    reply = door(builder)
    assert reply.status_code == 503, reply.content
    assert "the disk of temporary files is full" in reply.json()["error"]
    assert reply["Retry-After"] == "60"


def test_upload_after_room_was_made_is_accepted(builder: Uploader, disk: SmallDisk) -> None:
    disk.fill()
    assert direct(builder).status_code == 503
    disk.make_room()
    # Readings are kept for two seconds.
    services.discard_all()
    assert direct(builder).status_code == 201


def test_put_with_full_disk_is_503(builder: Uploader, disk: SmallDisk) -> None:
    announced = direct(builder).json()
    disk.fill()
    services.discard_all()
    reply = builder.put(announced["files"][0]["action"]["url"], SYM)
    assert (reply.status_code, reply["Retry-After"]) == (503, "60")


def announcing(size: int) -> HttpRequest:
    return RequestFactory().post("/upload/", CONTENT_LENGTH=str(size))


def test_check_disk_space_of_more_than_the_disk_has_raises(runtime_options: Override) -> None:
    runtime_options(upload_max_bytes=TIB)
    with pytest.raises(Unavailable, match=f"and {TIB:,} are needed"):
        check_disk_space(announcing(TIB))


def test_check_disk_space_of_more_than_the_limit_leaves_the_refusal_to_the_limit(
    runtime_options: Override,
) -> None:
    runtime_options(upload_max_bytes=1)
    check_disk_space(announcing(TIB))
