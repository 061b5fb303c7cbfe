"""The master of redis-cache is replaced, and every process of the site is configured by the new one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.sentinel import SentinelPair
from tests.system.fleet import LIMITED, Fleet, serving
from tests.system.site import IMAGES


@pytest.fixture
def pair() -> Iterator[SentinelPair]:
    with SentinelPair(IMAGES / "redis-cache" / "redis.conf") as pair:
        yield pair


class FollowingFleet(Fleet):
    """Fleet whose redis-cache is the present master."""

    def __init__(self, home: Path, pair: SentinelPair) -> None:
        super().__init__(home, REDIS_URL=pair.url)
        self._pair = pair

    @property
    def redis_cache(self) -> RedisServer:
        return self._pair.master


@pytest.fixture
def fleet(tmp_path: Path, pair: SentinelPair) -> Iterator[Fleet]:
    with FollowingFleet(tmp_path, pair) as fleet:
        fleet.changed(20)
        yield fleet


def test_failover_of_a_killed_master_keeps_the_values(fleet: Fleet, pair: SentinelPair) -> None:
    with serving(fleet, LIMITED):
        pair.master.kill()
        version = fleet.recorded(30)
        pair.wait_for_other()
        fleet.wait_for_web(lambda seen: (seen["jobs"], seen["version"]) == (30, version), "30 jobs")
        fleet.changed(40)
    fleet.wait_for_workers(40)


def test_failover_of_a_healthy_master_keeps_the_values(fleet: Fleet, pair: SentinelPair) -> None:
    with serving(fleet, LIMITED):
        pair.failover()
        fleet.changed(30)
        fleet.changed(40)
    fleet.wait_for_workers(40)


def test_failover_of_a_frozen_master_keeps_the_values(fleet: Fleet, pair: SentinelPair) -> None:
    with serving(fleet, LIMITED):
        pair.master.pause()
        version = fleet.recorded(30)
        pair.wait_for_other()
        pair.other.resume()
        fleet.wait_for_web(lambda seen: (seen["jobs"], seen["version"]) == (30, version), "30 jobs")
        fleet.changed(40)
    fleet.wait_for_workers(40)


def test_failover_to_a_stale_replica_restores_the_last_change(fleet: Fleet, pair: SentinelPair) -> None:
    with serving(fleet, LIMITED):
        pair.other.pause()
        version = fleet.changed(30)
        pair.master.kill()
        pair.other.resume()
        pair.wait_for_other()
        fleet.wait_for_web(
            lambda seen: (seen["jobs"], seen["version"], seen["stale"]) == (30, version, False), "30 jobs"
        )
        fleet.wait_for_value(b"30")
        fleet.changed(40)
    fleet.wait_for_workers(40)
