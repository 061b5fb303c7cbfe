from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from tecken import modes, wiring
from tecken.errors import CouldNotAsk, StoreAway
from tecken.limits.port import Caller, Cost, Limit
from tecken.runtimeconfig import current
from tecken.runtimeconfig.maintenance import Maintenance, show
from tecken.symbols.ids import ObjectId
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


def test_what_nobody_has_needed_is_not_missed() -> None:
    assert (modes.modes(), modes.text()) == (("ok",), "ok")


def test_asking_makes_no_part() -> None:
    modes.modes()
    assert wiring.limiter.cache_info().currsize == wiring.store_client.cache_info().currsize == 0


def test_every_state_has_its_reason() -> None:
    with pytest.raises(StoreAway):
        wiring.page_store().headers([ObjectId("a.pdb", "0" * 33)])
    assert modes.text() == "store-away"
    wiring.limiter().spend(Caller("192.0.2.1"), Cost(), [Limit("api", 1, "requests", "hour", "address")])
    assert modes.text() == "store-away,local-limits"
    wiring.queue_breaker().failed()
    assert modes.text() == "store-away,local-limits,queue-down"
    with pytest.raises(CouldNotAsk):
        wiring.send("none", [])
    wiring.queue_breaker().answered()
    wiring.store_breaker().answered()
    assert modes.text() == "local-limits"


def test_maintenance_is_one() -> None:
    current.shelf().set_maintenance("full", show(Maintenance()), None)
    assert modes.modes() == ("maintenance",)
    current.shelf().set_maintenance("full", None, None)
    assert modes.modes() == ("ok",)


def test_a_configuration_that_is_not_heard_of_is_old(settings: Settings) -> None:
    settings.RUNTIME_CONFIG_WATCHER = "redis"
    settings.RUNTIME_CONFIG_URL = f"redis://127.0.0.1:{free_port()}/2"
    current.forget()
    assert modes.modes() == ("ok",)
    current.options()
    assert modes.modes() == ("stale-config",)
    current.forget()


def test_every_answer_tells(client: Client) -> None:
    assert client.get("/health/live")["X-Tecken-State"] == "ok"
    wiring.store_breaker().failed()
    assert client.get("/nothing.pdb")["X-Tecken-State"] == "store-away"
    current.shelf().set_maintenance("full", show(Maintenance()), None)
    assert client.post("/symbolicate/v5")["X-Tecken-State"] == "store-away,maintenance"
    current.shelf().set_maintenance("full", None, None)
