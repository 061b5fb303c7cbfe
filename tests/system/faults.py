"""Faults of the parts of a site, and the requests that are served in spite of each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from threading import Event, Thread
from typing import Any, NamedTuple

import redis

from tests.support.load import KINDS, Answer, Kind
from tests.support.redis_server import RedisServer
from tests.support.sentinel import SentinelPair
from tests.system.faulty import FaultySite, FollowingSite, PostgresSite, S3Site

JUNK = 9  # the database where what fills a server is
JUNK_BYTES = 20_000
NAP = 0.3  # seconds a slow server sleeps, again and again
WRONG = "not-what-the-site-knows"


class Fault(NamedTuple):
    """`during` lasts as long as the fault; `spared` is what is served all the same."""

    name: str
    what: str
    during: Callable[[Any], AbstractContextManager[None]]
    spared: frozenset[Kind]
    site: type[FaultySite] = FaultySite
    hangs_up: bool = False
    """Connections end with the process that had them."""

    def excuses(self, answer: Answer) -> bool:
        return self.hangs_up and answer.status == 0


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def muted(server: RedisServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def repeated(act: Callable[[], object], pause: float) -> Iterator[None]:
    """Repeat the action in a thread until the end."""
    over = Event()

    def go_on() -> None:
        while not over.wait(pause):
            with suppress(redis.RedisError):
                act()

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def slow(server: RedisServer) -> Iterator[None]:
    with (
        redis.Redis.from_url(server.url) as client,
        repeated(lambda: client.execute_command("DEBUG", "SLEEP", NAP), 0.05),
    ):
        yield


@contextmanager
def dropping(server: RedisServer) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client, repeated(partial(drop, client), 0.1):
        yield


def drop(client: redis.Redis) -> None:
    """Every connection but ours is closed."""
    client.client_kill_filter(_type="normal", skipme=True)
    client.client_kill_filter(_type="pubsub", skipme=True)


@contextmanager
def full(server: RedisServer) -> Iterator[None]:
    """Fill a server with keys that are never evicted, or that were used later than all others."""
    with redis.Redis.from_url(server.url.removesuffix("0") + str(JUNK)) as client:
        before = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 2**20)
        number = iter(range(10**9))
        try:
            with repeated(lambda: client.set(f"junk:{next(number)}", b"x" * JUNK_BYTES), 0.001):
                yield
        finally:
            client.config_set("maxmemory", before)
            client.flushdb()


@contextmanager
def password_rotated(server: RedisServer) -> Iterator[None]:
    """Change the password, so that the site has an invalid one."""
    with redis.Redis.from_url(server.url) as client:
        server.set_site_password(WRONG)
        drop(client)
        try:
            yield
        finally:
            server.set_site_password()


@contextmanager
def without_worker(site: FaultySite) -> Iterator[None]:
    site.kill_worker()
    try:
        yield
    finally:
        site.start_worker()


@contextmanager
def web_process_killed(site: FaultySite) -> Iterator[None]:
    site.kill_one_web_process()
    yield


@contextmanager
def failing_over(pair: SentinelPair) -> Iterator[None]:
    """Kill the master, so that the other server replaces it. At the end the old one replicates it."""
    pair.master.kill()
    pair.wait_for_other()
    try:
        yield
    finally:
        pair.other.start()


@contextmanager
def database_killed(site: PostgresSite) -> Iterator[None]:
    site.database.kill()
    try:
        yield
    finally:
        site.database.restart()


@contextmanager
def database_muted(site: PostgresSite) -> Iterator[None]:
    site.database.pause()
    try:
        yield
    finally:
        site.database.resume()


@contextmanager
def s3_muted(site: S3Site) -> Iterator[None]:
    site.signal_s3(signal.SIGSTOP)
    try:
        yield
    finally:
        site.signal_s3(signal.SIGCONT)


EVERYTHING: frozenset[Kind] = frozenset(KINDS)
READING: frozenset[Kind] = frozenset({"warm", "download"})


def of_redis(name: str, server: Callable[[FaultySite], RedisServer], spared: frozenset[Kind]) -> list[Fault]:
    def fault(word: str, what: str, during: Callable[[RedisServer], AbstractContextManager[None]]) -> Fault:
        return Fault(f"{name}-{word}", f"{name}: {what}", lambda site: during(server(site)), spared)

    return [
        fault("killed", "kill -9", killed),
        fault("mute", "SIGSTOP", muted),
        fault("slow", f"DEBUG SLEEP {NAP}, again and again", slow)._replace(spared=EVERYTHING),
        fault("dropping", "CLIENT KILL of all connections, ten times a second", dropping),
        fault("full", "filled beyond maxmemory", full),
        fault("password", "another password", password_rotated),
    ]


FAULTS = [
    *of_redis("store", lambda site: site.store, EVERYTHING),
    *of_redis("cache", lambda site: site.cache, READING),
    Fault(
        "store-failover",
        "store: the master is killed",
        lambda site: failing_over(site.store_pair),
        EVERYTHING,
        FollowingSite,
    ),
    Fault(
        "cache-failover",
        "cache: the master is killed",
        lambda site: failing_over(site.cache_pair),
        READING,
        FollowingSite,
    ),
    Fault("worker-killed", "worker: kill -9", without_worker, READING | {"upload", "job"}),
    Fault("web-killed", "one of two web processes: kill -9", web_process_killed, EVERYTHING, hangs_up=True),
    Fault("storage-mute", "S3: SIGSTOP", s3_muted, frozenset({"warm"}), S3Site),
]
NEEDS_POSTGRES = [
    Fault(
        "database-killed", "PostgreSQL: stopped at once", database_killed, READING | {"cold"}, PostgresSite
    ),
    Fault("database-mute", "PostgreSQL: SIGSTOP", database_muted, READING | {"cold"}, PostgresSite),
]
