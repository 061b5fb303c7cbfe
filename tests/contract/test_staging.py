"""Contract of Staging in every storage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tecken.errors import NotFound, TooLarge
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.files import Slot, Staging
from tecken.storage.services import own_files_for

pytest_plugins = ["tests.support.upstreams"]

FIRST, SECOND = Slot(7, 0), Slot(7, 1)


@pytest.fixture(params=["local", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return (tmp_path / "not yet" / "there").as_uri()
    return f"s3://{request.getfixturevalue('s3_bucket').name}/some prefix"


@pytest.fixture
def staging(url: str) -> Staging:
    return Staging(bucket_for(url))


def whole(staging: Staging, slot: Slot) -> bytes:
    with staging.read(slot) as chunks:
        return b"".join(chunks)


def test_staging_read_returns_the_last_bytes(staging: Staging) -> None:
    staging.put(FIRST, [b"older", b" and longer"])
    staging.put(FIRST, [b"new", b"er"])
    assert whole(staging, FIRST) == b"newer"


def test_staging_slots_are_separate_from_uploaded_files(staging: Staging, url: str) -> None:
    staging.put(FIRST, [b"first"])
    assert [slot for slot, _ in staging.entries()] == [FIRST]
    assert list(own_files_for(url).keys()) == []
    with pytest.raises(NotFound), staging.read(SECOND):
        pass


def test_staging_entries_have_their_times(staging: Staging) -> None:
    staging.put(SECOND, [b"x"])
    ((slot, written),) = staging.entries()
    assert slot == SECOND
    assert abs(written - datetime.now(UTC)) < timedelta(minutes=10)


def test_staging_delete_twice_succeeds(staging: Staging) -> None:
    staging.put(FIRST, [b"x"])
    staging.delete(FIRST)
    staging.delete(FIRST)
    assert list(staging.entries()) == []


def test_staging_interrupted_put_stores_nothing(staging: Staging) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 1000
        raise TooLarge("enough")

    with pytest.raises(TooLarge, match="enough"):
        staging.put(FIRST, broken())
    assert list(staging.entries()) == []


def test_staging_in_a_directory_has_no_signed_urls(tmp_path: Path) -> None:
    assert Staging(bucket_for(tmp_path.as_uri())).signed_put(FIRST, 60) is None


@pytest.mark.parametrize("url", ["s3"], indirect=True)
def test_staging_signed_url_allows_put(staging: Staging) -> None:
    signed = staging.signed_put(FIRST, 60)
    assert signed is not None
    headers = {"Content-Type": "application/octet-stream"}  # urllib would call it a form
    with urlopen(Request(signed, data=b"straight", headers=headers, method="PUT"), timeout=10):
        assert whole(staging, FIRST) == b"straight"
