"""Pasted texts under addresses that cannot be guessed, for whoever has one: on redis-cache, for a month."""

from __future__ import annotations

import secrets
import time

import redis
import zstandard

from tecken.errors import Absent, CouldNotAsk, TooMuch
from tecken.redisclient.guard import RedisGuard

TEXT, INDEX = "shared:", "shared"
KEPT_SECONDS = 30 * 86_400
MOST = 1000
"""Texts; with the next one the oldest goes."""
MOST_BYTES = 64 * 1024
"""Of one, compressed: some 500 KB of a crash report."""
LONGEST = 10 * 1024 * 1024


def share(client: redis.Redis, guard: RedisGuard, text: str) -> str:
    """Store a text and return its id. Raises TooMuch, CouldNotAsk."""
    raw = zstandard.compress(text.encode(errors="replace"))
    if len(raw) > MOST_BYTES:
        raise TooMuch("This text is too long to be shared; it can be symbolicated all the same")
    name = secrets.token_urlsafe(16)
    try:
        with guard.guarded():
            _keep(client, name, raw)
    except CouldNotAsk as error:
        raise CouldNotAsk("It cannot be shared now: redis-cache does not answer") from error.__cause__
    return name


def _keep(client: redis.Redis, name: str, raw: bytes) -> None:
    with client.pipeline() as pipeline:
        pipeline.set(TEXT + name, raw, ex=KEPT_SECONDS)
        pipeline.zadd(INDEX, {name: time.time()})
        pipeline.zrange(INDEX, 0, -MOST - 1)
        pipeline.zremrangebyrank(INDEX, 0, -MOST - 1)
        *_others, old, _removed = pipeline.execute()
    if old:
        client.unlink(*(TEXT.encode() + each for each in old))


def shared(client: redis.Redis, guard: RedisGuard, name: str) -> str:
    """Return the text with the id `name`. Raises Absent, CouldNotAsk."""
    try:
        raw = guard.call(client.get, TEXT + name)
    except CouldNotAsk as error:
        raise CouldNotAsk("It cannot be read now: redis-cache does not answer") from error.__cause__
    if raw is None:
        raise Absent("Nothing is shared here, or no longer: a text is kept for 30 days")
    assert isinstance(raw, bytes)
    return zstandard.ZstdDecompressor().decompress(raw, max_output_size=LONGEST).decode()
