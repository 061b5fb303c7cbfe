"""What Staging does on each storage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tecken.errors import Absent, TooMuch
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.staging import Slot, Staging
from tecken.storage.factory import own_files_for

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


def test_gives_back_what_was_put_last(staging: Staging) -> None:
    staging.put(FIRST, [b"older", b" and longer"])
    staging.put(FIRST, [b"new", b"er"])
    assert whole(staging, FIRST) == b"newer"


def test_slots_are_apart_and_no_uploaded_files(staging: Staging, url: str) -> None:
    staging.put(FIRST, [b"first"])
    assert [slot for slot, _ in staging.entries()] == [FIRST]
    assert list(own_files_for(url).keys()) == []
    with pytest.raises(Absent), staging.read(SECOND):
        pass


def test_says_when_each_was_written(staging: Staging) -> None:
    staging.put(SECOND, [b"x"])
    ((slot, written),) = staging.entries()
    assert slot == SECOND
    assert abs(written - datetime.now(UTC)) < timedelta(minutes=10)


def test_deleting_twice_is_deleting(staging: Staging) -> None:
    staging.put(FIRST, [b"x"])
    staging.delete(FIRST)
    staging.delete(FIRST)
    assert list(staging.entries()) == []


def test_what_breaks_off_leaves_nothing(staging: Staging) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 1000
        raise TooMuch("enough")

    with pytest.raises(TooMuch, match="enough"):
        staging.put(FIRST, broken())
    assert list(staging.entries()) == []


def test_a_directory_has_no_urls(tmp_path: Path) -> None:
    assert Staging(bucket_for(tmp_path.as_uri())).signed_put(FIRST, 60) is None


@pytest.mark.parametrize("url", ["s3"], indirect=True)
def test_a_client_puts_to_a_signed_url(staging: Staging) -> None:
    signed = staging.signed_put(FIRST, 60)
    assert signed is not None
    headers = {"Content-Type": "application/octet-stream"}  # urllib would call it a form
    with urlopen(Request(signed, data=b"straight", headers=headers, method="PUT"), timeout=10):
        assert whole(staging, FIRST) == b"straight"
