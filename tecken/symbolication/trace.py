"""Trace of one request's lookups, and what the request costs: for metrics, for the client and for the log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from tecken.metrics import FRAMES, MODULES, PAGES, RENDERED, labelled
from tecken.symbolication.api.answer import JobModule, Resolved, key
from tecken.symbols.ids import ObjectId


@dataclass(slots=True)
class Tiers:
    """Numbers of items found in each tier."""

    process: int = 0
    store: int = 0
    page_file: int = 0


@dataclass(slots=True)
class StoreLookups:
    """Numbers of keys looked up and found in the store, and the seconds of all round trips together."""

    count: int = 0
    hits: int = 0
    seconds: float = 0.0

    def add(self, count: int, hits: int, seconds: float) -> None:
        """Add one round trip."""
        self.count += count
        self.hits += hits
        self.seconds += seconds


@dataclass(slots=True)
class Download:
    """Reads of one module's page file: their number, bytes and seconds."""

    count: int = 0
    size: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Trace:
    """Counters of one request, filled by one thread.

    `parse` has the seconds spent on unpacking headers and pages, `missing` the reason why a module has no
    symbols, `rendered` the number of frames that were not in the frame cache.
    """

    headers: Tiers = field(default_factory=Tiers)
    pages: Tiers = field(default_factory=Tiers)
    store: StoreLookups = field(default_factory=StoreLookups)
    downloads: dict[ObjectId, Download] = field(default_factory=dict)
    parse: dict[ObjectId, float] = field(default_factory=dict)
    missing: dict[ObjectId, str] = field(default_factory=dict)
    rendered: int = 0

    def add_download(self, module: ObjectId, size: int, seconds: float) -> None:
        """Add one read of `size` bytes from the module's page file."""
        download = self.downloads.setdefault(module, Download())
        download.count += 1
        download.size += size
        download.seconds += seconds

    def add_parsing(self, module: ObjectId, seconds: float) -> None:
        """Add seconds spent on unpacking a header or page of the module."""
        self.parse[module] = self.parse.get(module, 0.0) + seconds


logger = logging.getLogger("tecken.trace")


def describe_cost(resolved: Sequence[Resolved], trace: Trace, seconds: float) -> dict[str, Any]:
    """Return the `debug` object of a response, in seconds and bytes.

    `stacks` and `stacks_per_module` count frames; the names are part of the wire format.
    """
    frames = [Counter(index for stack in entry.job.stacks for index, _ in stack) for entry in resolved]
    per_module: Counter[str] = Counter()
    # The key is built once per module and not once per frame, because a client may give it any length.
    for entry, counts in zip(resolved, frames, strict=True):
        for index, count in counts.items():
            if index >= 0:
                per_module[key(entry.job.modules[index])] += count
    downloads = trace.downloads
    return {
        "time": seconds,
        "stacks": {"count": sum(counts.total() for counts in frames), "real": per_module.total()},
        "modules": {"count": len(per_module), "stacks_per_module": per_module},
        "cache_lookups": {
            "count": trace.store.count,
            "hits": trace.store.hits,
            "time": trace.store.seconds,
        },
        "downloads": {
            "count": sum(download.count for download in downloads.values()),
            "size": sum(download.size for download in downloads.values()),
            "time": sum(download.seconds for download in downloads.values()),
            "size_per_module": {str(module): download.size for module, download in downloads.items()},
            "time_per_module": {str(module): download.seconds for module, download in downloads.items()},
        },
        "parse_sym": {
            "time": sum(trace.parse.values()),
            "time_per_module": {str(module): duration for module, duration in trace.parse.items()},
        },
        "pages": asdict(trace.pages),
        "missing": {str(module): reason for module, reason in trace.missing.items()},
    }


def log_cost(version: str, cost: dict[str, Any]) -> None:
    """Write the cost of a request to the log, as one line of JSON."""
    logger.info("%s", orjson.dumps({"version": version, **cost}).decode())


def count_request(version: str, resolved: Sequence[Resolved], trace: Trace) -> None:
    """Add the request's frames, modules and pages to the metrics."""
    labelled(FRAMES, version).inc(sum([len(stack) for entry in resolved for stack in entry.job.stacks]))
    labelled(RENDERED, version).inc(trace.rendered)
    for entry in resolved:
        for module in entry.modules.values():
            labelled(MODULES, _outcome(module)).inc()
    for origin in ("process", "store", "page_file"):
        if pages := getattr(trace.pages, origin):
            labelled(PAGES, origin).inc(pages)


def _outcome(module: JobModule) -> str:
    if module.found is None:
        return "not_asked"
    if module.failure:
        return module.failure.name
    return "found" if module.found else "absent"
