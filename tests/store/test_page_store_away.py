"""The server refuses, is mute, full, read-only or foreign: StoreUnavailable, and a timeout is paid once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from tecken.errors import StoreUnavailable
from tecken.redisclient import client
from tecken.store.page_store import RedisPageStore, store_guard
from tecken.store.port import Missing, PageKey
from tecken.symbols.ids import ObjectId
from tests.support.clock import Clock
from tests.support.redis_server import MUTE_AFTER, RedisServer
from tests.support.scripted_server import ScriptedServer

XUL = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
PAGE = PageKey(XUL, "0123456789abcdef", 0)
Call = Callable[[RedisPageStore], object]
CALLS: dict[str, Call] = {
    "headers": lambda store: store.headers([XUL]),
    "pages": lambda store: store.pages([PAGE]),
    "put_header": lambda store: store.put_header(XUL, b"header"),
    "put_pages": lambda store: store.put_pages({PAGE: b"page"}),
    "put_missing": lambda store: store.put_missing(XUL, Missing("absent", ""), seconds=60),
    "forget": lambda store: store.forget(XUL),
    "stats": lambda store: store.stats(),
}
WRITES = ["put_header", "put_pages", "put_missing"]


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def page_store(connection: redis.Redis, clock: Clock) -> RedisPageStore:
    return RedisPageStore(connection, store_guard(clock))


@pytest.fixture
def impatient(server: RedisServer, clock: Clock) -> Iterator[RedisPageStore]:
    with client(server.url, timeout=MUTE_AFTER, connect_timeout=MUTE_AFTER) as connected:
        yield RedisPageStore(connected, store_guard(clock))


def test_store_read_of_no_keys_needs_no_server(server: RedisServer, page_store: RedisPageStore) -> None:
    server.stop()
    assert page_store.headers([]) == {}
    assert page_store.pages([]) == {}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_store_with_a_refused_port_is_unavailable(
    server: RedisServer, page_store: RedisPageStore, call: Call
) -> None:
    server.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        call(page_store)


@pytest.mark.parametrize("call", ["headers", "put_header", "put_pages"])
def test_store_with_a_mute_server_is_unavailable_in_time(
    server: RedisServer, impatient: RedisPageStore, call: str
) -> None:
    server.pause()
    with pytest.raises(StoreUnavailable, match="did not answer in time"):
        CALLS[call](impatient)


def test_store_after_a_timeout_never_reads_a_late_reply(
    server: RedisServer, impatient: RedisPageStore, clock: Clock
) -> None:
    impatient.put_header(XUL, b"header")
    server.pause()
    with pytest.raises(StoreUnavailable):
        impatient.headers([XUL])
    server.resume()
    clock.now += 1
    assert impatient.pages([PAGE]) == {}


def test_store_after_a_failure_is_not_tried_until_the_pause_ends(
    server: RedisServer, impatient: RedisPageStore, clock: Clock
) -> None:
    server.pause()
    with pytest.raises(StoreUnavailable):
        impatient.headers([XUL])
    server.resume()
    with pytest.raises(StoreUnavailable, match="not asked"):
        impatient.pages([PAGE])
    clock.now += 1
    assert impatient.headers([XUL]) == {}
    assert impatient.pages([PAGE]) == {}


def test_store_after_a_restart_works(server: RedisServer, page_store: RedisPageStore, clock: Clock) -> None:
    page_store.put_header(XUL, b"header")
    server.stop()
    with pytest.raises(StoreUnavailable):
        page_store.headers([XUL])
    server.start()
    clock.now += 1
    assert page_store.headers([XUL]) == {}


def test_store_restarted_between_two_calls_raises_nothing(
    server: RedisServer, page_store: RedisPageStore
) -> None:
    page_store.put_header(XUL, b"header")
    server.stop()
    server.start()
    assert page_store.headers([XUL]) == {}


@pytest.mark.parametrize("write", WRITES)
def test_store_on_a_full_server_still_reads(
    connection: redis.Redis, page_store: RedisPageStore, write: str
) -> None:
    page_store.put_header(XUL, b"header")
    connection.config_set("maxmemory-policy", "noeviction")
    connection.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="is out of memory"):
        CALLS[write](page_store)
    assert page_store.headers([XUL]) == {XUL: b"header"}


@pytest.mark.parametrize("write", [*WRITES, "forget"])
def test_store_on_a_read_only_server_still_reads(
    connection: redis.Redis, page_store: RedisPageStore, write: str
) -> None:
    page_store.put_header(XUL, b"header")
    connection.replicaof("127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="is read-only"):
        CALLS[write](page_store)
    assert page_store.headers([XUL]) == {XUL: b"header"}


def test_store_without_permission_to_write_still_reads(server: RedisServer, connection: redis.Redis) -> None:
    connection.acl_setuser("reader", enabled=True, passwords="+word", keys=["*"], categories=["+@read"])
    with client(server.url.replace("//", "//reader:word@"), timeout=5, connect_timeout=5) as connected:
        store = RedisPageStore(connected)
        with pytest.raises(StoreUnavailable, match="NoPermissionError"):
            store.put_header(XUL, b"header")
        assert store.headers([XUL]) == {}


@pytest.mark.parametrize("userinfo", ["", ":wr0ng@", "nobody:wr0ng@"])
def test_store_with_a_wrong_password_is_unavailable(
    server: RedisServer, connection: redis.Redis, userinfo: str
) -> None:
    connection.config_set("requirepass", "r1ght")
    with client(server.url.replace("//", f"//{userinfo}"), timeout=5, connect_timeout=5) as connected:
        with pytest.raises(StoreUnavailable, match="refuses our password") as caught:
            RedisPageStore(connected).headers([XUL])
        assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"", "cannot be reached"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "is still loading"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "answered with MovedError"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "answered with MasterDownError"),
        (b"-ERR unknown command, with args beginning with: 's3cret'\r\n", "answered with ResponseError"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "answered with ResponseError"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered with InvalidResponse"),
    ],
)
def test_store_with_any_error_reply_is_unavailable(reply: bytes, text: str) -> None:
    with ScriptedServer(reply) as server:
        url = f"redis://:s3cret@127.0.0.1:{server.port}/0"
        with client(url, timeout=5, connect_timeout=5) as connected:
            with pytest.raises(StoreUnavailable, match=text) as caught:
                RedisPageStore(connected).headers([XUL])
            assert "s3cret" not in str(caught.value)
