from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.symbolication.memory_cache import FrameCache, merge_frames
from tecken.symbols import engine

NEEDS_ENGINE = pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built: make engine")
ENGINE = pytest.param(True, marks=NEEDS_ENGINE, id="engine")
FORMS = pytest.mark.parametrize("with_engine", [pytest.param(False, id="python"), ENGINE])
A, B = "a" * 16, "b" * 16


def frame_cache(max_bytes: int, *, with_engine: bool) -> FrameCache:
    """Return a cache in one of both forms."""
    with pytest.MonkeyPatch.context() as patch:
        if not with_engine:
            patch.setattr(engine, "MODULE", None)
        return FrameCache(max_bytes)


@FORMS
def test_frame_cache_returns_stored_frames(with_engine: bool) -> None:
    cache = frame_cache(10_000, with_engine=with_engine)
    cache.put("v5", A, {1: b"one", 2: b"two"})
    assert cache.get("v5", A, {1, 2, 3}) == {1: b"one", 2: b"two"}
    assert cache.get("v4", A, {1}) == {}
    assert cache.get("v5", B, {1}) == {}


def test_frame_cache_evicts_the_least_recently_used() -> None:
    cache = frame_cache(1000, with_engine=False)
    cache.put("v5", A, {1: b"x" * 200})
    cache.put("v5", A, {2: b"x" * 100})
    cache.get("v5", A, {1})
    cache.put("v5", A, {3: b"x" * 100})
    assert cache.get("v5", A, {1, 2, 3}).keys() == {1, 3}


@FORMS
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900))))
def test_frame_cache_stays_within_its_bound(with_engine: bool, puts: list[tuple[int, int]]) -> None:
    cache = frame_cache(1000, with_engine=with_engine)
    for offset, length in puts:
        cache.put("v5", A, {offset: bytes(length)})
        assert cache.size <= 1000


@FORMS
def test_frame_cache_smaller_bound_evicts_at_once(with_engine: bool) -> None:
    cache = frame_cache(10_000, with_engine=with_engine)
    cache.put("v5", A, dict.fromkeys(range(10), b"frame"))
    cache.resize(1000)
    assert 0 < cache.size <= 1000
    kept = list(cache.get("v5", A, range(10)))
    assert kept == list(range(10 - len(kept), 10))
    cache.resize(1)
    assert cache.size == 0


@NEEDS_ENGINE
def test_engine_frame_cache_has_no_offset_that_is_in_no_symbol_file() -> None:
    cache = FrameCache(10_000)
    cache.put("v5", A, {-1: b"before", 0: b"first", 2**32 - 1: b"last", 2**32: b"after", 2**70: b"far"})
    assert cache.get("v5", A, [-1, 0, 2**32 - 1, 2**32, 2**70]) == {0: b"first", 2**32 - 1: b"last"}


@NEEDS_ENGINE
def test_engine_frame_cache_packed_frames_are_returned_whole() -> None:
    cache, frames = FrameCache(20_000), {offset: b"frame %d " % offset * 99 for offset in range(40)}
    for offset, frame in frames.items():
        cache.put("v5", A, {offset: frame})
    assert sum(map(len, frames.values())) > 20_000 >= cache.size
    assert cache.get("v5", A, range(40)) == frames


FRAMES = st.dictionaries(st.integers(0, 2**32 - 1), st.binary(max_size=9))


def engine_frames(frames: Mapping[int, bytes]) -> Mapping[int, bytes]:
    assert engine.MODULE
    return engine.MODULE.Frames.of(frames)


@NEEDS_ENGINE
@given(FRAMES, FRAMES)
def test_engine_frames_are_a_mapping(frames: dict[int, bytes], others: dict[int, bytes]) -> None:
    kept = engine_frames(frames)
    assert kept == frames
    assert (kept == engine_frames(others)) == (frames == others)
    assert (list(kept), list(kept.keys()), list(kept.values())) == (
        sorted(frames),
        sorted(frames),
        [frames[offset] for offset in sorted(frames)],
    )
    assert dict(kept.items()) == dict(kept) == frames
    assert len(kept) == len(frames)
    assert engine.are_engine_frames(kept)
    assert kept.largest == max(map(len, frames.values()), default=0)
    for offset in (*frames, *others, -1, 2**32):
        assert (offset in kept) == (offset in frames)
        assert kept.get(offset) == frames.get(offset)
    with pytest.raises(KeyError):
        kept[2**32]


@given(FRAMES, FRAMES, st.booleans(), st.booleans())
def test_merge_frames_has_the_frames_of_both(
    frames: dict[int, bytes], others: dict[int, bytes], is_first_kept: bool, is_second_kept: bool
) -> None:
    others = {offset: frame for offset, frame in others.items() if offset not in frames}
    first = engine_frames(frames) if engine.MODULE and is_first_kept else frames
    second = engine_frames(others) if engine.MODULE and is_second_kept else others
    assert merge_frames(first, second) == frames | others
