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
from tecken.symbolication.conversion.lock import RedisTurns
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import RedisServer, free_port

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


def test_one_at_a_time(cache_client: redis.Redis) -> None:
    turns = RedisTurns(cache_client, RedisGuard("redis-cache"), expiry=30)
    inside: list[int] = []
    most = []

    def work(number: int) -> None:
        with turns.take(XUL):
            inside.append(number)
            most.append(len(inside))
            cache_client.ping()
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] * 8


def test_modules_do_not_wait_for_each_other(cache_client: redis.Redis) -> None:
    turns = RedisTurns(cache_client, RedisGuard("redis-cache"), patience=0)
    with turns.take(XUL), turns.take(NSS):
        pass


def test_patience_ends(cache_client: redis.Redis) -> None:
    turns = RedisTurns(cache_client, RedisGuard("redis-cache"), patience=0)
    with turns.take(XUL), pytest.raises(Pending, match=r"xul\.pdb"), turns.take(XUL):
        pass


def test_a_turn_ends_with_an_exception(cache_client: redis.Redis) -> None:
    turns = RedisTurns(cache_client, RedisGuard("redis-cache"), patience=0)
    with pytest.raises(ZeroDivisionError), turns.take(XUL):
        raise ZeroDivisionError
    with turns.take(XUL):
        pass


def test_a_living_holder_keeps_its_turn(cache_client: redis.Redis) -> None:
    with RedisTurns(cache_client, RedisGuard("redis-cache"), expiry=0.3).take(XUL):
        was = cache_client.pttl(keys.turn(XUL))
        give_up = monotonic() + 10
        while (now := cache_client.pttl(keys.turn(XUL))) <= was and monotonic() < give_up:
            was = now
        assert now > was


def test_the_turn_of_a_dead_holder_expires(cache_client: redis.Redis) -> None:
    cache_client.set(keys.turn(XUL), "killed", px=50)
    with RedisTurns(cache_client, RedisGuard("redis-cache"), patience=30).take(XUL):
        assert cache_client.get(keys.turn(XUL)) != b"killed"


def test_somebody_elses_turn_is_not_given_back(cache_client: redis.Redis) -> None:
    with RedisTurns(cache_client, RedisGuard("redis-cache")).take(XUL):
        cache_client.set(keys.turn(XUL), "another")
    assert cache_client.get(keys.turn(XUL)) == b"another"


def test_turns_lost_turn_is_extended_no_more(cache_client: redis.Redis) -> None:
    with RedisTurns(cache_client, RedisGuard("redis-cache"), expiry=0.3).take(XUL):
        (beat,) = (thread for thread in enumerate_threads() if thread.name == f"turn {XUL}")
        cache_client.set(keys.turn(XUL), "another")
        beat.join(10)
        assert not beat.is_alive()
    assert cache_client.get(keys.turn(XUL)) == b"another"
    assert cache_client.pttl(keys.turn(XUL)) == -1


def test_without_redis_the_work_is_done_all_the_same() -> None:
    with closing(
        redisclient.client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1)
    ) as client:
        done = []
        with RedisTurns(client, RedisGuard("redis-cache")).take(XUL):
            done.append(XUL)
        assert done == [XUL]


def test_a_server_that_ends_meanwhile_is_no_failure() -> None:
    with (
        RedisServer() as server,
        closing(redisclient.client(server.url, timeout=1, connect_timeout=1)) as client,
    ):
        with RedisTurns(client, RedisGuard("redis-cache")).take(XUL):
            server.stop()
        server.start()
