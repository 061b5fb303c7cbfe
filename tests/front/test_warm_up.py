"""The made-up requests that a web process runs before its port opens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from threading import Event

import pytest
from django.core.handlers.wsgi import WSGIHandler

from tecken.front import application
from tecken.front.application import Front
from tecken.front.config import FrontConfig, server_config
from tecken.limits import services as limits_services
from tests.front.applications import echo
from tests.front.server import serving
from tests.symbolication.test_warm_up import counters


def config() -> FrontConfig:
    config = server_config(Front(WSGIHandler(), threads=2))
    config.load()
    return config


def run(config: FrontConfig) -> None:
    asyncio.run(application.warm_up(config, config.loaded_app))


def test_warm_up_leaves_no_trace(clear_redis_store: None, caplog: pytest.LogCaptureFixture) -> None:
    # Requests of earlier tests are counted until they are written.
    before, usage = counters(), dict(limits_services.usage()._counts)
    with caplog.at_level(logging.DEBUG, "tecken.front"):
        run(config())
    assert counters() == before
    assert dict(limits_services.usage()._counts) == usage
    assert not caplog.records


def test_warm_up_sends_requests_through_the_whole_front(
    clear_redis_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[str] = []

    def answer(environ: dict[str, str], start: Callable[..., object]) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        start("200 OK", [])
        return [b""]

    front = Front(answer, threads=2)
    made = server_config(front)
    made.load()
    run(made)
    assert paths == ["/__lbheartbeat__"] * application.ROUNDS


def test_warm_up_that_fails_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bytes:
        raise OSError("no memory")

    monkeypatch.setattr(application, "symbolicate", fail)
    run(config())


def test_warm_up_that_takes_long_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()
    monkeypatch.setattr(application, "WARM_UP_SECONDS", 0.1)
    monkeypatch.setattr(application, "symbolicate", over.wait)
    start = time.monotonic()
    run(config())
    over.set()
    assert time.monotonic() - start < 30


def test_front_runs_its_start_before_the_port_opens() -> None:
    started: list[Front] = []

    async def on_start(front: Front) -> None:
        started.append(front)

    front = Front(echo, threads=2, on_start=on_start)
    with serving(front) as server:
        server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert started == [front]
