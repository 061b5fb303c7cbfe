"""Advice on the size of the store: what it says at each limit, and what a size costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.store.advice import (
    GIB,
    MIB,
    MOST_SIZES,
    StoreFacts,
    advise,
    format_memory,
    format_share,
    node_megabytes,
    round_size,
    size_cost,
    size_costs,
)
from tecken.store.miss_ratio import MissRatioCurve

ENOUGH = 1000
NOTHING = MissRatioCurve((), (), 0, 0)
ALL_MISSES = MissRatioCurve((), (), 5000, 5000)


def curve(*points: tuple[int, float], sampled: int = 5000) -> MissRatioCurve:
    return MissRatioCurve(
        tuple(size * MIB for size, _ratio in points),
        tuple(ratio for _size, ratio in points),
        sampled,
        sampled,
    )


STEEP = curve((100, 0.5), (250, 0.93), (380, 0.97), (1500, 0.975))
FLAT = curve((1, 0.9), (4000, 0.901))
FACTS = StoreFacts(maxmemory=500 * MIB, used=380 * MIB)


def text(curve: MissRatioCurve, facts: StoreFacts = FACTS) -> str:
    return advise(curve, ENOUGH, facts).text


def test_advice_without_data_is_too_early() -> None:
    assert text(NOTHING) == "Too early to say: 0 of 1,000 reads are counted."
    assert advise(curve((1, 0.5), sampled=999), ENOUGH, FACTS).kind == "early"
    assert advise(curve((1, 0.5), sampled=1000), ENOUGH, FACTS).kind != "early"


def test_advice_without_data_or_limit_is_to_set_one() -> None:
    assert text(NOTHING, StoreFacts()).startswith("Set maxmemory: without a limit the store grows")


def test_advice_on_a_store_that_is_well_sized() -> None:
    assert text(STEEP) == (
        "The store is well sized: 97 % of reads hit with 380 MiB of 500 MiB; 250 MiB would give 93 %."
    )


def test_advice_on_evictions_at_a_high_hit_ratio_is_that_they_are_harmless() -> None:
    advice = advise(STEEP, ENOUGH, FACTS._replace(evictions=900.0))
    assert advice.kind == "fine"
    assert "evicted pages are rarely read again" in advice.text


def test_advice_on_a_store_that_is_too_small() -> None:
    advice = advise(STEEP, ENOUGH, StoreFacts(maxmemory=100 * MIB))
    assert advice == (
        "more",
        "Give the store 400 MiB: 50 % of reads hit with 100 MiB, and 97 % would hit.",
        400 * MIB,
    )


def test_advice_on_a_store_that_is_too_large() -> None:
    advice = advise(STEEP, ENOUGH, StoreFacts(maxmemory=4 * GIB))
    assert (advice.kind, advice.size) == ("less", 400 * MIB)
    assert "97.5 % of reads hit with 4 GiB, and 400 MiB would give 97 %" in advice.text


def test_advice_on_a_flat_curve_is_the_smallest_size() -> None:
    assert advise(FLAT, ENOUGH, FACTS) == (
        "less",
        "The store is larger than it needs to be: 90 % of reads hit with 380 MiB of 500 MiB, and 10 MiB would"
        " give 90 %.",
        10 * MIB,
    )


def test_advice_where_all_reads_miss_is_that_memory_does_not_help() -> None:
    for useless in (ALL_MISSES, curve((10, 0.02))):
        advice = advise(useless, ENOUGH, FACTS)
        assert (advice.kind, advice.size) == ("useless", None)
    assert text(ALL_MISSES) == "Memory does not help: 100 % of reads are first ones, which no size hits."


def test_advice_without_maxmemory_is_to_set_it() -> None:
    advice = advise(STEEP, ENOUGH, StoreFacts(used=100 * MIB))
    assert (advice.kind, advice.size) == ("limit", 400 * MIB)
    assert "400 MiB would give 97 %" in advice.text


def test_advice_is_at_most_what_the_host_can_spare() -> None:
    facts = StoreFacts(maxmemory=100 * MIB, system_memory=300 * MIB)
    advice = advise(STEEP, ENOUGH, facts)
    assert advice.size == 220 * MIB
    assert advice.text.startswith("Give the store 220 MiB, all that its host of 300 MiB can spare: 50 % of")
    full = advise(STEEP, ENOUGH, facts._replace(maxmemory=220 * MIB))
    assert (full.kind, full.size) == ("host", None)
    assert full.text.endswith("400 MiB would give 97 %, on a larger host or as a cluster.")


def test_advice_on_more_memory_than_the_host_has_is_less() -> None:
    advice = advise(STEEP, ENOUGH, StoreFacts(maxmemory=2 * GIB, system_memory=GIB))
    assert (advice.kind, advice.size) == ("host", 750 * MIB)
    assert advice.text.startswith("Give the store at most 750 MiB: its host has 1 GiB")


def test_advice_without_the_hosts_memory_has_no_bound() -> None:
    assert advise(STEEP, ENOUGH, StoreFacts(maxmemory=100 * MIB, system_memory=0)).size == 400 * MIB


POINTS = st.lists(
    st.tuples(st.integers(1, 10**7), st.floats(0, 1, allow_nan=False)),
    min_size=1,
    max_size=20,
    unique_by=lambda p: p[0],
).map(lambda pairs: curve(*zip(sorted(size for size, _ in pairs), sorted(r for _, r in pairs), strict=True)))


@given(POINTS, st.integers(0, 1 << 45), st.integers(0, 1 << 45), st.floats(0, 1e6), st.floats(0, 1e6))
def test_advice_on_any_curve_is_one_sentence_within_the_host(
    any_curve: MissRatioCurve, maxmemory: int, system_memory: int, reads: float, requests: float
) -> None:
    facts = StoreFacts(maxmemory, 0, 1, system_memory, reads, requests, 0.0, 0.1)
    advice = advise(any_curve, ENOUGH, facts)
    assert advice.text.endswith(".")
    assert "\n" not in advice.text
    if advice.size and facts.available:
        assert advice.size <= facts.available
    costs = size_costs(any_curve, facts, advice.size)
    assert [cost.size for cost in costs] == sorted({cost.size for cost in costs})
    assert len(costs) <= MOST_SIZES + 3
    for cost in costs:
        assert all(value is None or value >= 0 for value in cost[1:])
    ratios = [cost.hit_ratio for cost in costs]
    assert ratios == sorted(ratios)


# Costs


def test_cost_of_a_size_is_that_of_its_misses() -> None:
    facts = StoreFacts(reads=100.0, requests=50.0, read_seconds=0.1)
    cost = size_cost(STEEP, facts, 250 * MIB)
    assert cost.hit_ratio == 0.93
    assert cost.reads_per_second == pytest.approx(7)
    assert cost.reads_per_day == pytest.approx(604_800)
    assert cost.milliseconds == pytest.approx((1 - 0.93**2) * 100)


def test_cost_on_a_quiet_site_is_not_known() -> None:
    assert size_cost(STEEP, StoreFacts(), 250 * MIB)[2:] == (None, None, None)
    assert size_cost(STEEP, StoreFacts(reads=1.0), 250 * MIB).milliseconds is None


def test_costs_of_sizes_contain_the_present_limit_and_the_advised_size() -> None:
    sizes = [cost.size for cost in size_costs(STEEP, StoreFacts(maxmemory=123 * MIB), 400 * MIB)]
    assert {123 * MIB, 400 * MIB} <= set(sizes)
    assert sizes[-1] >= STEEP.sizes[-1]
    assert size_costs(ALL_MISSES, FACTS) == []


@pytest.mark.parametrize(
    ("size", "nodes", "expected"), [(1536 * MIB, 1, 1536), (1000 * MIB, 3, 334), (0, 3, 1), (MIB, 0, 1)]
)
def test_megabytes_of_each_node_add_up_to_the_size(size: int, nodes: int, expected: int) -> None:
    assert node_megabytes(size, nodes) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "1 MiB"), (380 * MIB, "380 MiB"), (GIB, "1 GiB"), (1536 * MIB, "1.5 GiB"), (1280 * MIB, "1.25 GiB")],
)
def test_memory_is_written_in_the_units_of_maxmemory(size: int, expected: str) -> None:
    assert format_memory(size) == expected


def test_share_is_never_rounded_up_to_all() -> None:
    assert [format_share(share) for share in (0.99999, 1.0, 0.97, 0.0)] == ["99.9 %", "100 %", "97 %", "0 %"]


@given(st.integers(0, 1 << 45))
def test_round_size_is_not_smaller_and_near(size: int) -> None:
    rounded = round_size(size)
    assert size <= rounded
    assert rounded < size + 10 * MIB or rounded <= max(10 * MIB, size * 1.3)
