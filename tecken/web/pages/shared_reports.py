"""Crash reports that users share by a secret address, on redis-cache for 30 days."""

from __future__ import annotations

import secrets
import time

import redis
import zstandard

from tecken.errors import NotFound, TooLarge, Unavailable
from tecken.redisclient.guard import RedisGuard

TEXT_PREFIX, INDEX_KEY = "shared:", "shared"
LIFETIME_SECONDS = 30 * 86_400
# redis-cache evicts only keys with an expiry, so these two bound its memory: at most 64 MB.
MAX_REPORTS = 1000
# Compressed; about 500 KB of a crash report.
MAX_BYTES = 64 * 1024
# Bounds the memory that a crafted value can take when it is decompressed.
MAX_TEXT_BYTES = 10 * 1024 * 1024


def share_report(client: redis.Redis, guard: RedisGuard, text: str) -> str:
    """Store a crash report and return its name. The oldest report is removed when there are too many.

    Raises:
        TooLarge: The text is too long.
        Unavailable: redis-cache does not respond.
    """
    raw = zstandard.compress(text.encode(errors="replace"))
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
    with client.pipeline() as pipeline:
        pipeline.set(TEXT_PREFIX + name, raw, ex=LIFETIME_SECONDS)
        pipeline.zadd(INDEX_KEY, {name: time.time()})
        pipeline.zrange(INDEX_KEY, 0, -MAX_REPORTS - 1)
        pipeline.zremrangebyrank(INDEX_KEY, 0, -MAX_REPORTS - 1)
        *_others, oldest, _removed = pipeline.execute()
    if oldest:
        client.unlink(*(TEXT_PREFIX.encode() + old_name for old_name in oldest))


def load_report(client: redis.Redis, guard: RedisGuard, name: str) -> str:
    """Return the text of a shared crash report.

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
    return zstandard.ZstdDecompressor().decompress(raw, max_output_size=MAX_TEXT_BYTES).decode()
