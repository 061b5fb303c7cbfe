from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import Malformed
from tecken.store.miss_ratio import (
    PLACES,
    Access,
    Chunk,
    MissRatioCurve,
    curve,
    hash_name,
    is_sampled,
    reuse_distances,
    threshold,
    unpack,
    unpack_all,
)

ACCESSES = st.lists(st.integers(0, 12), max_size=80).map(
    lambda keys: [Access(key, 10 + key * 7) for key in keys]
)


def hits_of_lru(accesses: Sequence[Access], memory: int, counted_from: int = 0) -> int:
    """A store that evicts whoever was not asked for the longest; its keys never change their size."""
    kept: OrderedDict[int, int] = OrderedDict()
    hits = used = 0
    for number, (key, size) in enumerate(accesses):
        if key in kept:
            kept.move_to_end(key)
            hits += number >= counted_from
        else:
            kept[key] = size
            used += size
        while used > memory:
            used -= kept.popitem(last=False)[1]
    return hits


def whole(accesses: Sequence[Access]) -> Chunk:
    return Chunk(PLACES, len(accesses), tuple(accesses))


@given(ACCESSES, st.integers(0, 1000))
def test_curve_without_sampling_is_that_of_an_lru_store(accesses: list[Access], memory: int) -> None:
    of = curve([whole(accesses)], warm_up=0)
    assert round(of.hit_ratio(memory) * len(accesses)) == hits_of_lru(accesses, memory)


def test_reuse_distance_counts_bytes_of_other_keys_and_the_key() -> None:
    a, b, c = Access(1, 100), Access(2, 20), Access(3, 3)
    assert list(reuse_distances([a, b, c, b, a, a])) == [None, None, None, 23, 123, 100]


def test_reuse_distance_uses_the_last_size_of_a_key() -> None:
    assert list(reuse_distances([Access(1, 100), Access(2, 5), Access(2, 7), Access(1, 100)])) == [
        None,
        None,
        7,
        107,
    ]


def test_curve_of_a_sample_is_close_to_that_of_all_accesses() -> None:
    """At one key in ten, within three points; bench/missratio.py has it at one in a hundred."""
    dice = random.Random(5)
    keys = dice.choices(range(20_000), [1 / (rank + 10) for rank in range(20_000)], k=60_000)
    accesses = [Access(hash_name(f"page {key}"), 1000 + key % 7 * 500) for key in keys]
    exact, told = curve([whole(accesses)], warm_up=0), curve([of_sample(accesses, 0.1)], warm_up=0)
    for memory in range(1_000_000, 40_000_000, 3_000_000):
        assert told.hit_ratio(memory) == pytest.approx(exact.hit_ratio(memory), abs=0.03)


def of_sample(accesses: Sequence[Access], rate: float) -> Chunk:
    below = threshold(rate)
    return Chunk(below, len(accesses), tuple(a for a in accesses if is_sampled(a.key, below)))


def test_curve_does_not_count_the_first_chunks() -> None:
    a, b = Access(1, 10), Access(2, 10)
    told = curve([whole([a, b]), whole([a, b]), whole([a, b]), whole([a, b])], warm_up=0.25)
    assert (told.accesses, told.hit_ratio(20), told.hit_ratio(19)) == (6, 1.0, 0.0)


def test_curve_of_chunks_with_two_rates_uses_the_lower() -> None:
    accesses = [Access(hash_name(str(number % 500)), 100) for number in range(5000)]
    half = of_sample(accesses, 0.5)
    mixed = curve([whole(accesses), half, half, half], warm_up=0)
    assert mixed == curve([half, half, half, half], warm_up=0)


def test_curve_returns_the_size_for_a_ratio() -> None:
    told = MissRatioCurve((100, 200, 300), (0.5, 0.9, 0.95), 1000, 10)
    assert [told.size_for(ratio) for ratio in (0.4, 0.9, 0.91, 0.99)] == [100, 200, 300, None]
    assert told.best == 0.95
    assert [told.hit_ratio(size) for size in (99, 100, 250, 10**9)] == [0.0, 0.5, 0.9, 0.95]


def test_curve_thinned_keeps_its_end() -> None:
    told = MissRatioCurve(tuple(range(1000)), tuple(n / 1000 for n in range(1000)), 1000, 1000)
    thin = told.thinned(10)
    assert len(thin.sizes) == 10
    assert (thin.sizes[-1], thin.ratios[-1]) == (999, 0.999)
    assert told.thinned(5000) == told


def test_curve_without_accesses_is_empty() -> None:
    assert curve([]) == MissRatioCurve((), (), 0, 0)
    assert curve([]).size_for(0.9) is None
    assert curve([]).best == 0
    assert curve([]).thinned(100) == MissRatioCurve((), (), 0, 0)


@given(ACCESSES)
def test_chunk_packed_and_unpacked_is_the_same(accesses: list[Access]) -> None:
    chunk = of_sample(accesses, 0.5)
    assert unpack(chunk.packed()) == chunk


@pytest.mark.parametrize("raw", [b"", b"\x02" + bytes(12), whole([Access(1, 2)]).packed()[:-1]])
def test_unpack_of_other_bytes_raises(raw: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(raw)
    assert list(unpack_all([raw, whole([]).packed()])) == [whole([])]


def test_sampling_selects_the_expected_share_of_keys() -> None:
    below = threshold(0.25)
    taken = sum(is_sampled(hash_name(f"xul.pdb/{number}/3"), below) for number in range(20_000))
    assert 0.24 < taken / 20_000 < 0.26
