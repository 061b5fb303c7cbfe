from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tecken.symbolication.memory_cache import FrameCache


def test_frame_cache_returns_stored_frames() -> None:
    cache = FrameCache(10_000)
    cache.put("v5", "g1", {1: b"one", 2: b"two"})
    assert cache.get("v5", "g1", {1, 2, 3}) == {1: b"one", 2: b"two"}
    assert cache.get("v4", "g1", {1}) == {}
    assert cache.get("v5", "g2", {1}) == {}


def test_frame_cache_evicts_the_least_recently_used() -> None:
    cache = FrameCache(1000)
    cache.put("v5", "g", {1: b"x" * 200})
    cache.put("v5", "g", {2: b"x" * 100})
    cache.get("v5", "g", {1})
    cache.put("v5", "g", {3: b"x" * 100})
    assert cache.get("v5", "g", {1, 2, 3}).keys() == {1, 3}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900))))
def test_frame_cache_stays_within_its_bound(puts: list[tuple[int, int]]) -> None:
    cache = FrameCache(1000)
    for offset, length in puts:
        cache.put("v5", "g", {offset: bytes(length)})
        assert cache.size <= 1000


def test_frame_cache_smaller_bound_evicts_at_once() -> None:
    cache = FrameCache(10_000)
    cache.put("v5", "generation", dict.fromkeys(range(10), b"frame"))
    cache.resize(1000)
    assert 0 < cache.size <= 1000
    assert list(cache.get("v5", "generation", range(10))) == [7, 8, 9]
    cache.resize(1)
    assert cache.size == 0
