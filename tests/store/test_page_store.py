from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tecken.redisclient import client
from tecken.store.page_store import RedisPageStore
from tecken.store.port import Missing, PageKey, missing_key
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
XUL = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
HEADER = ":1:symbol:xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2"
MARKER = ":1:missing:xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2"
ABSENT = Missing("absent", "nobody has it")
GENERATION = "0123456789abcdef"


@pytest.fixture
def page_store(connection: redis.Redis) -> RedisPageStore:
    return RedisPageStore(connection)


def commands(connection: redis.Redis) -> dict[str, int]:
    """How often each command was carried out since `config_resetstat`."""
    stats = connection.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in stats.items()}


def test_store_keys_have_the_documented_names(page_store: RedisPageStore, connection: redis.Redis) -> None:
    page_store.put_missing(XUL, ABSENT, seconds=60)
    assert connection.keys() == [MARKER.encode()]
    assert 0 < connection.ttl(MARKER) <= 60
    assert json.loads(connection.get(MARKER) or b"") == {
        "kind": "absent",
        "reason": "nobody has it",
        "spelling": "xul.pdb",
    }
    page_store.put_header(XUL, b"header")
    page_store.put_pages({PageKey(XUL, GENERATION, 12): b"page"})
    assert connection.mget(HEADER, f"{HEADER}/{GENERATION}/12") == [b"header", b"page"]
    assert connection.dbsize() == 2, "the header replaces the marker"


def test_store_read_is_one_round_trip(page_store: RedisPageStore, connection: redis.Redis) -> None:
    modules = [ObjectId.parse(f"{number}.pdb", "A" * 33) for number in range(40)]
    connection.config_resetstat()
    page_store.headers(modules)
    page_store.pages([PageKey(module, GENERATION, 1) for module in modules])
    assert commands(connection)["mget"] == 2


def test_store_commands_are_limited_in_size(page_store: RedisPageStore, connection: redis.Redis) -> None:
    pages = {PageKey(XUL, GENERATION, number): bytes(100_000) for number in range(40)}
    connection.config_resetstat()
    page_store.put_pages(pages)
    assert commands(connection)["mset"] == 4
    assert page_store.pages(list(pages)) == pages


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"absent",
        b"\xff\xfe",
        b"[]",
        b'"absent"',
        b'{"kind": "absent"}',
        b'{"kind": "gone", "reason": ""}',
        b'{"kind": ["absent"], "reason": ""}',
        b'{"kind": "absent", "reason": null}',
    ],
)
def test_store_with_an_unreadable_marker_returns_nothing(
    page_store: RedisPageStore, connection: redis.Redis, junk: bytes
) -> None:
    connection.set(MARKER, junk)
    assert page_store.headers([XUL]) == {}


def test_store_with_a_key_of_another_type_returns_nothing(
    page_store: RedisPageStore, connection: redis.Redis
) -> None:
    page = PageKey(XUL, GENERATION, 0)
    connection.hset(HEADER, "offset", "name")
    connection.rpush(MARKER, "x")
    connection.sadd(f"{HEADER}/{GENERATION}/0", "x")
    assert page_store.headers([XUL]) == {}
    assert page_store.pages([page]) == {}
    page_store.put_missing(XUL, ABSENT, seconds=60)
    assert page_store.headers([XUL]) == {XUL: ABSENT}
    page_store.put_header(XUL, b"header")
    page_store.put_pages({page: b"page"})
    assert page_store.headers([XUL]) == {XUL: b"header"}
    assert page_store.pages([page]) == {page: b"page"}


def test_store_with_a_marker_of_a_former_version_returns_it_for_exact_names_only(
    page_store: RedisPageStore, connection: redis.Redis
) -> None:
    """A former version had a key for each spelling, so that absence of `xul.pdb` hides no `XUL.pdb`."""
    elf = ObjectId("libxul.so", "B" * 33)
    for module in (XUL, elf):
        connection.set(missing_key(module), b'{"kind": "absent", "reason": "not there"}')
    assert page_store.headers([XUL, elf]) == {elf: Missing("absent", "not there")}


def test_store_evicts_single_pages(page_store: RedisPageStore, connection: redis.Redis) -> None:
    connection.config_set("maxmemory", connection.info("memory")["used_memory"] + 5_000_000)
    pages = {PageKey(XUL, GENERATION, number): str(number).encode() * 2000 for number in range(2000)}
    page_store.put_pages(pages)
    kept = page_store.pages(list(pages))
    assert 0 < len(kept) < len(pages)
    assert kept.items() <= pages.items()
    page_store.put_header(XUL, b"header")
    assert page_store.headers([XUL]) == {XUL: b"header"}


def test_store_used_by_threads_returns_their_own_pages(page_store: RedisPageStore) -> None:
    pages = {PageKey(XUL, GENERATION, number): str(number).encode() * 500 for number in range(400)}
    page_store.put_pages(pages)
    shares = [dict(list(pages.items())[thread::8]) for thread in range(8)] * 10
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(page_store.pages, map(list, shares))) == shares


def test_store_in_a_forked_process_opens_its_own_connections(server: RedisServer) -> None:
    """In a fresh interpreter, because this one has threads."""
    command = [sys.executable, "-m", "tests.store.fork", server.url]
    done = subprocess.run(command, check=False, capture_output=True, cwd=ROOT, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_store_uses_the_database_of_its_url(server: RedisServer, connection: redis.Redis) -> None:
    with client(server.url.removesuffix("0") + "3", timeout=5, connect_timeout=5) as third:
        RedisPageStore(third).put_header(XUL, b"header")
    assert connection.dbsize() == 0
