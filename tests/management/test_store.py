from __future__ import annotations

import pytest
from django.core.management.base import CommandError
from pytest_django import Settings

from tecken import services
from tecken.redisclient import services as redis_services
from tests.management.conftest import SAMPLES, Manage
from tests.support.asked import asked
from tests.support.redis_server import free_port


def test_stats_of_a_used_store_are_printed(manage: Manage) -> None:
    manage("symbolicate", str(SAMPLES / "stack.json"))
    rows = dict(
        line.split(maxsplit=1) for line in manage("store", "stats").splitlines() if " ratio" not in line
    )
    assert rows["modules"] == "3"
    assert int(rows["keys"]) > 3
    assert rows["memory"].endswith("allkeys-lru")
    assert rows["page"].endswith("B on average")


def test_stats_unreachable_store_fails_with_one_line(manage: Manage, house: Settings) -> None:
    nowhere = {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    house.CACHES = house.CACHES | {"store": house.CACHES["store"] | nowhere}
    with pytest.raises(CommandError, match="does not answer"):
        manage("store", "stats")


def test_curve_of_a_used_store_is_printed(manage: Manage) -> None:
    asked(redis_services.counters_client(), keys=100, times=40)
    lines = manage("store", "curve").splitlines()
    assert [line.split()[:2] for line in lines[3:6]] == [
        ["90%", "100kB"],
        ["95%", "100kB"],
        ["99%", "100kB"],
    ]
    assert lines[0].startswith("advice    The store is larger than it needs to be: 100 % of reads hit with")
    assert lines[4].endswith("2.00GB")
    assert "now       100.0% with 524MB" in lines
    assert lines[-1] == "from      3,000 accesses, of which 3,000 were sampled"


def test_curve_without_accesses_is_not_printed(manage: Manage) -> None:
    assert manage("store", "curve").startswith("too few accesses so far: 0 accesses")


def test_curve_without_repeated_accesses_has_no_sizes(manage: Manage) -> None:
    asked(redis_services.counters_client(), keys=4000, times=1)
    lines = manage("store", "curve").splitlines()
    assert lines[0].startswith("advice    Memory does not help: 100 % of reads are first ones")
    assert lines[3].split()[1:3] == ["no", "size"]
    assert "at most   0.0%: the rest are first requests" in lines


def test_curve_without_a_store_is_printed(manage: Manage, house: Settings) -> None:
    asked(redis_services.counters_client(), keys=100, times=40)
    nowhere = {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    house.CACHES = house.CACHES | {"store": house.CACHES["store"] | nowhere}
    services.discard_all()
    assert "as it is" not in manage("store", "curve")


def test_curve_without_redis_cache_fails(manage: Manage, house: Settings) -> None:
    house.REDIS_COUNTERS_URL = f"redis://127.0.0.1:{free_port()}/3"
    services.discard_all()
    with pytest.raises(CommandError, match="redis-cache does not answer"):
        manage("store", "curve")
