from __future__ import annotations

import pytest

from tecken.store.miss_ratio import PLACES, Access, Chunk, Entries, entries, hash_name, is_sampled, threshold


def test_entries_count_each_key_with_its_last_size() -> None:
    first = Chunk(PLACES, 2, (Access(1, 100), Access(2, 5000)))
    then = Chunk(PLACES, 2, (Access(1, 300), Access(1, 300)))
    told = entries([first, then])
    assert (told.keys, told.size) == (2, 5300)
    assert told.by_size == ((512, 1), (1024, 0), (2048, 0), (4096, 0), (8192, 1))


def test_entries_of_a_sample_estimate_all_keys() -> None:
    every = [Access(hash_name(f"page {number}"), 1000) for number in range(20_000)]
    below = threshold(0.1)
    told = entries([Chunk(below, 20_000, tuple(one for one in every if is_sampled(one.key, below)))])
    assert told.keys == pytest.approx(20_000, rel=0.05)
    assert told.size == pytest.approx(20_000_000, rel=0.05)
    assert [top for top, _count in told.by_size] == [1024]


def test_entries_without_accesses_are_empty() -> None:
    assert entries([]) == Entries(0, 0, ())
