"""Every metric of the project, in one list: nothing else imports prometheus_client, and what is not listed
is not counted. docs/metrics.md says the same, and how figures of several processes come together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

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

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["web", "worker", "web, worker", "process", "site"]
"""Who counts it: web processes, workers, both. `process`: looked up in the process that answers, and true for
it alone; `site`: looked up there, and the same for whoever looks."""


class Metric(NamedTuple):
    name: str
    kind: Kind
    labels: tuple[str, ...]
    source: Source
    text: str


LIST = (
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
        "Symbol pages read, by where they were: process, store or page_file.",
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
        "tecken_config_refresh_total",
        "counter",
        ("result",),
        "web, worker",
        "How a process kept up with the runtime configuration: look (asked for the version), read and "
        "message (another version came into force), failed (no answer).",
    ),
    Metric(
        "tecken_config_missed_hints_total",
        "counter",
        (),
        "web, worker",
        "Versions that a look found before any message told of them.",
    ),
    Metric(
        "tecken_config_bad_values_total",
        "counter",
        (),
        "web, worker",
        "Entries that counted for nothing when a version came into force.",
    ),
    Metric(
        "tecken_limit_decisions_total",
        "counter",
        ("scope", "outcome"),
        "web",
        "Requests that have a limit: allowed, refused (429); without redis-cache alone (open, or within a "
        "process' share) and closed (503).",
    ),
    Metric("tecken_config_version", "gauge", (), "process", "Version in force."),
    Metric("tecken_config_age_seconds", "gauge", (), "process", "Since it was last heard of."),
    Metric("tecken_config_stale", "gauge", (), "process", "1 while the last look failed."),
    Metric("tecken_config_bad", "gauge", (), "process", "Entries that cannot be used."),
    Metric("tecken_maintenance", "gauge", ("level",), "process", "1 while it is on."),
    Metric(
        "tecken_config_processes",
        "gauge",
        ("kind", "version"),
        "site",
        "Processes by the version that they have in force.",
    ),
    Metric("tecken_up", "gauge", ("part",), "site", "1 while the part does its work."),
    Metric("tecken_state", "gauge", ("state",), "process", "1 for each state of the process that answers."),
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
        "Keys that were looked up and there, since the server's start.",
    ),
    Metric(
        "tecken_redis_misses_total", "counter", ("server",), "site", "Keys that were looked up and not there."
    ),
    Metric("tecken_redis_evicted_keys_total", "counter", ("server",), "site", "Keys that went to make room."),
    Metric("tecken_redis_commands_total", "counter", ("server",), "site", "Commands carried out."),
    Metric("tecken_queue_ready", "gauge", ("queue", "priority"), "site", "Jobs that wait for a worker."),
    Metric("tecken_queue_unacknowledged", "gauge", (), "site", "Jobs that are with a worker."),
    Metric(
        "tecken_queue_oldest_seconds",
        "gauge",
        ("queue",),
        "site",
        "How long the job that is next has waited.",
    ),
    Metric(
        "tecken_queue_canary_seconds", "gauge", ("queue",), "site", "How long the last canary job waited."
    ),
    Metric(
        "tecken_queue_canary_age_seconds", "gauge", ("queue",), "site", "Since the last canary job ended."
    ),
    Metric("tecken_queue_dead", "gauge", (), "site", "Jobs that were given up."),
    Metric("tecken_workers", "gauge", (), "site", "Workers that are there."),
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


REQUESTS = _counter("tecken_symbolicate_requests_total")
FRAMES = _counter("tecken_symbolicate_frames_total")
RENDERED = _counter("tecken_symbolicate_rendered_total")
MODULES = _counter("tecken_symbolicate_modules_total")
PAGES = _counter("tecken_pages_total")
PREPARATIONS = _counter("tecken_preparations_total")
PREPARATION_SECONDS = Histogram(
    "tecken_preparation_seconds",
    METRICS["tecken_preparation_seconds"].text,
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
CONFIG_REFRESHES = _counter("tecken_config_refresh_total")
CONFIG_MISSED_HINTS = _counter("tecken_config_missed_hints_total")
CONFIG_BAD_VALUES = _counter("tecken_config_bad_values_total")
LIMIT_DECISIONS = _counter("tecken_limit_decisions_total")


class Figure(NamedTuple):
    """What is looked up when somebody asks: a value for each set of labels."""

    name: str
    samples: Sequence[tuple[Mapping[str, str], float]]


class _Figures(Collector):
    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for figure in self._figures:
            listed = METRICS.get(figure.name)
            if listed is None:  # a mistake of ours, and no reason to tell nothing at all
                warnings.warn(f"{figure.name} is not listed", stacklevel=2)
                continue
            yield _family(listed, figure)


def _family(listed: Metric, figure: Figure) -> CounterMetricFamily | GaugeMetricFamily:
    made = CounterMetricFamily if listed.kind == "counter" else GaugeMetricFamily
    family = made(listed.name, listed.text, labels=listed.labels)
    for labels, value in figure.samples:
        family.add_metric([labels[name] for name in listed.labels], value)
    return family


def exposition(figures: Iterable[Figure], directory: str) -> bytes:
    """Prometheus' text format: `figures`, and what is counted. That is of every process that writes to
    `directory` (PROMETHEUS_MULTIPROC_DIR), or of this process when that is empty."""
    registry = _counted(directory)
    registry.register(_Figures(figures))
    return generate_latest(registry)


def serve(port: int, directory: str) -> None:
    """What is counted, on a port of its own: for a process that answers no requests. Raises OSError."""
    start_http_server(port, registry=_counted(directory))


def _counted(directory: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    if directory:
        MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    return registry
