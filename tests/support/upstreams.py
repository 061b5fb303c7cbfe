"""Fixtures: where symbol files come from and page files go to; for a test module's `pytest_plugins`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.support.http_upstream import HttpUpstream
from tests.support.s3_server import ACCESS, SECRET, S3Bucket, s3_server


@pytest.fixture
def upstream() -> Iterator[HttpUpstream]:
    with HttpUpstream().running() as running:
        yield running


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def s3_bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """Create an empty bucket, and the environment in which an operator reaches it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return S3Bucket.create(s3_endpoint, f"tecken-{uuid.uuid4()}")
