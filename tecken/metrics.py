"""Every metric of the project: nothing else imports prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

REQUESTS = Counter("tecken_symbolicate_requests", "Symbolication requests.", ["version", "status"])
FRAMES = Counter("tecken_symbolicate_frames", "Frames in symbolication answers.", ["version"])
RENDERED = Counter(
    "tecken_symbolicate_rendered", "Distinct frames that were not in the frame cache.", ["version"]
)
MODULES = Counter(
    "tecken_symbolicate_modules",
    "Modules that stacks refer to, once per job: found, absent, not_asked, or the name of an error.",
    ["outcome"],
)
PAGES = Counter(
    "tecken_pages", "Symbol pages read, by where they were: process, store or page_file.", ["origin"]
)
PREPARATIONS = Counter(
    "tecken_preparations",
    "Modules fetched and converted: ready, absent, malformed or unreachable.",
    ["result"],
)
PREPARATION_SECONDS = Histogram(
    "tecken_preparation_seconds",
    "Seconds from starting to fetch a symbol file until its page file was in place.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
)


class Figure(NamedTuple):
    """What is looked up when somebody asks: a value for each set of labels."""

    name: str
    text: str
    samples: Sequence[tuple[Mapping[str, str], float]]


class _Figures(Collector):
    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for figure in self._figures:
            family = GaugeMetricFamily(figure.name, figure.text)
            for labels, value in figure.samples:
                family.add_sample(figure.name, dict(labels), value)
            yield family


def exposition(figures: Iterable[Figure], directory: str) -> bytes:
    """Prometheus' text format: `figures`, and the metrics above. Those are of every process that writes to
    `directory` (PROMETHEUS_MULTIPROC_DIR), or of this process when that is empty."""
    registry = CollectorRegistry()
    if directory:
        MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    registry.register(_Figures(figures))
    return generate_latest(registry)


CONFIG_REFRESHES = Counter(
    "tecken_config_refresh",
    "How a process kept up with the runtime configuration: look (asked for the version), read and message "
    "(another version came into force), failed (no answer).",
    ["result"],
)
CONFIG_MISSED_HINTS = Counter(
    "tecken_config_missed_hints", "Versions that a look found before any message told of them."
)
CONFIG_BAD_VALUES = Counter(
    "tecken_config_bad_values", "Entries that counted for nothing when a version came into force."
)
