"""Texts that users share by a secret address, with how far they could be symbolicated at that time.

A value is `b"\x01"` and, compressed with zstd, a line of JSON with that state and then the text. A former
release has stored the compressed text alone, which begins with the magic number of zstd.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import orjson
import redis
import zstandard

from tecken.errors import NotFound, TooLarge, Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.crash_reports.parsed_report import ReportModule
from tecken.symbolication.symbolicated import SymbolicatedReport

TEXT_PREFIX, INDEX_KEY = "shared:", "shared"
LIFETIME_SECONDS: Final = 30 * 86_400
# redis-cache evicts only keys with an expiry, so these two bound its memory.
MAX_REPORTS = 1000
# Of a compressed text.
MAX_BYTES: Final = 64 * 1024
# Bounds the memory that a crafted value can take when it is decompressed.
MAX_TEXT_BYTES: Final = 10 * 1024 * 1024
MAX_MISSING: Final = 200
"""Missing modules that are noted with a text."""
WITH_STATE: Final = b"\x01"


class SharedState(NamedTuple):
    """State of a report when it was shared: modules without symbols, and frames with functions."""

    at: datetime
    missing: tuple[ReportModule, ...]
    functions: int


class SharedReport(NamedTuple):
    """Shared text; `state` is None if it was shared by a former release, or nothing could be looked up."""

    text: str
    state: SharedState | None


def state_of(report: SymbolicatedReport) -> SharedState:
    """Return the state of a report at this moment."""
    # What cannot name a module never arrives, and may have characters that JSON does not have.
    missing = (
        use.module for use in report.modules if use.why and all(use.module) and use.problem != "BadModule"
    )
    return SharedState(datetime.now(UTC), tuple(missing)[:MAX_MISSING], count_functions(report))


def count_functions(report: SymbolicatedReport) -> int:
    """Return the number of frames that have a function."""
    return sum(row.call is not None for thread in report.threads for row in thread.rows)


def share_report(client: redis.Redis, guard: RedisGuard, text: str, state: SharedState | None = None) -> str:
    """Store a crash report and return its name. The oldest report is removed when there are too many.

    Raises:
        TooLarge: The text is too long.
        Unavailable: redis-cache does not respond.
    """
    head: dict[str, object] = {}
    if state:
        missing = [list(names) for names in state.missing]
        head = {"at": state.at.timestamp(), "missing": missing, "functions": state.functions}
    content = orjson.dumps(head) + b"\n" + text.encode(errors="replace")
    raw = WITH_STATE + zstandard.compress(content)
    if len(raw) > MAX_BYTES:
        raise TooLarge("This text is too long to be shared; it can be symbolicated all the same")
    # 128 random bits: the name is the only protection of the report.
    name = secrets.token_urlsafe(16)
    try:
        with guard.guarded():
            _store(client, name, raw)
    except Unavailable as error:
        raise Unavailable("It cannot be shared now: redis-cache does not answer") from error.__cause__
    return name


def _store(client: redis.Redis, name: str, raw: bytes) -> None:
    # One transaction: a report without its entry in the index would never count as the oldest.
    with client.pipeline() as pipeline:
        pipeline.set(TEXT_PREFIX + name, raw, ex=LIFETIME_SECONDS)
        pipeline.zadd(INDEX_KEY, {name: time.time()})
        pipeline.zrange(INDEX_KEY, 0, -MAX_REPORTS - 1)
        pipeline.zremrangebyrank(INDEX_KEY, 0, -MAX_REPORTS - 1)
        *_others, oldest, _removed = pipeline.execute()
    if oldest:
        client.unlink(*(TEXT_PREFIX.encode() + old_name for old_name in oldest))


def load_report(client: redis.Redis, guard: RedisGuard, name: str) -> SharedReport:
    """Return a shared crash report.

    Raises:
        NotFound: No report has this name, or it has expired.
        Unavailable: redis-cache does not respond.
    """
    try:
        raw = guard.call(client.get, TEXT_PREFIX + name)
    except Unavailable as error:
        raise Unavailable("It cannot be read now: redis-cache does not answer") from error.__cause__
    if raw is None:
        raise NotFound("Nothing is shared here, or no longer: a text is kept for 30 days")
    assert isinstance(raw, bytes)
    content = zstandard.ZstdDecompressor().decompress(
        raw.removeprefix(WITH_STATE), max_output_size=MAX_TEXT_BYTES
    )
    if not raw.startswith(WITH_STATE):
        return SharedReport(content.decode(), None)
    head, _, text = content.partition(b"\n")
    return SharedReport(text.decode(), _parse_state(orjson.loads(head)))


def _parse_state(document: dict[str, object]) -> SharedState | None:
    match document:
        case {"at": float(at), "missing": list(missing), "functions": int(functions)}:
            modules = tuple(ReportModule(*names) for names in missing)
            return SharedState(datetime.fromtimestamp(at, UTC), modules, functions)
    return None


class Arrival(NamedTuple):
    """What has changed since a report was shared.

    `modules` have symbols now. The last of them came `seconds` after it was shared, None if not known.
    """

    modules: tuple[ReportModule, ...]
    seconds: float | None
    frames: int


def find_arrival(
    state: SharedState | None,
    report: SymbolicatedReport,
    load_times: Callable[[Sequence[ReportModule]], Iterable[datetime]],
) -> Arrival | None:
    """Return what has changed, None for nothing.

    `load_times` returns the times at which symbols of modules came, as far as they are known.
    """
    if state is None:
        return None
    found = {use.module for use in report.modules if not use.why}
    modules = tuple(module for module in state.missing if module in found)
    if not modules:
        return None
    later = [(at - state.at).total_seconds() for at in load_times(modules) if at >= state.at]
    return Arrival(modules, max(later, default=None), max(0, count_functions(report) - state.functions))
