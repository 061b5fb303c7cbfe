"""Advice on the size of the store, from its miss-ratio curve and the facts of its servers. Pure.

A store is well sized if no size has a hit ratio that is more than TOLERANCE better. Sizes are those of all
nodes of a cluster together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from tecken.store.miss_ratio import MissRatioCurve

MIB, GIB = 1 << 20, 1 << 30
# Share of accesses that a larger store may hit in addition, and still not be worth its memory.
TOLERANCE = 0.01
# Share of the memory of a host that its store may have. The rest is for fragmentation, the buffers of
# connections and the system.
HOST_SHARE = 0.75
# A store that never hits less than this share of reads is no help, whatever its size.
USELESS = 0.02
# Ratio of consecutive sizes, and the largest number of them.
STEP, MOST_SIZES = 1.25, 40
SMALLEST = 16 * MIB
DAY_SECONDS = 86_400

Kind = Literal["early", "fine", "more", "less", "limit", "host", "useless"]


class StoreFacts(NamedTuple):
    """Facts of the store: bytes, and rates per second. 0 is not known; `maxmemory` 0 is no limit.

    `reads` are requests for pages and headers, `requests` those of symbolication, and `read_seconds` is the
    time of one read of a page file.
    """

    maxmemory: int = 0
    used: int = 0
    nodes: int = 1
    system_memory: int = 0
    reads: float = 0.0
    requests: float = 0.0
    evictions: float = 0.0
    read_seconds: float = 0.0

    @property
    def available(self) -> int:
        """Return the bytes that the hosts can spare for the store, 0 if that is not known."""
        return floor_size(int(HOST_SHARE * self.system_memory)) if self.system_memory else 0


class SizeCost(NamedTuple):
    """Hit ratio of a size, and the cost of its misses, None while it is not known."""

    size: int
    hit_ratio: float
    reads_per_second: float | None
    milliseconds: float | None
    reads_per_day: float | None

    @property
    def memory(self) -> str:
        """Return the size in words."""
        return format_memory(self.size)


class Advice(NamedTuple):
    """Sentence for the operator, and the size that it suggests; None where it suggests none."""

    kind: Kind
    text: str
    size: int | None = None


def advise(curve: MissRatioCurve, enough: int, facts: StoreFacts) -> Advice:
    """Return the advice. `enough` is the number of sampled accesses that a meaningful curve needs."""
    if curve.sampled < enough:
        return _advise_early(f"{curve.sampled:,} of {enough:,} reads are counted", facts)
    if curve.best <= USELESS:
        share = format_share(1 - curve.best)
        return Advice(
            "useless", f"Memory does not help: {share} of reads are first ones, which no size hits."
        )
    needed = round_size(_needed(curve))
    size = min(needed, facts.available) if facts.available else needed
    if not facts.maxmemory:
        text = (
            f"Set a limit ({_would_give(curve, size)}): without one the store grows until its host is full."
        )
        return Advice("limit", text, size)
    if facts.system_memory and facts.maxmemory > facts.system_memory:
        least = f"Give the store at most {format_memory(facts.available)}"
        text = f"{least}: its host has {format_memory(facts.system_memory)}, and maxmemory is more than that."
        return Advice("host", text, facts.available)
    if curve.hit_ratio(facts.maxmemory) >= curve.best - TOLERANCE:
        return _advise_enough(curve, needed, facts)
    return _advise_more(curve, needed, size, facts)


def _advise_early(counted: str, facts: StoreFacts) -> Advice:
    if facts.maxmemory:
        return Advice("early", f"Too early to say: {counted}.")
    return Advice(
        "limit", f"Set maxmemory: without a limit the store grows until its host is full ({counted})."
    )


def _advise_enough(curve: MissRatioCurve, needed: int, facts: StoreFacts) -> Advice:
    present, whole = curve.hit_ratio(facts.maxmemory), format_memory(facts.maxmemory)
    used = f"{format_memory(facts.used)} of {whole}" if 0 < facts.used < facts.maxmemory else whole
    hits = f"{format_share(present)} of reads hit with {used}"
    if needed * 2 <= facts.maxmemory:
        text = f"The store is larger than it needs to be: {hits}, and {_would_give(curve, needed)}."
        return Advice("less", text, needed)
    why = ", and evicted pages are rarely read again" if facts.evictions else ""
    half = round_size(facts.maxmemory // 2)
    return Advice("fine", f"The store is well sized: {hits}{why}; {_would_give(curve, half)}.")


def _advise_more(curve: MissRatioCurve, needed: int, size: int, facts: StoreFacts) -> Advice:
    present = format_share(curve.hit_ratio(facts.maxmemory))
    now = f"{present} of reads hit with {format_memory(facts.maxmemory)}"
    if size <= facts.maxmemory:
        more = f"{_would_give(curve, needed)}, on a larger host or as a cluster"
        return Advice("host", f"The store has all that its host can spare: {now}; {more}.")
    host = f", all that its host of {format_memory(facts.system_memory)} can spare"
    share = format_share(curve.hit_ratio(size))
    give = f"Give the store {format_memory(size)}{host if size < needed else ''}"
    return Advice("more", f"{give}: {now}, and {share} would hit.", size)


def _needed(curve: MissRatioCurve) -> int:
    """Return the size whose hit ratio is within TOLERANCE of that of a store without evictions."""
    return curve.size_for(curve.best - TOLERANCE) or curve.sizes[-1]


def _would_give(curve: MissRatioCurve, size: int) -> str:
    return f"{format_memory(size)} would give {format_share(curve.hit_ratio(size))}"


# Costs of sizes


def size_costs(curve: MissRatioCurve, facts: StoreFacts, *others: int | None) -> list[SizeCost]:
    """Return the costs of useful sizes, ascending, with those of the present limit and of `others`."""
    if not curve.sizes:
        return []
    wanted = {size for size in (facts.maxmemory, *others) if size}
    return [size_cost(curve, facts, size) for size in sorted({*_useful_sizes(curve, facts), *wanted})]


def _useful_sizes(curve: MissRatioCurve, facts: StoreFacts) -> Iterator[int]:
    """Yield round sizes up to the first that holds all, or the present limit."""
    last = max(round_size(curve.sizes[-1]), facts.maxmemory)
    size: float = max(SMALLEST, last / STEP ** (MOST_SIZES - 1))
    while size < last:
        yield round_size(int(size))
        size *= STEP
    yield last


def size_cost(curve: MissRatioCurve, facts: StoreFacts, size: int) -> SizeCost:
    """Return the hit ratio of a size, and what its misses cost.

    The reads of a request are side by side, so a request with any miss waits for about one read.
    """
    ratio = curve.hit_ratio(size)
    if not facts.reads:
        return SizeCost(size, ratio, None, None, None)
    reads = facts.reads * (1 - ratio)
    wait = None
    if facts.requests:
        wait = (1 - ratio ** (facts.reads / facts.requests)) * facts.read_seconds * 1000
    return SizeCost(size, ratio, reads, wait, reads * DAY_SECONDS)


def node_megabytes(size: int, nodes: int) -> int:
    """Return `maxmemory` of each node in MiB, such that all nodes together have `size`."""
    return max(1, math.ceil(size / MIB / max(1, nodes)))


# Texts


def round_size(size: int) -> int:
    """Return the next round size: multiples of 10 MiB to 250 MiB, of 50 MiB to 1 GiB, then of 256 MiB."""
    step = _step(size)
    return max(step, -(-size // step) * step)


def floor_size(size: int) -> int:
    """Return the round size that is not larger; 0 for a size below the smallest."""
    step = _step(size)
    return size // step * step


def _step(size: int) -> int:
    return 10 * MIB if size <= 250 * MIB else 50 * MIB if size <= 1000 * MIB else GIB // 4


def format_memory(size: int) -> str:
    """Return a size in the units of maxmemory: 380 MiB, 1.5 GiB."""
    if size < GIB:
        return f"{max(1, round(size / MIB))} MiB"
    return f"{size / GIB:.2f}".rstrip("0").rstrip(".") + " GiB"


def format_share(share: float) -> str:
    """Return a share as a percentage that is never rounded up to 100 %."""
    return f"{math.floor(share * 1000 + 1e-9) / 10:g} %"
