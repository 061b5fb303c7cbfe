"""Sizes of the store on its page: the advice, what each size costs, and how to apply one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from django.conf import settings

from tecken.monitoring.health.measurements import ENOUGH, Sample, ServerSample, Sizing
from tecken.monitoring.preflight.rules import Facts
from tecken.store.advice import Advice, SizeCost, StoreFacts, advise, format_share, node_megabytes, size_costs
from tecken.web.formatting import count

# One read of a page file in a directory: the mean of `python -m bench.page_reads`, rounded up.
DIRECTORY_READ_SECONDS = 0.001
# In a bucket: the lower figure of <https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html>.
BUCKET_READ_SECONDS = 0.1


class SizeRow(NamedTuple):
    """Size in the table and on the slider, with its figures in words; "" where one is not known.

    `megabytes` is maxmemory of each node.
    """

    memory: str
    hits: str
    reads: str
    wait: str
    daily: str
    megabytes: int
    is_present: bool
    is_advised: bool
    is_too_large: bool


class StoreSizes(NamedTuple):
    """Advice, rows of sizes, and the place on the slider at first."""

    advice: Advice
    rows: Sequence[SizeRow]
    start: int
    facts: StoreFacts

    @property
    def selected(self) -> SizeRow:
        """Return the row that the slider shows at first."""
        return self.rows[self.start]


def make_sizes(sizing: Sizing | None, facts: StoreFacts) -> StoreSizes | None:
    """Return the sizes; None while no curve was computed."""
    if sizing is None:
        return None
    advice = advise(sizing.curve, ENOUGH, facts)
    costs = size_costs(sizing.curve, facts, advice.size) if sizing.enough else []
    wanted = advice.size or facts.maxmemory
    start = next((number for number, cost in enumerate(costs) if cost.size == wanted), 0)
    return StoreSizes(advice, [_row(cost, advice, facts) for cost in costs], start, facts)


def _row(cost: SizeCost, advice: Advice, facts: StoreFacts) -> SizeRow:
    return SizeRow(
        cost.memory,
        format_share(cost.hit_ratio),
        _rate(cost.reads_per_second),
        "" if cost.milliseconds is None else f"{cost.milliseconds:.3g} ms",
        "" if cost.reads_per_day is None else count(round(cost.reads_per_day)),
        node_megabytes(cost.size, facts.nodes),
        cost.size == facts.maxmemory,
        cost.size == advice.size,
        bool(facts.available) and cost.size > facts.available,
    )


def _rate(number: float | None) -> str:
    return "" if number is None else "0/s" if number < 0.0005 else f"{number:.3g}/s"


def measure_store(facts: Facts | None, maxmemory: int | None, samples: Sequence[Sample]) -> StoreFacts:
    """Return the facts of the store, with the rates of the samples. Unknown ones are 0."""
    return StoreFacts(
        maxmemory or 0,
        facts.used_memory if facts else 0,
        facts.nodes if facts else 1,
        facts.system_memory if facts else 0,
        *_mean_rates(samples),
        DIRECTORY_READ_SECONDS if settings.STORAGE_URL.startswith("file:") else BUCKET_READ_SECONDS,
    )


def _mean_rates(samples: Sequence[Sample]) -> tuple[float, float, float]:
    """Return requests for pages, symbolication requests and evictions per second."""
    reads = requests = evictions = 0
    seconds = request_seconds = 0.0
    for earlier, later in pairwise(samples):
        since = max(0.0, later.at - earlier.at)
        if earlier.store and later.store and _is_later(earlier.store, later.store):
            reads += later.store.hits + later.store.misses - earlier.store.hits - earlier.store.misses
            evictions += later.store.evicted - earlier.store.evicted
            seconds += since
        if earlier.requests is not None and later.requests is not None and later.requests >= earlier.requests:
            requests += later.requests - earlier.requests
            request_seconds += since
    return _per(reads, seconds), _per(requests, request_seconds), _per(evictions, seconds)


def _is_later(earlier: ServerSample, later: ServerSample) -> bool:
    """Return whether the server has not started again between two samples."""
    return later.hits >= earlier.hits and later.misses >= earlier.misses and later.evicted >= earlier.evicted


def _per(number: int, seconds: float) -> float:
    return number / seconds if seconds else 0.0
