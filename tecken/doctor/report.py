"""All checks of a run, its document for programs, and its exit status."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tecken.doctor import fleet, public_url, servers
from tecken.doctor.checks import Check, CheckResult, Level, run_checks
from tecken.doctor.round_trip import check_round_trip
from tecken.doctor.visitor import read_date
from tecken.errors import InvalidInput
from tecken.jobs.records import code_version
from tecken.monitoring.preflight.rules import CACHE, SITE, STORE

# In all: the round trip begins when the checks that it needs are over, each within 10 seconds.
ROUND_TRIP_SECONDS = 40.0
EX_WARNINGS = 3
TITLES = {
    "settings": "Settings",
    CACHE: "redis-cache",
    STORE: "redis-store",
    "database": "Database",
    "storage": "Storage",
    "disk": "Disk space",
    "clock": "Clock",
    "workers": "Workers",
    "beat": "Beat",
    "versions": "Versions",
    "site": "Site at its URL",
    "proxies": "Proxies",
    "tls": "TLS",
    "round-trip": "Round trip",
}
CHECK_IDS = tuple(TITLES)


def build_checks(url: str, *, in_site: bool = False) -> tuple[Check, ...]:
    """Return all checks. `in_site`: they run in a web process of the site, not in a command."""
    preflight = servers.Preflight()
    site_if_known = ("site",) if url else ()
    read_versions = partial(public_url.read_versions, url) if url else None
    return (
        Check("settings", partial(preflight.check, SITE)),
        Check(CACHE, partial(preflight.check, CACHE)),
        Check(STORE, partial(preflight.check, STORE)),
        Check("database", servers.check_database),
        Check("storage", servers.check_storage),
        Check("disk", servers.check_disk),
        Check("clock", partial(servers.check_clock, partial(read_date, url) if url else None)),
        Check("workers", partial(fleet.check_workers, in_site), (CACHE,)),
        Check("beat", partial(fleet.check_beat, in_site), (CACHE,)),
        Check("versions", partial(fleet.check_versions, read_versions), (CACHE, *site_if_known)),
        Check("site", partial(public_url.check_site, url)),
        Check("proxies", partial(public_url.check_proxies, url), ("database", *site_if_known)),
        Check("tls", partial(public_url.check_tls, url)),
        Check(
            "round-trip",
            partial(check_round_trip, url, in_site),
            (CACHE, "database", "storage", "workers", *site_if_known),
            ROUND_TRIP_SECONDS,
        ),
    )


def check_url(url: str) -> str:
    """Return the URL without a path of its own. Raises InvalidInput."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise InvalidInput("the URL should be such as https://symbols.example.com, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def diagnose(url: str, skip: Collection[str] = (), *, in_site: bool = False) -> Iterator[CheckResult]:
    """Yield the result of each check as soon as it is known."""
    return run_checks(build_checks(url, in_site=in_site), skip)


def judge(results: Iterable[CheckResult]) -> Level:
    """Return the result of a run: the worst of its checks; "ok" when all others were skipped."""
    levels = {result.finding.level for result in results}
    return next((level for level in ("failed", "warning") if level in levels), "ok")


def find_status(results: Sequence[CheckResult]) -> int:
    """Return the exit status: 0, 3 (warnings), 75 (failures that may pass), 78 (a person has to act)."""
    failures = [result for result in results if result.finding.level == "failed"]
    if not failures:
        return EX_WARNINGS if judge(results) == "warning" else os.EX_OK
    return os.EX_TEMPFAIL if all(result.finding.transient for result in failures) else os.EX_CONFIG


def build_document(url: str, started: datetime, results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return the document of `manage.py doctor --json`, with the checks in their fixed order."""
    ordered = sorted(results, key=lambda result: CHECK_IDS.index(result.check.id))
    return {
        "status": judge(results),
        "exit_status": find_status(results),
        "version": code_version(),
        "url": url or None,
        "started": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 3),
        "checks": [describe(result) for result in ordered],
    }


def describe(result: CheckResult) -> dict[str, Any]:
    """Return a check of the document."""
    finding = result.finding
    return {
        "id": result.check.id,
        "title": TITLES[result.check.id],
        "result": finding.level,
        "text": finding.text,
        "next": finding.next,
        "may_pass": finding.transient,
        "seconds": round(result.seconds, 3),
    }
