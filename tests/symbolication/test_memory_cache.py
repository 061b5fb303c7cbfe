from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from random import Random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbolication.memory_cache import HeaderCache, PageCache
from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.page import Page, decode, encode
from tests.support.clock import Clock
from tests.symbolication.samples import MIB, header_of

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


def test_header_cache_entry_expires() -> None:
    clock = Clock()
    cache = HeaderCache(MIB, lambda: 30, clock)
    header = cache.put(XUL, header_of(XUL).raw)
    clock.sleep(29.9)
    assert cache.get(XUL) is header
    clock.sleep(0.1)
    assert cache.get(XUL) is None


def test_header_cache_follows_changed_seconds() -> None:
    clock, seconds = Clock(), [3600.0]
    cache = HeaderCache(MIB, lambda: seconds[0], clock)
    cache.put(XUL, header_of(XUL).raw)
    clock.sleep(40)
    assert cache.get(XUL) is not None
    seconds[0] = 30
    assert cache.get(XUL) is None
    seconds[0] = 3600
    assert cache.get(XUL) is not None


def test_header_cache_doubted_entry_is_never_trusted_again() -> None:
    clock, seconds = Clock(), [30.0]
    cache = HeaderCache(MIB, lambda: seconds[0], clock)
    cache.put(XUL, header_of(XUL).raw)
    cache.invalidate_all()
    seconds[0] = 3600
    clock.sleep(1)
    assert cache.get(XUL) is None
    cache.put(XUL, header_of(XUL).raw)
    assert cache.get(XUL) is not None


def test_header_cache_same_bytes_are_not_parsed_again() -> None:
    clock = Clock()
    cache = HeaderCache(MIB, lambda: 30, clock)
    header = cache.put(XUL, header_of(XUL).raw)
    clock.sleep(30)
    assert cache.put(XUL, header_of(XUL).raw) is header
    assert cache.get(XUL) is header
    assert cache.put(XUL, header_of(XUL, 5).raw) is not header


def test_header_cache_dropped_entry_is_gone() -> None:
    cache = HeaderCache(MIB, lambda: 30, Clock())
    cache.put(XUL, header_of(XUL).raw)
    cache.drop(XUL)
    cache.drop(NSS)
    assert cache.get(XUL) is None
    assert cache.size == 0


def test_header_cache_malformed_header_is_not_stored() -> None:
    cache = HeaderCache(MIB, lambda: 30, Clock())
    with pytest.raises(MalformedPageFile):
        cache.put(XUL, b"nonsense")
    assert cache.get(XUL) is None


def test_header_cache_stays_within_its_bound() -> None:
    raw = header_of(XUL).raw
    cache = HeaderCache(header_of(XUL).size, lambda: 30, Clock())
    cache.put(XUL, raw)
    cache.put(NSS, raw)
    assert cache.get(XUL) is None
    assert cache.get(NSS) is not None
    assert cache.size == header_of(XUL).size


def test_header_cache_too_large_header_is_returned_and_not_stored() -> None:
    cache = HeaderCache(1, lambda: 30, Clock())
    assert cache.put(XUL, header_of(XUL).raw).generation == header_of(XUL).generation
    assert cache.get(XUL) is None


@pytest.mark.usefixtures("python_form")
def test_page_cache_stays_within_its_bound() -> None:
    page = decode(encode([1], [b"x" * 100]))
    cache = PageCache(2 * page.size)
    for number in range(3):
        cache.put("generation", {number: page})
    assert [cache.get(("generation", number)) for number in range(3)] == [None, page, page]
    assert cache.size == 2 * page.size


@pytest.mark.usefixtures("python_form")
def test_page_cache_too_large_page_evicts_nothing() -> None:
    small, large = decode(encode([1], [b"x"])), decode(encode([1], [b"x" * 10_000]))
    cache = PageCache(small.size)
    cache.put("generation", {0: small, 1: large})
    assert cache.get(("generation", 0)) is small
    assert cache.get(("generation", 1)) is None


@pytest.mark.usefixtures("python_form")
def test_page_cache_smaller_bound_evicts_at_once() -> None:
    page = decode(encode([1], [b"x" * 100]))
    cache = PageCache(3 * page.size)
    for number in range(3):
        cache.put("generation", {number: page})
    cache.get(("generation", 0))
    cache.resize(2 * page.size)
    assert [cache.get(("generation", number)) for number in range(3)] == [page, None, page]
    cache.resize(3 * page.size)
    cache.put("generation", {1: page})
    assert cache.size == 3 * page.size
    cache.resize(0)
    assert cache.size == 0


def test_header_cache_larger_bound_keeps_more() -> None:
    cache = HeaderCache(MIB, lambda: 30, Clock())
    cache.put(XUL, header_of(XUL).raw)
    cache.resize(1)
    assert (cache.get(XUL), cache.size) == (None, 0)
    cache.resize(MIB)
    cache.put(XUL, header_of(XUL).raw)
    assert cache.get(XUL) is not None


NEEDS_ENGINE = pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built: make engine")
# Bytes of an entry of the engine's caches apart from its content: ENTRY_BYTES in engine/src/tiers.rs.
ENTRY_BYTES = 160
ACTIONS = st.tuples(
    st.sampled_from(("put", "put", "get", "resize")), st.integers(0, 5), st.sampled_from((0, 50, 200, 900))
)


class TierModel:
    """Model of the engine's cache for content that LZ4 does not make smaller."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.hot, self.cold = OrderedDict[int, bytes](), OrderedDict[int, bytes]()

    def put(self, number: int, content: bytes) -> None:
        self.hot.pop(number, None)
        self.cold.pop(number, None)
        if len(content) + ENTRY_BYTES <= self.bound:
            self.hot[number] = content
            self.shrink()

    def get(self, number: int) -> bytes | None:
        for tier in (self.hot, self.cold):
            if number in tier:
                tier.move_to_end(number)
                return tier[number]
        return None

    def resize(self, bound: int) -> None:
        self.bound = bound
        while self.size // 4 > bound:
            (self.cold or self.hot).popitem(last=False)
        self.shrink()

    def shrink(self) -> None:
        while self.size > self.bound:
            if self.cold and entry_bytes(self.hot) <= self.bound // 4:
                self.cold.popitem(last=False)
            else:
                number, content = self.hot.popitem(last=False)
                self.cold[number] = content

    @property
    def size(self) -> int:
        return entry_bytes(self.hot) + entry_bytes(self.cold)


def entry_bytes(tier: Mapping[int, bytes]) -> int:
    return sum(len(content) + ENTRY_BYTES for content in tier.values())


def loaded(text: bytes) -> engine.LoadedPage:
    """Return a page of one record as the engine keeps it."""
    (page,) = header_of(XUL).load([zstandard.compress(encode([1], [text]))])
    assert not isinstance(page, Page)
    return page


def content(cache: PageCache, key: tuple[str, int]) -> bytes | None:
    page = cache.get(key)
    assert not isinstance(page, Page)
    return None if page is None else bytes(page)


@NEEDS_ENGINE
@given(st.lists(ACTIONS, max_size=60))
def test_engine_page_cache_evicts_the_least_recently_used(actions: Sequence[tuple[str, int, int]]) -> None:
    cache, model = PageCache(2400), TierModel(2100)
    for action, number, size in actions:
        generation = "%016x" % (number % 2)
        if action == "put":
            page = loaded(Random(number + size).randbytes(size))
            cache.put(generation, {number: page})
            model.put(number, bytes(page))
        elif action == "get":
            assert content(cache, (generation, number)) == model.get(number)
        else:
            cache.resize(2 * size)
            model.resize(2 * size - 2 * size // 8)
        assert cache.size == model.size
    for number in range(6):
        assert content(cache, ("%016x" % (number % 2), number)) == model.get(number)


@NEEDS_ENGINE
@given(st.lists(ACTIONS, max_size=60))
def test_engine_page_cache_packed_page_is_returned_whole(actions: Sequence[tuple[str, int, int]]) -> None:
    cache, bound = PageCache(2400), 2400
    contents: dict[int, bytes] = {}
    for action, number, size in actions:
        if action == "put":
            page = loaded(b"%d" % number * size)
            contents[number] = bytes(page)
            cache.put("0" * 16, {number: page})
        elif action == "get":
            assert content(cache, ("0" * 16, number)) in {contents.get(number), None}
        else:
            bound = 2 * size
            cache.resize(bound)
        assert cache.size <= bound


@NEEDS_ENGINE
def test_engine_page_cache_holds_more_pages_than_its_bytes() -> None:
    cache = PageCache(80_000)
    pages = {number: loaded(b"%d" % number * 4000) for number in range(10, 40)}
    cache.put("0" * 16, pages)
    contents = {number: bytes(page) for number, page in pages.items()}
    assert sum(map(len, contents.values())) > 80_000 >= cache.size
    assert all(content(cache, ("0" * 16, number)) == it for number, it in contents.items())
