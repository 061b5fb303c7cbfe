"""Checks of what every process needs: settings, Redis servers, database, storage, disks and clocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property, partial
from secrets import token_hex
from threading import Lock
from typing import NamedTuple

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from tecken.doctor.checks import CheckFinding, failed, ok, skipped, warning
from tecken.errors import NotFound, Unavailable
from tecken.monitoring.preflight.rules import CACHE, SITE, STORE, Problem
from tecken.monitoring.preflight.startup import PreflightResult, run_preflight
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.storage.backends.bucket import Bucket, bucket_for
from tecken.storage.port import FetchLimits

IN_MEMORY = "DEMO_MODE: it is in the memory of the web process."
WORKS = {
    SITE: "The settings have no problem.",
    CACHE: "It answers, accepts writes, and may evict only keys with an expiry.",
    STORE: "It answers, accepts writes, and evicts pages when it is full.",
}
START = "Start the server, or correct {}; `manage.py check_redis` shows each check."
STEPS = {
    "E01": "Set {}, then restart all processes.",
    "E02": START,
    "E03": "Correct the user and password in {}, or the rights of that user (docs/redis-mandatory.md).",
    "E04": "Free memory or disk space of the server, or let {} name the master.",
    "E12": "Correct the certificate, or name its authority in REDIS_CA_FILE.",
}
VARIABLES = {SITE: "the settings", CACHE: "REDIS_URL", STORE: "REDIS_STORE_URL"}
READ_MORE = "See docs/redis-mandatory.md, and run `manage.py check_redis`."


class Preflight:
    """Checks of a start, which run once for the three checks that read their result."""

    def __init__(self) -> None:
        self._lock = Lock()

    def check(self, server: str) -> CheckFinding:
        """Return what the rules of a start report of a server, or of the settings."""
        if settings.DEMO_MODE and server != SITE:
            return skipped(IN_MEMORY)
        with self._lock:
            problems = [problem for problem in self._result.problems if problem.server == server]
        # A demo warns that it is one.
        return _judge(server, [problem for problem in problems if problem.id != "W14"])

    @cached_property
    def _result(self) -> PreflightResult:
        return run_preflight(wait=0)


def _judge(server: str, problems: list[Problem]) -> CheckFinding:
    if not problems:
        return ok(WORKS[server])
    errors = [problem for problem in problems if problem.level == "error"]
    text = "; ".join(problem.text for problem in errors or problems) + "."
    step = STEPS.get((errors or problems)[0].id, READ_MORE).format(VARIABLES[server])
    if not errors:
        return warning(text, step)
    return failed(text, step, transient=all(problem.transient for problem in errors))


# Database

MIGRATE = "Run `manage.py migrate` with the code that the site runs."


def check_database() -> CheckFinding:
    """Return whether the database answers, has all migrations, and accepts a write, which is undone."""
    try:
        connection.ensure_connection()
        missing, unknown = _compare_migrations()
        if missing:
            return failed(f"{len(missing)} migrations are not applied, first {missing[0]}.", MIGRATE)
        with transaction.atomic():
            ContentType.objects.create(app_label="doctor", model=token_hex(8))
            transaction.set_rollback(True)
    except DatabaseError as error:
        connection.close()
        text = f"The database does not work: {type(error).__name__}."
        step = "Start it, or correct DATABASE_URL; its own log names the cause."
        return failed(text, step, transient=True)
    if unknown:
        text = f"The database has migrations of another release, first {unknown[0]}."
        return warning(text, "Use the code of that release, or migrate back (docs/upgrade.md).")
    return ok(f"{connection.display_name} answers, has all migrations, and accepts writes.")


def _compare_migrations() -> tuple[list[str], list[str]]:
    """Return migrations that are not applied, and applied ones that this code does not have."""
    loader = MigrationExecutor(connection).loader
    applied = set(loader.applied_migrations)
    missing = sorted(set(loader.graph.nodes) - applied)
    apps = {app for app, _ in loader.graph.nodes}
    replaced = {name for migration in loader.disk_migrations.values() for name in migration.replaces}
    unknown = sorted(
        (app, name) for app, name in applied - set(loader.disk_migrations) - replaced if app in apps
    )
    return [".".join(name) for name in missing], [".".join(name) for name in unknown]


# Storage

LIMITS = partial(FetchLimits, timeout=3.0, deadline=8.0)
PROBE = "doctor"
CONTENT = b"This file was written by manage.py doctor, and can be deleted.\n"


def check_storage() -> CheckFinding:
    """Return whether each storage can be listed, and an object of it written, read and deleted."""
    urls = dict.fromkeys(filter(None, (settings.STORAGE_URL, settings.TRY_STORAGE_URL)))
    buckets = [bucket_for(url, LIMITS) for url in urls]
    for bucket in buckets:
        if problem := _try_bucket(bucket):
            return problem
    for bucket in buckets:
        if bucket.directory and (owner := os.stat(bucket.directory).st_uid) != os.geteuid():
            text = f"{bucket.name} belongs to user {owner}, and this command runs as {os.geteuid()}."
            return warning(text, "Run it as the user of the web server, so that it tests the same rights.")
    names = " and ".join(bucket.name for bucket in buckets)
    return ok(f"{names} can be listed, and a file was written, read and deleted.")


def _try_bucket(bucket: Bucket) -> CheckFinding | None:
    key, step = f"{PROBE}/{token_hex(8)}", "list"
    try:
        next(bucket.entries("v1"), None)
        step = "write to"
        bucket.put(key, [CONTENT])
        try:
            step = "read from"
            if b"".join(bucket.chunks(bucket.get(key))) != CONTENT:
                return failed(f"{bucket.name} returns other bytes than were written.", STORAGE_STEP)
        finally:
            step = "delete from"
            bucket.delete(key)
            if bucket.directory:
                (bucket.directory / PROBE).rmdir()
    except (Unavailable, NotFound, OSError) as error:
        return failed(f"Cannot {step} {bucket.name}: {_first_line(error)}.", STORAGE_STEP, transient=True)
    return None


STORAGE_STEP = "Check STORAGE_URL, the credentials, and the rights to list, read, write and delete."


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".")


# Disks

GIB = 1 << 30


def check_disk() -> CheckFinding:
    """Return whether the disks of this host have room."""
    spaces = storage_services.disk_space().readings()
    if not spaces:
        return skipped("The free space of the disks of this host is not known.")
    step = "Delete files, enlarge the disk, or lower the options keep_regular_days and keep_try_days."
    if full := [space for space in spaces if space.why_not]:
        return failed(f"Uploads are refused: {full[0].why_not}.", step, transient=True)
    free = ", ".join(f"{space.free / GIB:.1f} GiB for {space.title}" for space in spaces)
    if any(space.free < 2 * space.reserve for space in spaces):
        return warning(f"Uploads will be refused soon. Free on this host: {free}.", step)
    return ok(f"Free on this host: {free}.")


# Clocks

WARN_SECONDS, FAIL_SECONDS = 2.0, 60.0
# The `Date` header has whole seconds.
DATE_SECONDS = 1.0


class ClockReading(NamedTuple):
    """Seconds by which a clock is ahead of that of this host, with the uncertainty of the measurement."""

    name: str
    ahead: float
    uncertainty: float

    @property
    def certain(self) -> float:
        """Return the seconds that the two clocks differ at least."""
        return max(0.0, abs(self.ahead) - self.uncertainty)


def check_clock(read_date: Callable[[], datetime] | None) -> CheckFinding:
    """Return whether the clock of this host agrees with those of redis-cache, database and site."""
    readings = list(_read_clocks(read_date))
    if not readings:
        return skipped("No other clock could be read.")
    worst = max(readings, key=lambda reading: reading.certain)
    names = ", ".join(reading.name for reading in readings)
    if worst.certain <= WARN_SECONDS:
        return ok(f"The clock of this host agrees with {names} within {WARN_SECONDS:.0f} seconds.")
    side = "ahead of" if worst.ahead > 0 else "behind"
    text = f"The clock of {worst.name} is {abs(worst.ahead):.0f} seconds {side} that of this host."
    step = "Let a time service (chrony, systemd-timesyncd) set the clocks of both hosts."
    return failed(text, step) if worst.certain > FAIL_SECONDS else warning(text, step)


def _read_clocks(read_date: Callable[[], datetime] | None) -> Iterator[ClockReading]:
    if not settings.DEMO_MODE:
        yield from _measure("redis-cache", _read_redis, 0.0)
    if connection.vendor == "postgresql":
        yield from _measure("the database", _read_database, 0.0)
    if read_date:
        yield from _measure("the site", partial(_read_header, read_date), DATE_SECONDS)


def _measure(name: str, read: Callable[[], float], resolution: float) -> Iterator[ClockReading]:
    """Yield the reading of a clock; nothing when it does not answer, which other checks report."""
    before = time.time()
    try:
        other = read()
    except Exception:  # noqa: BLE001 - as the docstring states
        return
    after = time.time()
    yield ClockReading(name, other - (before + after) / 2, (after - before) / 2 + resolution)


def _read_redis() -> float:
    seconds, micros = redis_services.cache_client().time()
    return float(seconds + micros / 1e6)


def _read_database() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        return float(cursor.fetchone()[0])


def _read_header(read_date: Callable[[], datetime]) -> float:
    # The header is cut to whole seconds, so its middle is half a second later.
    return read_date().timestamp() + DATE_SECONDS / 2
