"""The warm-up of a process: what it reaches, and that it leaves no trace and prevents no start."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import orjson
import pytest
from prometheus_client import REGISTRY
from pytest_django import Settings

from tecken import services
from tecken.celery import app
from tecken.errors import StoreUnavailable, Unavailable
from tecken.jobs import sending
from tecken.jobs.keys import CONVERT
from tecken.limits import services as limits_services
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.store import services as store_services
from tecken.symbolication import services as symbolication_services
from tecken.symbolication import warm_up
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import free_port

ENDS_WITHIN = 30.0


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, settings: Settings, clear_redis_store: None) -> None:
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = [f"http://127.0.0.1:{free_port()}/"]
    services.discard_all()


def counters() -> dict[str, float]:
    """Return the metrics about requests, conversions and limits."""
    return {
        f"{sample.name}{sample.labels}": sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name.startswith("tecken_") and not sample.name.startswith("tecken_config_") and sample.value
    }


def stored_keys() -> Iterator[bytes]:
    for client in (redis_services.cache_client(), store_services.store_client()):
        yield from client.scan_iter()


def test_symbolicate_made_up_module_finds_every_frame() -> None:
    (result,) = orjson.loads(warm_up.symbolicate() + b"}")["results"]
    (stack,) = result["stacks"]
    assert [frame["function"] for frame in stack] == [f"warm_up::function_{i}()" for i in range(40)]
    assert all(frame["inlines"] for frame in stack)


@pytest.mark.parametrize("run", [warm_up.warm_up_web_process, warm_up.warm_up_worker_process])
def test_warm_up_leaves_no_trace(run: Callable[[], Thread], caplog: pytest.LogCaptureFixture) -> None:
    symbolication_services.symbol_loader()
    before, keys = counters(), sorted(stored_keys())
    with caplog.at_level(logging.INFO):
        run().join(ENDS_WITHIN)
    assert counters() == before
    assert sorted(stored_keys()) == keys
    assert not limits_services.usage()._counts
    assert not store_services.hit_counts()._pages
    assert not caplog.records


def test_warm_up_web_process_connects_to_both_servers_and_the_queue() -> None:
    warm_up.warm_up_web_process().join(ENDS_WITHIN)
    for client in (redis_services.cache_client(), store_services.store_client()):
        pool = client.connection_pool
        # The subscriber of invalidations may have one.
        assert [*pool._available_connections, *pool._in_use_connections]
    assert "send_task_message" in app.amqp.__dict__
    with app.producer_or_acquire() as producer:
        assert hash(app.amqp.queues[CONVERT]) in producer.connection.declared_entities


def test_warm_up_worker_process_without_the_store_reaches_the_storage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached: list[ObjectId] = []

    def headers(_modules: object) -> dict[ObjectId, bytes]:
        raise StoreUnavailable("the symbol store is away")

    monkeypatch.setattr(store_services.page_store(), "headers", headers)
    monkeypatch.setattr(storage_services, "own_stamp", reached.append)
    warm_up.warm_up_worker_process().join(ENDS_WITHIN)
    assert reached == [warm_up.MODULE]


def test_warm_up_failing_step_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Unavailable("the queue does not answer")

    reached = Event()
    monkeypatch.setattr(warm_up, "symbolicate", fail)
    monkeypatch.setattr(sending, "connect", fail)
    monkeypatch.setattr(warm_up, "_read_page_file", reached.set)
    warm_up.warm_up_web_process()
    assert reached.wait(ENDS_WITHIN)


def test_warm_up_slow_step_does_not_delay_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()
    monkeypatch.setattr(warm_up, "WARM_UP_SECONDS", 0.1)
    monkeypatch.setattr(warm_up, "symbolicate", over.wait)
    start = time.monotonic()
    thread = warm_up.warm_up_web_process()
    assert thread.is_alive()
    assert time.monotonic() - start < ENDS_WITHIN
    over.set()
    thread.join(ENDS_WITHIN)


def test_connect_without_the_queue_raises_unavailable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(sending, "_connect", refuse)
    with pytest.raises(Unavailable):
        sending.connect()
