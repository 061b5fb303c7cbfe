"""Queries of Prometheus in the files of `deploy/`, and their metrics and labels."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tecken.metrics import METRICS

FOREIGN: Final = {
    "up": {"job", "instance"},
    "probe_success": {"job", "instance"},
    "probe_ssl_earliest_cert_expiry": {"job", "instance"},
}
"""Metrics of Prometheus and of the blackbox exporter, with their labels."""
ADDED: Final = {"job", "instance", "namespace", "pod"}
"""Labels that Prometheus adds to each metric."""
SELECTOR = re.compile(r"\b(tecken_\w+|up|probe_\w+)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


class Selector(NamedTuple):
    """Metric of a query, with its matchers: the name of each label, and the value or expression."""

    metric: str
    matchers: tuple[tuple[str, str], ...]


def find_selectors(query: str) -> list[Selector]:
    """Return the metrics of a query."""
    return [Selector(name, tuple(MATCHER.findall(inside))) for name, inside in SELECTOR.findall(query)]


def find_problems(query: str) -> list[str]:
    """Return the metrics of a query that the site does not have, and labels that its metrics do not have."""
    selectors = find_selectors(query)
    problems = [f"no metric {selector.metric}" for selector in selectors if not _labels(selector.metric)]
    for selector in selectors:
        unknown = {label for label, _ in selector.matchers} - _labels(selector.metric)
        problems += [f"{selector.metric} has no label {label}" for label in sorted(unknown)]
    present = set().union(*(_labels(selector.metric) for selector in selectors))
    grouped = {label.strip() for text in GROUPING.findall(query) for label in text.split(",")} - {""}
    return problems + [f"no metric has the label {label}" for label in sorted(grouped - present)]


def _labels(metric: str) -> set[str]:
    if metric in FOREIGN:
        return FOREIGN[metric]
    base, _, suffix = metric.rpartition("_")
    if suffix in ("bucket", "count", "sum") and base in METRICS and METRICS[base].kind == "histogram":
        return {*METRICS[base].labels, *ADDED, *(["le"] if suffix == "bucket" else [])}
    return {*METRICS[metric].labels, *ADDED} if metric in METRICS else set()
