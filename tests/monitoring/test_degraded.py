from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.errors import StoreUnavailable, Unavailable
from tecken.jobs import sending
from tecken.limits import services as limits_services
from tecken.limits.port import Caller, Cost, Limit
from tecken.monitoring import degraded
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tecken.store import services as store_services
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import free_port


@pytest.fixture(autouse=True)
def redis_away(settings: Settings) -> Iterator[None]:
    """Point the clients of both servers at an unreachable port; the configuration is in memory."""
    away = f"redis://127.0.0.1:{free_port()}"
    store = {**settings.CACHES["store"], "LOCATION": f"{away}/0"}
    settings.CACHES = {**settings.CACHES, "store": store}
    settings.REDIS_COUNTERS_URL = f"{away}/3"
    current.reset()
    current.start()
    services.discard_all()
    yield
    services.discard_all()


def test_states_of_an_idle_process_are_ok() -> None:
    assert (degraded.degraded_states(), degraded.states_text()) == (("ok",), "ok")


def test_states_build_no_client() -> None:
    degraded.degraded_states()
    assert (
        limits_services.limiter.cache_info().currsize
        == store_services.store_client.cache_info().currsize
        == 0
    )


def test_states_after_failures_name_each_of_them() -> None:
    with pytest.raises(StoreUnavailable):
        store_services.page_store().headers([ObjectId("a.pdb", "0" * 33)])
    assert degraded.states_text() == "store-away"
    limits_services.limiter().charge(
        Caller("192.0.2.1"), Cost(), [Limit("api", 1, "requests", "hour", "address")]
    )
    # The counters and the queue are on one server, so no job can be sent either.
    assert degraded.states_text() == "store-away,local-limits,queue-down"
    with pytest.raises(Unavailable):
        sending.send("none", [])
    redis_services.cache_guard().breaker.record_answer()
    assert degraded.states_text() == "store-away,local-limits"
    sending.send_watch().has_failed = True
    assert degraded.states_text() == "store-away,local-limits,queue-down"
    sending.send_watch().has_failed = False
    store_services.store_guard().breaker.record_answer()
    assert degraded.states_text() == "local-limits"


def test_states_under_maintenance_have_it() -> None:
    current.backend().set_maintenance("full", format_maintenance(Maintenance()), None)
    assert degraded.degraded_states() == ("maintenance",)
    current.backend().set_maintenance("full", None, None)
    assert degraded.degraded_states() == ("ok",)


def test_states_without_configuration_server_are_stale(settings: Settings) -> None:
    settings.RUNTIME_CONFIG_WATCHER = "redis"
    settings.RUNTIME_CONFIG_URL = f"redis://127.0.0.1:{free_port()}/2"
    current.reset()
    assert degraded.degraded_states() == ("ok",)
    current.options()
    # The configuration and the queue are on one server, so no job can be sent either.
    assert degraded.degraded_states() == ("stale-config", "queue-down")
    current.reset()


def test_responses_have_the_states_in_a_header(client: Client) -> None:
    assert client.get("/health/live")["X-Tecken-State"] == "ok"
    store_services.store_guard().breaker.record_failure()
    assert client.get("/nothing.pdb")["X-Tecken-State"] == "store-away"
    current.backend().set_maintenance("full", format_maintenance(Maintenance()), None)
    assert client.post("/symbolicate/v5")["X-Tecken-State"] == "store-away,maintenance"
    current.backend().set_maintenance("full", None, None)
