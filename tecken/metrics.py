"""The one list of metrics, and the only module that imports prometheus_client.

A metric that is not in `LIST` fails the tests. docs/metrics.md has the same list, and explains how the values
of several processes are merged.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

Labelled = TypeVar("Labelled", Counter, Histogram)

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["web", "worker", "web, worker", "process", "site"]
"""Processes that count the metric: web processes, workers, or both. A metric of `process` is read during the
scrape and is valid for the process that answers; one of `site` is the same in every process."""


class Metric(NamedTuple):
    """Entry of the list: `source` names the processes that count it, `text` is its HELP line."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    source: Source
    text: str


LIST = (
    Metric(
        "tecken_requests_total",
        "counter",
        ("kind", "status"),
        "web",
        "Requests of each kind: symbolicate, download, upload, api or page. Those of monitors, and refusals "
        "under maintenance, are not counted.",
    ),
    Metric(
        "tecken_request_seconds",
        "histogram",
        ("kind",),
        "web",
        "Seconds from a request, whose body has been read, to the head of its response. Downloads that are "
        "answered from memory are not timed.",
    ),
    Metric(
        "tecken_symbolicate_requests_total",
        "counter",
        ("version", "status"),
        "web",
        "Symbolication requests.",
    ),
    Metric(
        "tecken_symbolicate_frames_total", "counter", ("version",), "web", "Frames in symbolication answers."
    ),
    Metric(
        "tecken_symbolicate_rendered_total",
        "counter",
        ("version",),
        "web",
        "Distinct frames that were not in the frame cache.",
    ),
    Metric(
        "tecken_symbolicate_modules_total",
        "counter",
        ("outcome",),
        "web",
        "Modules that stacks refer to, once per job: found, absent, not_asked, or the name of an error.",
    ),
    Metric(
        "tecken_pages_total",
        "counter",
        ("origin",),
        "web",
        "Symbol pages read, by their place: process, store or page_file.",
    ),
    Metric(
        "tecken_preparations_total",
        "counter",
        ("result",),
        "worker",
        "Modules fetched and converted: ready, absent, malformed or unreachable.",
    ),
    Metric(
        "tecken_preparation_seconds",
        "histogram",
        (),
        "worker",
        "Seconds from starting to fetch a symbol file until its page file was in place.",
    ),
    Metric(
        "tecken_minidumps_total",
        "counter",
        ("result",),
        "worker",
        "Minidumps processed: done, refused (no dump, or over a limit) or failed.",
    ),
    Metric(
        "tecken_minidump_seconds",
        "histogram",
        (),
        "worker",
        "Seconds to process a minidump, with its wait for cold modules.",
    ),
    Metric("tecken_minidump_frames_total", "counter", (), "worker", "Frames in reports of minidumps."),
    Metric(
        "tecken_source_lookups_total",
        "counter",
        ("source", "result"),
        "web, worker",
        "Searches for a file in the own storage or an upstream, by result: there, absent, denied, not asked, "
        "off, throttled, unreachable, too large or refused. A paused upstream is unreachable or throttled.",
    ),
    Metric(
        "tecken_config_refresh_total",
        "counter",
        ("result",),
        "web, worker",
        "Refreshes of the runtime configuration in a process: look (the version was read), read and message "
        "(another version came into force), failed (no answer).",
    ),
    Metric(
        "tecken_config_missed_hints_total",
        "counter",
        (),
        "web, worker",
        "Versions that a process read before it received their message.",
    ),
    Metric(
        "tecken_config_bad_values_total",
        "counter",
        (),
        "web, worker",
        "Entries that were ignored when a version came into force.",
    ),
    Metric(
        "tecken_limit_decisions_total",
        "counter",
        ("scope", "outcome"),
        "web",
        "Requests that have a limit: allowed, refused (429); without redis-cache: alone (open, or within the "
        "share of the process) and closed (503).",
    ),
    Metric("tecken_config_version", "gauge", (), "process", "Version in force."),
    Metric(
        "tecken_config_age_seconds", "gauge", (), "process", "Seconds since the last contact to the backend."
    ),
    Metric("tecken_config_stale", "gauge", (), "process", "1 while the last refresh failed."),
    Metric("tecken_config_bad", "gauge", (), "process", "Entries that cannot be used."),
    Metric("tecken_maintenance", "gauge", ("level",), "process", "1 while maintenance is on."),
    Metric(
        "tecken_config_processes",
        "gauge",
        ("kind", "version"),
        "site",
        "Processes by the version that they have in force.",
    ),
    Metric("tecken_up", "gauge", ("part",), "site", "1 while the part works."),
    Metric(
        "tecken_state",
        "gauge",
        ("state",),
        "process",
        "1 for each degraded state of the process that answers.",
    ),
    Metric("tecken_redis_memory_bytes", "gauge", ("server",), "site", "Memory in use."),
    Metric(
        "tecken_redis_maxmemory_bytes", "gauge", ("server",), "site", "Memory that may be used; 0: no limit."
    ),
    Metric("tecken_redis_clients", "gauge", ("server",), "site", "Connected clients."),
    Metric("tecken_redis_maxclients", "gauge", ("server",), "site", "Clients that may connect."),
    Metric(
        "tecken_redis_hits_total",
        "counter",
        ("server",),
        "site",
        "Lookups of keys that exist, since the server's start.",
    ),
    Metric("tecken_redis_misses_total", "counter", ("server",), "site", "Lookups of keys that do not exist."),
    Metric("tecken_redis_evicted_keys_total", "counter", ("server",), "site", "Keys that were evicted."),
    Metric("tecken_redis_commands_total", "counter", ("server",), "site", "Commands carried out."),
    Metric("tecken_queue_ready", "gauge", ("queue", "priority"), "site", "Jobs that wait for a worker."),
    Metric("tecken_queue_unacknowledged", "gauge", (), "site", "Jobs that a worker has taken."),
    Metric(
        "tecken_queue_oldest_seconds",
        "gauge",
        ("queue",),
        "site",
        "Waiting time of the next job.",
    ),
    Metric(
        "tecken_queue_canary_seconds", "gauge", ("queue",), "site", "Waiting time of the last canary job."
    ),
    Metric(
        "tecken_queue_canary_age_seconds",
        "gauge",
        ("queue",),
        "site",
        "Seconds since the last canary job ended.",
    ),
    Metric("tecken_queue_dead", "gauge", (), "site", "Dead letters."),
    Metric("tecken_workers", "gauge", (), "site", "Workers with a recent heartbeat."),
    Metric("tecken_disk_free_bytes", "gauge", ("directory",), "process", "Free space of a directory."),
    Metric(
        "tecken_disk_reserve_bytes",
        "gauge",
        ("directory",),
        "process",
        "Uploads are refused while less is free.",
    ),
)
METRICS = {metric.name: metric for metric in LIST}


def _counter(name: str) -> Counter:
    return Counter(name, METRICS[name].text, METRICS[name].labels)


def _histogram(name: str, buckets: Sequence[float]) -> Histogram:
    return Histogram(name, METRICS[name].text, METRICS[name].labels, buckets=buckets)


@lru_cache(maxsize=1024)
def labelled(metric: Labelled, *labels: object) -> Labelled:
    """Return the counter or histogram of some labels. Finding it again takes a tenth of `Counter.labels`."""
    return metric.labels(*labels)


SERVED = _counter("tecken_requests_total")
SERVED_SECONDS = _histogram("tecken_request_seconds", (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30))
SOURCE_LOOKUPS = _counter("tecken_source_lookups_total")
REQUESTS = _counter("tecken_symbolicate_requests_total")
FRAMES = _counter("tecken_symbolicate_frames_total")
RENDERED = _counter("tecken_symbolicate_rendered_total")
MODULES = _counter("tecken_symbolicate_modules_total")
PAGES = _counter("tecken_pages_total")
PREPARATIONS = _counter("tecken_preparations_total")
PREPARATION_SECONDS = _histogram("tecken_preparation_seconds", (0.1, 0.3, 1, 3, 10, 30, 100, 300))
MINIDUMPS = _counter("tecken_minidumps_total")
MINIDUMP_SECONDS = _histogram("tecken_minidump_seconds", (0.1, 0.3, 1, 3, 10, 30, 100, 300))
MINIDUMP_FRAMES = _counter("tecken_minidump_frames_total")
CONFIG_REFRESHES = _counter("tecken_config_refresh_total")
CONFIG_MISSED_HINTS = _counter("tecken_config_missed_hints_total")
CONFIG_BAD_VALUES = _counter("tecken_config_bad_values_total")
LIMIT_DECISIONS = _counter("tecken_limit_decisions_total")


def count_request(kind: str, status: int, seconds: float) -> None:
    """Count a request by its kind and status, and record its duration."""
    labelled(SERVED, kind, status).inc()
    labelled(SERVED_SECONDS, kind).observe(seconds)


class Figure(NamedTuple):
    """Values of one metric that are read during a scrape, one for each set of labels."""

    name: str
    samples: Sequence[tuple[Mapping[str, str], float]]


class _Figures(Collector):
    """Collector of values that are read during the scrape."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield a family for each listed figure."""
        for figure in self._figures:
            metric = METRICS.get(figure.name)
            if metric is None:
                # A mistake in the code. The other metrics are still exposed.
                warnings.warn(f"{figure.name} is not listed", stacklevel=2)
                continue
            yield _family(metric, figure)


def _family(metric: Metric, figure: Figure) -> CounterMetricFamily | GaugeMetricFamily:
    family_class = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = family_class(metric.name, metric.text, labels=metric.labels)
    for labels, value in figure.samples:
        family.add_metric([labels[name] for name in metric.labels], value)
    return family


def exposition(figures: Iterable[Figure], directory: str) -> bytes:
    """Return Prometheus' text format with `figures` and all counters.

    Counters are those of every process that writes to `directory` (PROMETHEUS_MULTIPROC_DIR), or of this
    process when it is empty.
    """
    registry = _counter_registry(directory)
    registry.register(_Figures(figures))
    return generate_latest(registry)


def serve(port: int, directory: str) -> None:
    """Serve the counters on a port, for a process that answers no requests. Raises OSError."""
    start_http_server(port, registry=_counter_registry(directory))


def _counter_registry(directory: str) -> CollectorRegistry:
    # A new one for each scrape: its collector reads the files of all processes, those of ended ones included.
    registry = CollectorRegistry()
    if directory:
        MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    return registry
