"""The backend in Redis: for any number of hosts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from redis.connection import AbstractConnection

from tecken.errors import Conflict, CouldNotAsk
from tecken.redisclient.problems import problem
from tecken.runtimeconfig import keys
from tecken.runtimeconfig.backend import (
    REPORT_SECONDS,
    Change,
    ConfigHead,
    Hint,
    Level,
    Report,
    Values,
    parsed,
    report_of,
    stamp_of,
    values_of,
)

WRITE = (Path(__file__).parent / "write.lua").read_text()
VERSION = re.compile(r"[0-9]{1,15}")
SILENCE_SECONDS = 5.0  # then a PING is sent; without an answer in as long the connection is dead


class RedisBackend:
    """`client` has a short timeout and sends nothing twice; the connection that listens has the same."""

    def __init__(self, client: redis.Redis, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._write = client.register_script(WRITE)

    def head(self) -> ConfigHead:
        with _asking():
            found: list[Any] = self._client.mget(
                keys.VERSION, keys.CHANGE, keys.MAINTENANCE, keys.UPLOADS_CLOSED
            )
        version, change, maintenance, uploads_closed = map(_text, found)
        number = _version(version)
        return ConfigHead(number, stamp_of(number, parsed(change)), maintenance, uploads_closed)

    def read(self) -> Values:
        with _asking(), self._client.pipeline(transaction=True) as together:
            together.get(keys.VERSION)
            together.get(keys.CHANGE)
            together.hgetall(keys.VALUES)
            version, change, texts = together.execute()
        number = _version(_text(version))
        decoded = {
            entry.decode(errors="replace"): text.decode(errors="replace") for entry, text in texts.items()
        }
        return Values(number, stamp_of(number, parsed(_text(change))), decoded)

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        told = json.dumps({"version": change.version, "stamp": change.stamp, "texts": dict(texts)})
        pairs = [word for pair in texts.items() for word in pair]
        names = (keys.VERSION, keys.CHANGE, keys.VALUES)
        values: list[str | int] = [
            expected,
            change.version,
            json.dumps(change._asdict()),
            self._channel,
            told,
            *pairs,
        ]
        with _asking():
            before = int(self._write(keys=names, args=values))
        if before != expected:
            raise Conflict(f"the configuration has version {before}, not {expected}")

    def report(self, report: Report) -> None:
        with _asking():
            self._client.set(keys.PROCESS + report.process, json.dumps(report._asdict()), ex=REPORT_SECONDS)

    def reports(self) -> list[Report]:
        with _asking():
            names = list(self._client.scan_iter(match=f"{keys.PROCESS}*", count=1000))
            found: list[Any] = self._client.mget(names) if names else []
        reports = [report_of(text.decode(errors="replace")) for text in found if text is not None]
        return [report for report in reports if report is not None]

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        key = keys.LEVELS[level]
        with _asking(), self._client.pipeline(transaction=True) as together:
            if text is None:
                together.delete(key)
            else:
                together.set(key, text, pxat=int(until.timestamp() * 1000) if until else None)
            together.publish(self._channel, key)
            together.execute()

    @contextmanager
    def subscribe(self) -> Iterator[RedisSubscription]:
        pool = self._client.connection_pool
        with _asking():
            connection = pool.get_connection()
        try:
            with _asking():
                connection.send_command("SUBSCRIBE", self._channel, check_health=False)  # type: ignore[no-untyped-call]
                connection.read_response()
            yield RedisSubscription(connection)
        finally:
            connection.disconnect()  # type: ignore[no-untyped-call]
            pool.release(connection)


class RedisSubscription:
    """The connection is used as it is: a PubSub would connect again by itself, and tell nobody."""

    def __init__(self, connection: AbstractConnection, silence: float = SILENCE_SECONDS) -> None:
        self._connection = connection
        self._silence = silence
        self._asked = False
        self._ask_at = time.monotonic() + silence

    def next(self, seconds: float) -> Values | Hint | None:
        seconds = max(seconds, 0.0)
        self._keep_alive()
        with _asking():
            if not self._connection.can_read(timeout=seconds):
                return None
            heard = self._connection.read_response(disconnect_on_error=False)
        self._asked, self._ask_at = False, time.monotonic() + self._silence
        if not isinstance(heard, list) or heard[0] != b"message":
            return None
        text = heard[2].decode(errors="replace")
        return values_of(text) or Hint(text)

    def _keep_alive(self) -> None:
        if time.monotonic() < self._ask_at:
            return
        if self._asked:
            raise CouldNotAsk("no answer to PING")
        with _asking():
            self._connection.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
        self._asked, self._ask_at = True, time.monotonic() + self._silence


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise CouldNotAsk(problem(error)) from error


def _text(found: bytes | None) -> str | None:
    return None if found is None else found.decode(errors="replace")


def _version(text: str | None) -> int:
    """As `write.lua` reads it: what is no version is as good as none."""
    return int(text) if text and VERSION.fullmatch(text) else 0
