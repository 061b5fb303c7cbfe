from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from tecken import redisclient
from tecken.symbols import engine


@pytest.fixture
def cache_client(clear_redis_cache: None) -> Iterator[redis.Redis]:
    with redisclient.client(os.environ["REDIS_URL"], timeout=5, connect_timeout=5) as client:
        yield client


@pytest.fixture(params=["python", "engine"])
def each_form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test in Python, and with the engine where it is built."""
    if request.param == "python":
        monkeypatch.setattr(engine, "MODULE", None)
    elif engine.MODULE is None:
        pytest.skip("the engine is not built: make engine")


@pytest.fixture
def python_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test in Python."""
    monkeypatch.setattr(engine, "MODULE", None)
