"""A storage that has URLs: the bytes do not go through us."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.storage import services as storage_services
from tests.download.conftest import PACKED, PATH, XUL
from tests.support.s3_server import S3Bucket

pytest_plugins = ["tests.support.upstreams"]


@pytest.fixture
def bucket(storage: object, s3_bucket: S3Bucket, settings: Settings) -> S3Bucket:
    settings.STORAGE_URL = f"s3://{s3_bucket.name}/symbols"
    services.discard_all()
    storage_services.own_files().put(XUL, [PACKED])
    return s3_bucket


def test_get_goes_there(client: Client, bucket: S3Bucket) -> None:
    answer = client.get(PATH)
    assert answer.status_code == 302
    assert urlsplit(answer["Location"]).path.endswith(f"{bucket.name}/symbols/v1{PATH}")
    with urlopen(answer["Location"], timeout=10) as there:
        assert (there.read(), there.headers["Content-Encoding"]) == (PACKED, "gzip")


def test_head_answers_itself(client: Client, bucket: S3Bucket) -> None:
    answer = client.head(PATH, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer["Content-Length"]) == (200, str(len(PACKED)))


def test_without_anything_to_sign_with_we_give_the_bytes(
    client: Client, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.head(PATH).status_code == 200
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    services.discard_all()
    assert client.get(PATH, headers={"Accept-Encoding": "gzip"}).getvalue() == PACKED
