"""Failure and recovery of parts of a site under load.

Whichever part fails: no wrong answer, no 500, no hang, and no restart of the site.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
import redis

from tests.support.http_upstream import HttpUpstream, Reply
from tests.system.site import Site

pytestmark = pytest.mark.xdist_group("failures")  # all tests share a site

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
STACK = json.loads((SAMPLES / "stack.json").read_text())
WAIT = 6.0  # seconds a request waits for a cold module
Symbols = dict[str, bytes]


@pytest.fixture(scope="module")
def symbols() -> Symbols:
    return {f"/{file.relative_to(SAMPLES)}": file.read_bytes() for file in SAMPLES.glob("*/*/*.sym")}


@pytest.fixture(scope="module")
def upstream(symbols: Symbols) -> Iterator[HttpUpstream]:
    with HttpUpstream().running() as running:
        running.script |= {path: Reply(body=body) for path, body in symbols.items()}
        yield running


@pytest.fixture(scope="module")
def site(upstream: HttpUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    options = {"symbolicate_deadline_seconds": WAIT, "absent_seconds": 1, "unreachable_seconds": 1}
    with Site(home, options, SYMBOL_SOURCES=upstream.url) as running:
        while running.symbolicate(STACK).status_code != 200:
            pass  # each try waits for the worker
        yield running


@pytest.fixture(scope="module")
def answer(site: Site) -> Any:
    return found(site.symbolicate(STACK).json())


def found(reply: Any) -> Any:
    """Return a response without the modules that are absent or were not found in time."""
    return [
        (job["stacks"], [module for module, known in job["found_modules"].items() if known])
        for job in reply["results"]
    ]


class Load:
    """Asks over and over; `seen` counts statuses, `wrong` has the answers that differ."""

    def __init__(self, site: Site, answer: Any) -> None:
        self._site = site
        self._answer = answer
        self._enough = Event()
        self.seen: Counter[int] = Counter()
        self.wrong: list[str] = []

    @contextmanager
    def going(self) -> Iterator[None]:
        threads = [Thread(target=self._ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._enough.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        while not self._enough.is_set():
            reply = self._site.symbolicate(STACK)
            self.seen[reply.status_code] += 1
            if reply.status_code == 200 and found(reply.json()) != self._answer:
                self.wrong.append(reply.text)


def ask(site: Site, answer: Any, times: int = 5) -> None:
    """Send requests one after the other while a part has failed."""
    for _ in range(times):
        reply = site.symbolicate(STACK)
        assert (reply.status_code, found(reply.json())) == (200, answer)


def flush_store(site: Site) -> None:
    with redis.Redis.from_url(site.store.url) as client:
        client.flushall()


def test_store_flushed_stopped_and_muted_under_load_loses_no_request(site: Site, answer: Any) -> None:
    load = Load(site, answer)
    with load.going():
        for _ in range(5):
            flush_store(site)
            ask(site, answer)
        site.store.stop()
        ask(site, answer)
        site.store.start()
        ask(site, answer)
        site.store.pause()
        ask(site, answer)
        site.store.resume()
        ask(site, answer)
    assert set(load.seen) == {200}
    assert load.wrong == []


def test_redis_cache_stopped_and_muted_under_load_loses_no_warm_request(site: Site, answer: Any) -> None:
    load = Load(site, answer)
    with load.going():
        site.cache.stop()
        ask(site, answer)
        site.cache.start()
        ask(site, answer)
        site.cache.pause()
        ask(site, answer)
        site.cache.resume()
        ask(site, answer)
    assert set(load.seen) == {200}
    assert load.wrong == []


def renamed(symbols: Symbols, debug_file: str) -> tuple[str, bytes, Any]:
    """Return a new module: its path, its symbol file, a request for one frame of it."""
    path, body = next((path, body) for path, body in symbols.items() if path.endswith("crash-c.sym"))
    module = [debug_file, path.split("/")[2]]
    request = {"memoryMap": [module], "stacks": [[[0, 0x1180]]]}
    return f"/{debug_file}/{module[1]}/{debug_file}.sym", body, request


def assert_found_soon(site: Site, request: Any) -> None:
    deadline = monotonic() + 30
    reply = site.symbolicate(request)
    while reply.status_code == 503 and monotonic() < deadline:
        reply = site.symbolicate(request)
    assert reply.json()["results"][0]["found_modules"] == {"/".join(request["memoryMap"][0]): True}


def test_cold_module_without_a_worker_is_503_until_one_starts(
    site: Site, upstream: HttpUpstream, symbols: Symbols
) -> None:
    path, body, request = renamed(symbols, "late.so")
    upstream.script[path] = Reply(body=body)
    site.stop_worker()
    reply = site.symbolicate(request)
    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) > 0
    assert "no worker has taken it up" in reply.json()["error"]
    site.start_worker()
    assert_found_soon(site, request)


def test_cold_module_without_redis_cache_is_503_until_it_returns(
    site: Site, upstream: HttpUpstream, symbols: Symbols
) -> None:
    path, body, request = renamed(symbols, "later.so")
    upstream.script[path] = Reply(body=body)
    site.cache.stop()
    reply = site.symbolicate(request)
    assert reply.status_code == 503
    assert "redis-cache" in reply.json()["error"]
    site.cache.start()
    assert_found_soon(site, request)
