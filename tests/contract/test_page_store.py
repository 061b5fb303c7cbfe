"""Contract of PageStore in every implementation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import get_args

import pytest
import redis

from tecken.redisclient import client
from tecken.redisclient.guard import RedisGuard
from tecken.store.access_counts import AccessSample, InstrumentedStore
from tecken.store.page_store import MemoryPageStore, RedisPageStore
from tecken.store.port import Missing, MissingKind, PageKey, PageStore
from tecken.symbols.ids import ObjectId
from tests.support.cluster import RedisCluster
from tests.support.site_account import IMAGES

STORE_CONF = IMAGES / "redis" / "redis.conf"
XUL = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NTDLL = ObjectId.parse("wntdll.pdb", "D74F79EB1F8D4A45ABCD2F476CCABACC2")
ABSENT = Missing("absent", "nobody has it")


@pytest.fixture
def connection() -> Iterator[redis.Redis]:
    with client(os.environ["REDIS_STORE_URL"], timeout=5, connect_timeout=5) as connected:
        connected.flushall()
        yield connected


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster(STORE_CONF) as running:
        yield running


@pytest.fixture
def cluster_connection(cluster: RedisCluster) -> Iterator[redis.Redis]:
    with client(cluster.url, timeout=5, connect_timeout=5) as connected:
        connected.flushall()
        yield connected


@pytest.fixture(params=["memory", "redis", "cluster", "watched"])
def page_store(request: pytest.FixtureRequest) -> PageStore:
    if request.param == "memory":
        return MemoryPageStore(1 << 24)
    if request.param == "watched":
        accesses = AccessSample(request.getfixturevalue("connection"), RedisGuard("redis-cache"))
        return InstrumentedStore(MemoryPageStore(1 << 24), accesses)
    where = "cluster_connection" if request.param == "cluster" else "connection"
    return RedisPageStore(request.getfixturevalue(where))


def test_store_empty_returns_nothing(page_store: PageStore) -> None:
    assert page_store.headers([XUL, NTDLL]) == {}
    assert page_store.pages([PageKey(XUL, "0" * 16, 0)]) == {}


def test_store_no_keys_return_nothing(page_store: PageStore) -> None:
    assert page_store.headers([]) == {}
    assert page_store.pages([]) == {}
    page_store.put_pages({})


def test_store_get_returns_the_stored_bytes(page_store: PageStore) -> None:
    raw = bytes(range(256))
    page = PageKey(XUL, "0123456789abcdef", 7)
    page_store.put_header(XUL, raw)
    page_store.put_pages({page: raw})
    assert page_store.headers([XUL]) == {XUL: raw}
    assert page_store.pages([page]) == {page: raw}


def test_store_empty_value_is_present(page_store: PageStore) -> None:
    page_store.put_header(XUL, b"")
    assert page_store.headers([XUL]) == {XUL: b""}


@pytest.mark.parametrize(
    "name", ["[vdso]", "<unknown>", "{guid}.xpi", "a b~", "*", "符号.pdb", "a:1:symbol:b", "%2e"]
)
def test_store_module_with_any_name_is_stored(page_store: PageStore, name: str) -> None:
    module = ObjectId.parse(name, "A" * 33)
    page = PageKey(module, "f" * 16, 1)
    page_store.put_header(module, b"header")
    page_store.put_pages({page: b"page"})
    assert page_store.headers([module]) == {module: b"header"}
    assert page_store.pages([page]) == {page: b"page"}


def test_store_repeated_module_is_returned_once(page_store: PageStore) -> None:
    page_store.put_header(XUL, b"header")
    assert page_store.headers([XUL, NTDLL, XUL]) == {XUL: b"header"}


def test_store_pages_need_no_header(page_store: PageStore) -> None:
    there = PageKey(XUL, "a" * 16, 1)
    others = [PageKey(XUL, "b" * 16, 1), PageKey(XUL, "a" * 16, 2), PageKey(NTDLL, "a" * 16, 1)]
    page_store.put_pages({there: b"page"})
    assert page_store.pages([*others, there]) == {there: b"page"}


def test_store_put_replaces_the_earlier_value(page_store: PageStore) -> None:
    page = PageKey(XUL, "a" * 16, 1)
    for raw in (b"first", b"second"):
        page_store.put_header(XUL, raw)
        page_store.put_pages({page: raw})
    assert page_store.headers([XUL]) == {XUL: b"second"}
    assert page_store.pages([page]) == {page: b"second"}


def test_store_thousands_of_pages_are_returned(page_store: PageStore) -> None:
    pages = {PageKey(XUL, "a" * 16, number): str(number).encode() * 400 for number in range(3000)}
    page_store.put_pages(pages)
    assert page_store.pages(list(pages)) == pages


def test_store_thousands_of_modules_are_returned(page_store: PageStore) -> None:
    modules = [ObjectId.parse(f"{number}.pdb", "A" * 33) for number in range(3000)]
    for module in modules[::10]:
        page_store.put_header(module, module.debug_file.encode())
    assert page_store.headers(modules) == {module: module.debug_file.encode() for module in modules[::10]}


@pytest.mark.parametrize("kind", get_args(MissingKind))
def test_store_missing_marker_keeps_its_reason(page_store: PageStore, kind: MissingKind) -> None:
    page_store.put_missing(XUL, Missing(kind, 'it said "n\u00f6"\n\udcff'), seconds=60)
    assert page_store.headers([XUL, NTDLL]) == {XUL: Missing(kind, 'it said "n\u00f6"\n\udcff')}


def test_store_missing_marker_has_the_last_reason(page_store: PageStore) -> None:
    page_store.put_missing(XUL, Missing("unreachable", "no route"), seconds=5)
    page_store.put_missing(XUL, ABSENT, seconds=60)
    assert page_store.headers([XUL]) == {XUL: ABSENT}


def test_store_missing_marker_expires(page_store: PageStore) -> None:
    assert page_store.missing_seconds(XUL) is None
    page_store.put_missing(XUL, ABSENT, 600)
    left = page_store.missing_seconds(XUL)
    assert left is not None
    assert 0 < left <= 600
    page_store.put_header(XUL, b"header")
    assert page_store.missing_seconds(XUL) is None


def test_store_header_overrides_a_missing_marker(page_store: PageStore) -> None:
    page_store.put_header(XUL, b"header")
    page_store.put_missing(XUL, ABSENT, seconds=60)
    assert page_store.headers([XUL]) == {XUL: b"header"}


def test_store_forget_removes_header_and_marker_but_not_pages(page_store: PageStore) -> None:
    page = PageKey(XUL, "a" * 16, 1)
    page_store.put_header(XUL, b"header")
    page_store.put_missing(XUL, ABSENT, seconds=60)
    page_store.put_missing(NTDLL, ABSENT, seconds=60)
    page_store.put_pages({page: b"page"})
    page_store.forget(XUL)
    assert page_store.headers([XUL, NTDLL]) == {NTDLL: ABSENT}
    assert page_store.pages([page]) == {page: b"page"}


def test_store_forget_unknown_module_succeeds(page_store: PageStore) -> None:
    page_store.forget(XUL)
    assert page_store.headers([XUL]) == {}


SPELLINGS = [ObjectId.parse(name, "A" * 33) for name in ("Foo.pdb", "foo.PDB")]


def test_headers_and_pages_are_those_of_every_spelling(page_store: PageStore) -> None:
    one, other = SPELLINGS
    page_store.put_header(one, b"header")
    page_store.put_pages({PageKey(one, "a" * 16, 1): b"page"})
    assert page_store.headers([other]) == {one: b"header"}
    assert page_store.pages([PageKey(other, "a" * 16, 1)]) == {PageKey(one, "a" * 16, 1): b"page"}
    page_store.forget(other)
    assert page_store.headers([one]) == {}


def test_put_missing_absent_answers_the_spelling_that_was_asked_for_alone(page_store: PageStore) -> None:
    one, other = SPELLINGS
    page_store.put_missing(one, ABSENT, 60)
    assert page_store.headers([one]) == {one: ABSENT}
    assert page_store.headers([other]) == {}
    page_store.put_missing(other, ABSENT, 60)
    assert page_store.headers([other]) == {one: ABSENT}


def test_put_missing_of_what_was_found_answers_every_spelling(page_store: PageStore) -> None:
    one, other = SPELLINGS
    malformed = Missing("malformed", "no MODULE record")
    page_store.put_missing(one, malformed, 60)
    assert page_store.headers([other]) == {one: malformed}


def test_forget_and_put_header_in_one_spelling_end_the_absence_of_another(page_store: PageStore) -> None:
    one, other = SPELLINGS
    page_store.put_missing(one, ABSENT, 60)
    page_store.forget(other)
    assert page_store.headers([one]) == {}
    page_store.put_missing(one, ABSENT, 60)
    page_store.put_header(other, b"header")
    assert page_store.headers([one]) == {one: b"header"}
