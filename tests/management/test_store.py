from __future__ import annotations

import pytest
from django.core.management.base import CommandError
from pytest_django import Settings

from tecken import services
from tecken.redisclient import services as redis_services
from tests.management.conftest import SAMPLES, Manage
from tests.support.asked import asked
from tests.support.redis_server import free_port


def test_stats_of_a_store_in_use(manage: Manage) -> None:
    manage("symbolicate", str(SAMPLES / "stack.json"))
    rows = dict(
        line.split(maxsplit=1) for line in manage("store", "stats").splitlines() if " ratio" not in line
    )
    assert rows["modules"] == "3"
    assert int(rows["keys"]) > 3
    assert rows["memory"].endswith("allkeys-lru")
    assert rows["page"].endswith("B on average")


def test_a_store_that_is_away_is_one_clear_line(manage: Manage, house: Settings) -> None:
    nowhere = {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    house.CACHES = house.CACHES | {"store": house.CACHES["store"] | nowhere}
    with pytest.raises(CommandError, match="does not answer"):
        manage("store", "stats")


def test_the_curve_of_a_store_in_use(manage: Manage) -> None:
    asked(redis_services.counters_client(), keys=100, times=40)
    lines = manage("store", "curve").splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["90%", "100kB"],
        ["95%", "100kB"],
        ["99%", "100kB"],
    ]
    assert lines[2].endswith("2.00GB")
    assert "as it is  100.0% with 524MB" in lines
    assert lines[-1] == "from      3,000 accesses, of which 3,000 were looked at"


def test_a_store_that_nobody_asks_has_no_curve(manage: Manage) -> None:
    assert manage("store", "curve").startswith("not enough was asked for yet: 0 accesses")


def test_a_store_that_is_asked_for_nothing_twice(manage: Manage) -> None:
    asked(redis_services.counters_client(), keys=4000, times=1)
    lines = manage("store", "curve").splitlines()
    assert lines[1].split()[1:3] == ["no", "size"]
    assert "at most   0.0%: the rest was asked for the first time" in lines


def test_the_curve_needs_no_store(manage: Manage, house: Settings) -> None:
    asked(redis_services.counters_client(), keys=100, times=40)
    nowhere = {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    house.CACHES = house.CACHES | {"store": house.CACHES["store"] | nowhere}
    services.discard_all()
    assert "as it is" not in manage("store", "curve")


def test_the_curve_is_on_redis_cache(manage: Manage, house: Settings) -> None:
    house.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
    services.discard_all()
    with pytest.raises(CommandError, match="redis-cache does not answer"):
        manage("store", "curve")
