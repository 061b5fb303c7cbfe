from __future__ import annotations

from tecken.store.memory import MemoryPageStore
from tecken.store.port import Missing, PageKey
from tecken.symbols.ids import ObjectId
from tests.support.clock import Clock

XUL = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")


def test_a_marker_expires() -> None:
    clock = Clock()
    store = MemoryPageStore(100, clock)
    store.put_missing(XUL, Missing("absent", ""), seconds=60)
    clock.now += 59
    assert store.headers([XUL]) == {XUL: Missing("absent", "")}
    clock.now += 1
    assert store.headers([XUL]) == {}


def test_a_header_removes_the_marker() -> None:
    store = MemoryPageStore(100)
    store.put_missing(XUL, Missing("absent", ""), seconds=60)
    store.put_header(XUL, b"x" * 101)
    assert store.headers([XUL]) == {}


def test_the_least_recently_used_bytes_go_first() -> None:
    store = MemoryPageStore(100)
    first, second, third = (PageKey(XUL, "a" * 16, number) for number in range(3))
    store.put_pages({first: b"1" * 40, second: b"2" * 40})
    store.pages([first])
    store.put_pages({third: b"3" * 40})
    assert set(store.pages([first, second, third])) == {first, third}


def test_what_is_larger_than_the_store_is_not_kept_nor_what_it_replaces() -> None:
    store = MemoryPageStore(100)
    store.put_header(XUL, b"old")
    store.put_header(XUL, b"x" * 101)
    assert store.headers([XUL]) == {}
