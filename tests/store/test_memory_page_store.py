from __future__ import annotations

from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageKey
from tecken.symbols.ids import ObjectId
from tests.support.clock import Clock

XUL = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")


def test_memory_store_marker_expires() -> None:
    clock = Clock()
    store = MemoryPageStore(100, clock)
    store.put_missing(XUL, Missing("absent", ""), seconds=60)
    clock.now += 59
    assert store.headers([XUL]) == {XUL: Missing("absent", "")}
    clock.now += 1
    assert store.headers([XUL]) == {}


def test_memory_store_header_deletes_the_marker() -> None:
    store = MemoryPageStore(100)
    store.put_missing(XUL, Missing("absent", ""), seconds=60)
    store.put_header(XUL, b"x" * 101)
    assert store.headers([XUL]) == {}


def test_memory_store_evicts_the_least_recently_used() -> None:
    store = MemoryPageStore(100)
    first, second, third = (PageKey(XUL, "a" * 16, number) for number in range(3))
    store.put_pages({first: b"1" * 40, second: b"2" * 40})
    store.pages([first])
    store.put_pages({third: b"3" * 40})
    assert set(store.pages([first, second, third])) == {first, third}


def test_memory_store_page_larger_than_the_store_replaces_and_is_dropped() -> None:
    store = MemoryPageStore(100)
    store.put_header(XUL, b"old")
    store.put_header(XUL, b"x" * 101)
    assert store.headers([XUL]) == {}
