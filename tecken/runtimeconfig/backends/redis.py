"""Backend in Redis, for any number of hosts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from pydantic import ValidationError
from redis.connection import AbstractConnection

from tecken.errors import Conflict, Unavailable
from tecken.redisclient.guard import problem, redis_cache
from tecken.runtimeconfig import backend
from tecken.runtimeconfig.backend import LEVEL_KEYS, Change, ConfigHead, Hint, Level, Report, Values

# Operators may use these keys with redis-cli.
VERSION_KEY, CHANGE_KEY, VALUES_KEY = "config:version", "config:change", "config:values"
# The process of the Report follows.
PROCESS_KEY = "config:process:"
WRITE = (Path(__file__).parent / "write.lua").read_text()
VERSION = re.compile(rb"[0-9]{1,15}")
# After this silence a PING is sent. After the same time without an answer the connection counts as lost.
SILENCE_SECONDS = 5.0


class RedisBackend:
    """Backend on a client with a short timeout and no retries. `on_write` is called after each change."""

    def __init__(
        self, client: redis.Redis, channel: str, on_write: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._channel = channel
        self._on_write = on_write
        # The script compares the version and writes in one step. Two commands would let two writers both find
        # the expected version, and one of them would overwrite the other.
        self._write = client.register_script(WRITE)

    def head(self) -> ConfigHead:
        """Return version, stamp and maintenance."""
        with _record_outcome():
            # One command, so that version, stamp and maintenance belong to the same moment.
            replies: list[Any] = self._client.mget(VERSION_KEY, CHANGE_KEY, *LEVEL_KEYS.values())
        version, change, *levels = replies
        texts = [None if level is None else level.decode(errors="replace") for level in levels]
        return ConfigHead(*_parse_version(version, change), *texts)

    def read(self) -> Values:
        """Return the texts of the current version."""
        with _record_outcome(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.get(VERSION_KEY)
            pipeline.get(CHANGE_KEY)
            pipeline.hgetall(VALUES_KEY)
            version, change, texts = pipeline.execute()
        decoded = {key.decode(errors="replace"): text.decode(errors="replace") for key, text in texts.items()}
        return Values(*_parse_version(version, change), decoded)

    def write(self, change: Change, texts: Mapping[str, str], expected: int) -> None:
        """Replace all texts. Raise Conflict unless the version is `expected`."""
        message = {"version": change.version, "stamp": change.stamp, "texts": dict(texts)}
        arguments: list[str | int] = [expected, change.version, json.dumps(change._asdict()), self._channel]
        arguments += [json.dumps(message), *(word for pair in texts.items() for word in pair)]
        with _record_outcome():
            version = int(self._write(keys=[VERSION_KEY, CHANGE_KEY, VALUES_KEY], args=arguments))
        if version != expected:
            raise Conflict(f"the configuration has version {version}, not {expected}")
        self._on_write()

    def report(self, report: Report) -> None:
        """Store the report of this process."""
        key, text = PROCESS_KEY + report.process, json.dumps(report._asdict())
        with _record_outcome():
            self._client.set(key, text, ex=backend.REPORT_SECONDS)

    def reports(self) -> list[Report]:
        """Return the reports of the last REPORT_SECONDS."""
        with _record_outcome():
            names = list(self._client.scan_iter(match=f"{PROCESS_KEY}*", count=1000))
            texts: list[Any] = self._client.mget(names) if names else []
        return [report for text in texts if text is not None and (report := backend.parse_report(text))]

    def set_maintenance(self, level: Level, text: str | None, until: datetime | None) -> None:
        """Begin maintenance until `until`; end it when `text` is None."""
        key = LEVEL_KEYS[level]
        with _record_outcome(), self._client.pipeline(transaction=True) as pipeline:
            if text is None:
                pipeline.delete(key)
            else:
                pipeline.set(key, text, pxat=int(until.timestamp() * 1000) if until else None)
            pipeline.publish(self._channel, key)
            pipeline.execute()
        self._on_write()

    @contextmanager
    def subscribe(self) -> Iterator[RedisSubscription]:
        """Subscribe on a connection of its own."""
        pool = self._client.connection_pool
        with _redis_errors():
            connection = pool.get_connection()
        try:
            with _redis_errors():
                connection.send_command("SUBSCRIBE", self._channel, check_health=False)  # type: ignore[no-untyped-call]
                connection.read_response()
            yield RedisSubscription(connection)
        finally:
            # A connection in subscriber mode must not return to the pool alive: it refuses other commands.
            connection.disconnect()  # type: ignore[no-untyped-call]
            pool.release(connection)


class RedisSubscription:
    """Subscription on a bare connection.

    redis-py's PubSub reconnects silently, and messages sent meanwhile are lost unnoticed. Here each loss of
    the connection is an error, after which the watcher polls.
    """

    def __init__(self, connection: AbstractConnection, silence: float = SILENCE_SECONDS) -> None:
        self._connection = connection
        self._silence = silence
        self._is_ping_sent = False
        self._next_ping = time.monotonic() + silence

    def next(self, seconds: float) -> Values | Hint | None:
        """Wait for a message for at most `seconds`. Raise Unavailable when the connection is lost."""
        with _redis_errors():
            if time.monotonic() >= self._next_ping:
                # A frozen server, or a dropped route, leaves the socket open and silent for ever.
                if self._is_ping_sent:
                    raise Unavailable("no answer to PING")
                self._connection.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
                self._is_ping_sent, self._next_ping = True, time.monotonic() + self._silence
            if not self._connection.can_read(timeout=max(seconds, 0.0)):
                return None
            reply = self._connection.read_response(disconnect_on_error=False)
        self._is_ping_sent, self._next_ping = False, time.monotonic() + self._silence
        if not isinstance(reply, list) or reply[0] != b"message":
            return None
        return _parse_message(reply[2])


@contextmanager
def _record_outcome() -> Iterator[None]:
    """Record the outcome in the guard of redis-cache, so that requests do not wait for a server that is down.

    The guard never refuses: a process that can reach the server has its configuration within one interval.
    """
    with _redis_errors(), redis_cache().observed():
        yield


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Unavailable(problem(error)) from error


def _parse_message(message: bytes) -> Values | Hint:
    try:
        document = backend.Document.model_validate_json(message)
    except ValidationError:
        document = None
    if document is None or document.version < 1 or not document.stamp:
        return Hint(message.decode(errors="replace"))
    return Values(document.version, document.stamp, document.texts)


def _parse_version(text: bytes | None, change: bytes | None) -> tuple[int, str]:
    """Return version and stamp; version 0 for anything that is not a number, as in `write.lua`."""
    version = int(text) if text and VERSION.fullmatch(text) else 0
    return version, backend.find_stamp(version, change)
