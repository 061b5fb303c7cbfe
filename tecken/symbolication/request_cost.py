"""Cost of a request: for the metrics, the log, and clients that send the `Debug` header (docs/api.md)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from tecken.metrics import FRAMES, MODULES, PAGES, RENDERED, labelled
from tecken.symbolication.api.answer import JobModule, Resolved, key
from tecken.symbolication.trace import Trace

logger = logging.getLogger("tecken.trace")


def debug(resolved: Sequence[Resolved], trace: Trace, seconds: float) -> dict[str, Any]:
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


def log(version: str, cost: dict[str, Any]) -> None:
    """Write the cost of a request to the log, as one line of JSON."""
    logger.info("%s", orjson.dumps({"version": version, **cost}).decode())


def count(version: str, resolved: Sequence[Resolved], trace: Trace) -> None:
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
