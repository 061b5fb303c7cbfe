"""Copy of what redis-cache alone has, as lines of JSON that a server of any version and make can load.

| database | copied | left out, because it is made again or belongs to a process |
|---|---|---|
| 0, cache | nothing | cached facts, which would be wrong after a restore; sessions |
| 1, queue | jobs that wait or that workers have, dead letters, starts, beat's times | workers, locks, bells |
| 2, configuration | version and values | maintenance, reports of processes |
| 3, counters | everything | batches and processes of the counters |

DUMP and RESTORE would be shorter. But their format has a version, which servers of another release or make
refuse, and a restore is often one to another server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from django.conf import settings

from tecken import redisclient
from tecken.errors import Malformed
from tecken.jobs import keys
from tecken.jobs.beat import LAST
from tecken.limits.usage import BATCH, PROCESSES
from tecken.runtimeconfig.backends.redis import CHANGE_KEY, VALUES_KEY, VERSION_KEY

TIMEOUT_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0
# Keys of one round trip, and elements of one line.
BATCH_KEYS: Final = 500
LINE_ELEMENTS: Final = 1000
JOB_KEYS: Final = (
    *(keys.waiting(queue, priority) for queue in keys.QUEUES for priority in keys.PRIORITIES),
    *(keys.UNACKED, keys.UNACKED_INDEX, keys.DEAD),
)
QUEUE_KEYS: Final = (*JOB_KEYS, keys.STARTS, keys.STARTED, keys.SCHEDULED, LAST)
CONFIG_KEYS: Final = (VERSION_KEY, CHANGE_KEY, VALUES_KEY)
COUNTERS: Final = 3
OF_PROCESSES: Final = (BATCH.encode(), PROCESSES.encode())


class RedisEntry(NamedTuple):
    """Key, or some elements of a long one. Bytes are written as characters of Latin-1.

    `expires` is in milliseconds since 1970, or None.
    """

    database: int
    key: str
    kind: str
    expires: int | None
    elements: list[Any]


class RedisCopy:
    """Reader and writer of redis-cache. Its methods raise redis.RedisError."""

    def __init__(self) -> None:
        urls = {
            1: settings.REDIS_QUEUE_URL,
            2: settings.RUNTIME_CONFIG_URL,
            COUNTERS: settings.REDIS_COUNTERS_URL,
        }
        self._clients = {
            number: redisclient.client(url, timeout=TIMEOUT_SECONDS, connect_timeout=CONNECT_SECONDS)
            for number, url in urls.items()
        }

    def read(self) -> Iterator[RedisEntry]:
        """Yield everything that a backup has."""
        # One transaction for the queue: a job that a worker takes or returns meanwhile would otherwise be in
        # none of the lists that are read.
        yield from self._read_keys(1, [key.encode() for key in QUEUE_KEYS])
        yield from self._read_keys(2, [key.encode() for key in CONFIG_KEYS])
        names = self._counters()
        while batch := list(islice(names, BATCH_KEYS)):
            yield from self._read_keys(COUNTERS, batch)

    def has_data(self) -> bool:
        """Return whether the server has jobs or a configuration, which a restore would replace."""
        return bool(self._clients[1].exists(*JOB_KEYS) or self._clients[2].exists(*CONFIG_KEYS))

    def clear(self) -> None:
        """Delete everything that a backup has."""
        self._clients[1].delete(*QUEUE_KEYS)
        self._clients[2].delete(*CONFIG_KEYS)
        redisclient.delete_all(self._clients[COUNTERS])

    def write(self, entries: Iterable[RedisEntry]) -> int:
        """Add entries, and return how many. Keys that have expired since the backup are left out."""
        count, rows = 0, iter(entries)
        while batch := list(islice(rows, BATCH_KEYS)):
            now = self._now()
            for number, client in self._clients.items():
                pipe = client.pipeline(transaction=False)
                for entry in batch:
                    if entry.database == number and (entry.expires is None or entry.expires > now):
                        _add(pipe, entry)
                pipe.execute()
            count += len(batch)
        return count

    def _counters(self) -> Iterator[bytes]:
        names: Iterator[bytes] = self._clients[COUNTERS].scan_iter(count=BATCH_KEYS)
        return (name for name in names if not name.startswith(OF_PROCESSES))

    def _now(self) -> int:
        seconds, micros = self._clients[1].time()
        return int(seconds * 1000 + micros // 1000)

    def _read_keys(self, number: int, names: list[bytes]) -> Iterator[RedisEntry]:
        client = self._clients[number]
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.type(name)
        kinds = {
            name: kind.decode() for name, kind in zip(names, pipe.execute(), strict=True) if kind in READERS
        }
        now, pipe = self._now(), client.pipeline(transaction=True)
        for name, kind in kinds.items():
            pipe.pttl(name)
            READERS[kind.encode()](pipe, name)
        replies = iter(pipe.execute())
        for (name, kind), lifetime, value in zip(kinds.items(), replies, replies, strict=True):
            expires = now + lifetime if lifetime >= 0 else None
            elements = _elements(value)
            for start in range(0, len(elements), LINE_ELEMENTS):
                part = elements[start : start + LINE_ELEMENTS]
                yield RedisEntry(number, name.decode("latin-1"), kind, expires, part)


# A type may change between TYPE and the read only if the key is deleted in between; then the read is empty.
READERS: Final[dict[bytes, Callable[[Any, bytes], Any]]] = {
    b"string": lambda pipe, name: pipe.get(name),
    b"list": lambda pipe, name: pipe.lrange(name, 0, -1),
    b"hash": lambda pipe, name: pipe.hgetall(name),
    b"set": lambda pipe, name: pipe.smembers(name),
    b"zset": lambda pipe, name: pipe.zrange(name, 0, -1, withscores=True),
}


def _elements(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value.decode("latin-1")]
    pairs = value.items() if isinstance(value, dict) else value
    return [_text(element) for element in pairs]


def _text(element: Any) -> Any:
    if isinstance(element, bytes):
        return element.decode("latin-1")
    return [_text(part) for part in element] if isinstance(element, tuple) else element


def _add(pipe: Any, entry: RedisEntry) -> None:
    """Add the elements of an entry to its key."""
    key = entry.key.encode("latin-1")
    if entry.kind == "string":
        pipe.set(key, _bytes(entry.elements[0]))
    elif entry.kind == "list":
        pipe.rpush(key, *map(_bytes, entry.elements))
    elif entry.kind == "set":
        pipe.sadd(key, *map(_bytes, entry.elements))
    elif entry.kind == "hash":
        pipe.hset(key, mapping={_bytes(field): _bytes(value) for field, value in entry.elements})
    elif entry.kind == "zset":
        pipe.zadd(key, {_bytes(member): score for member, score in entry.elements})
    else:
        raise Malformed(f"redis-cache: {entry.key} has the unknown type {entry.kind}")
    if entry.expires is not None:
        pipe.pexpireat(key, entry.expires)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
