from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import enumerate as enumerate_threads
from time import monotonic

import pytest
import redis

from tecken import redisclient
from tecken.errors import Pending
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.conversion import keys
from tecken.symbolication.conversion.lock import RedisConversionLock
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import RedisServer, free_port

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


def test_lock_same_module_is_held_once_at_a_time(cache_client: redis.Redis) -> None:
    lock = RedisConversionLock(cache_client, RedisGuard("redis-cache"), expiry=30)
    inside: list[int] = []
    most = []

    def work(number: int) -> None:
        with lock.hold(XUL):
            inside.append(number)
            most.append(len(inside))
            cache_client.ping()
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] * 8


def test_lock_other_module_does_not_wait(cache_client: redis.Redis) -> None:
    lock = RedisConversionLock(cache_client, RedisGuard("redis-cache"), patience=0)
    with lock.hold(XUL), lock.hold(NSS):
        pass


def test_lock_held_for_too_long_raises_pending(cache_client: redis.Redis) -> None:
    lock = RedisConversionLock(cache_client, RedisGuard("redis-cache"), patience=0)
    with lock.hold(XUL), pytest.raises(Pending, match=r"xul\.pdb"), lock.hold(XUL):
        pass


def test_lock_exception_releases_it(cache_client: redis.Redis) -> None:
    lock = RedisConversionLock(cache_client, RedisGuard("redis-cache"), patience=0)
    with pytest.raises(ZeroDivisionError), lock.hold(XUL):
        raise ZeroDivisionError
    with lock.hold(XUL):
        pass


def test_lock_long_conversion_is_extended(cache_client: redis.Redis) -> None:
    with RedisConversionLock(cache_client, RedisGuard("redis-cache"), expiry=0.3).hold(XUL):
        before = cache_client.pttl(keys.lock(XUL))
        give_up = monotonic() + 10
        while (remaining := cache_client.pttl(keys.lock(XUL))) <= before and monotonic() < give_up:
            before = remaining
        assert remaining > before


def test_lock_of_a_dead_holder_expires(cache_client: redis.Redis) -> None:
    cache_client.set(keys.lock(XUL), "killed", px=50)
    with RedisConversionLock(cache_client, RedisGuard("redis-cache"), patience=30).hold(XUL):
        assert cache_client.get(keys.lock(XUL)) != b"killed"


def test_lock_of_another_holder_is_not_released(cache_client: redis.Redis) -> None:
    with RedisConversionLock(cache_client, RedisGuard("redis-cache")).hold(XUL):
        cache_client.set(keys.lock(XUL), "another")
    assert cache_client.get(keys.lock(XUL)) == b"another"


def test_lock_lost_by_its_holder_is_not_extended(cache_client: redis.Redis) -> None:
    with RedisConversionLock(cache_client, RedisGuard("redis-cache"), expiry=0.3).hold(XUL):
        (extender,) = (thread for thread in enumerate_threads() if thread.name == f"lock {XUL}")
        cache_client.set(keys.lock(XUL), "another")
        extender.join(10)
        assert not extender.is_alive()
    assert cache_client.get(keys.lock(XUL)) == b"another"
    assert cache_client.pttl(keys.lock(XUL)) == -1


def test_lock_without_redis_runs_the_conversion() -> None:
    with closing(
        redisclient.client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1)
    ) as client:
        done = []
        with RedisConversionLock(client, RedisGuard("redis-cache")).hold(XUL):
            done.append(XUL)
        assert done == [XUL]


def test_lock_server_stopping_meanwhile_is_no_failure() -> None:
    with (
        RedisServer() as server,
        closing(redisclient.client(server.url, timeout=1, connect_timeout=1)) as client,
    ):
        with RedisConversionLock(client, RedisGuard("redis-cache")).hold(XUL):
            server.stop()
        server.start()
