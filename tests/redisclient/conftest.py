from __future__ import annotations

from collections.abc import Iterator

import pytest

from tecken.redisclient import Cluster, client
from tests.support.cluster import RedisCluster


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisCluster]:
    """For tests that leave it as it was, its keys apart."""
    with RedisCluster() as running:
        yield running


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """This test's own."""
    with RedisCluster(replicas=1) as running:
        yield running


def connect(running: RedisCluster, timeout: float = 5) -> Cluster:
    made = client(running.url, timeout=timeout, connect_timeout=timeout)
    assert isinstance(made, Cluster)
    return made


@pytest.fixture
def connected(shared: RedisCluster) -> Iterator[Cluster]:
    with connect(shared) as made:
        made.flushall()
        yield made
