"""What a request cost: for the metrics, and for a client that sent the `Debug` header."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from tecken.metrics import FRAMES, MODULES, PAGES
from tecken.symbolication.api.answer import Module, Resolved, key
from tecken.symbolication.trace import Trace

logger = logging.getLogger("tecken.trace")


def debug(resolved: Sequence[Resolved], trace: Trace, seconds: float) -> dict[str, Any]:
    """Seconds and bytes. `stacks` and `stacks_per_module` count frames, as they always did."""
    frames = [
        Counter(index for stack in job.stacks for index, _ in stack) for job in (one.job for one in resolved)
    ]
    per_module: Counter[str] = Counter()
    # A key is made once a module and not once a frame: a client may give it any length.
    for one, counts in zip(resolved, frames, strict=True):
        for index, count in counts.items():
            if index >= 0:
                per_module[key(one.job.modules[index])] += count
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
            "count": sum(spent.count for spent in downloads.values()),
            "size": sum(spent.size for spent in downloads.values()),
            "time": sum(spent.seconds for spent in downloads.values()),
            "size_per_module": {str(module): spent.size for module, spent in downloads.items()},
            "time_per_module": {str(module): spent.seconds for module, spent in downloads.items()},
        },
        "parse_sym": {
            "time": sum(trace.parse.values()),
            "time_per_module": {str(module): spent for module, spent in trace.parse.items()},
        },
        "pages": asdict(trace.pages),
        "missing": {str(module): reason for module, reason in trace.missing.items()},
    }


def log(version: str, spent: dict[str, Any]) -> None:
    """One line of JSON."""
    logger.info("%s", orjson.dumps({"version": version, **spent}).decode())


def count(version: str, resolved: Sequence[Resolved], trace: Trace) -> None:
    FRAMES.labels(version).inc(sum(len(stack) for one in resolved for stack in one.job.stacks))
    outcomes = Counter(_outcome(module) for one in resolved for module in one.modules.values())
    for outcome, modules in outcomes.items():
        MODULES.labels(outcome).inc(modules)
    for origin in ("process", "store", "page_file"):
        if pages := getattr(trace.pages, origin):
            PAGES.labels(origin).inc(pages)


def _outcome(module: Module) -> str:
    if module.found is None:
        return "not_asked"
    if module.failure:
        return module.failure.name
    return "found" if module.found else "absent"
