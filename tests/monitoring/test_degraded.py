from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from tecken import wiring
from tecken.errors import CouldNotAsk, StoreAway
from tecken.limits.port import Caller, Cost, Limit
from tecken.monitoring import degraded
from tecken.runtimeconfig import current
from tecken.runtimeconfig.maintenance import Maintenance, show
from tecken.symbols.ids import ModuleKey
from tests.support.redis_server import free_port


@pytest.fixture(autouse=True)
def redis_away(settings: Settings) -> Iterator[None]:
    """Both servers; the configuration is in memory."""
    away = f"redis://127.0.0.1:{free_port()}"
    store = {**settings.CACHES["store"], "LOCATION": f"{away}/0"}
    settings.CACHES = {**settings.CACHES, "store": store}
    settings.REDIS_COUNTERS_URL = f"{away}/3"
    current.forget()
    current.start()
    wiring.forget()
    yield
    wiring.forget()


def test_states_of_an_idle_process_are_ok() -> None:
    assert (degraded.degraded_states(), degraded.states_text()) == (("ok",), "ok")


def test_states_build_no_client() -> None:
    degraded.degraded_states()
    assert wiring.limiter.cache_info().currsize == wiring.store_client.cache_info().currsize == 0


def test_states_after_failures_name_each_of_them() -> None:
    with pytest.raises(StoreAway):
        wiring.page_store().headers([ModuleKey("a.pdb", "0" * 33)])
    assert degraded.states_text() == "store-away"
    wiring.limiter().spend(Caller("192.0.2.1"), Cost(), [Limit("api", 1, "requests", "hour", "address")])
    # The counters and the queue are on one server, so no job can be sent either.
    assert degraded.states_text() == "store-away,local-limits,queue-down"
    with pytest.raises(CouldNotAsk):
        wiring.send("none", [])
    wiring.cache_guard().breaker.answered()
    assert degraded.states_text() == "store-away,local-limits"
    wiring.send_watch().has_failed = True
    assert degraded.states_text() == "store-away,local-limits,queue-down"
    wiring.send_watch().has_failed = False
    wiring.store_guard().breaker.answered()
    assert degraded.states_text() == "local-limits"


def test_states_under_maintenance_have_it() -> None:
    current.shelf().set_maintenance("full", show(Maintenance()), None)
    assert degraded.degraded_states() == ("maintenance",)
    current.shelf().set_maintenance("full", None, None)
    assert degraded.degraded_states() == ("ok",)


def test_states_without_configuration_server_are_stale(settings: Settings) -> None:
    settings.RUNTIME_CONFIG_WATCHER = "redis"
    settings.RUNTIME_CONFIG_URL = f"redis://127.0.0.1:{free_port()}/2"
    current.forget()
    assert degraded.degraded_states() == ("ok",)
    current.options()
    # The configuration and the queue are on one server, so no job can be sent either.
    assert degraded.degraded_states() == ("stale-config", "queue-down")
    current.forget()


def test_responses_have_the_states_in_a_header(client: Client) -> None:
    assert client.get("/health/live")["X-Tecken-State"] == "ok"
    wiring.store_guard().breaker.failed()
    assert client.get("/nothing.pdb")["X-Tecken-State"] == "store-away"
    current.shelf().set_maintenance("full", show(Maintenance()), None)
    assert client.post("/symbolicate/v5")["X-Tecken-State"] == "store-away,maintenance"
    current.shelf().set_maintenance("full", None, None)
