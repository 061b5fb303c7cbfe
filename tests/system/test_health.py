"""Health of a real web server in production."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.redis_server import RedisServer
from tests.support.sentinel import wait_until
from tests.system.site import Site

SOON = 60.0  # seconds
SMALL: dict[str, Any] = {"memoryMap": [], "stacks": [[]]}


class Production(Site):
    """Site started by an operator with `python -m run.web`. Checks have long deadlines for a busy machine."""

    def __init__(self, home: Path, **environment: str) -> None:
        fixed = {"ENVIRONMENT": "production", "HEALTH_CHECK_SECONDS": "20"}
        super().__init__(home, None, **fixed, **environment)

    def start_web(self) -> None:
        super().start_web()

    web = ("-m", "run.web")

    def ask(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def says(self, path: str, status: int) -> bool:
        return self.ask(path).status_code == status

    def tell_to_end(self) -> None:
        assert self._web
        os.kill(self._web.pid, signal.SIGTERM)

    def exit_status(self) -> int:
        assert self._web
        return self._web.wait(SOON)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Production]:
    with Production(tmp_path) as made:
        well(made)
        yield made


def test_health_names_each_stopped_server_until_it_returns(site: Production) -> None:
    for away, back in ((RedisServer.pause, RedisServer.resume), (RedisServer.kill, RedisServer.start)):
        away(site.store)
        missed(site, "store", 200)
        back(site.store)
        well(site)
        away(site.cache)
        missed(site, "redis", 503)
        back(site.cache)
        well(site)


def missed(site: Production, part: str, status: int) -> None:
    def is_missed() -> bool:
        return bool(site.ask("/health").json()[part]["status"] == "disconnected")

    wait_until(is_missed, SOON, f"{part} is missed")
    assert site.ask("/health").status_code == status
    assert site.symbolicate(SMALL).status_code == 200
    for path in ("/health/live", "/health/ready"):
        assert site.ask(path).status_code == 200


def well(site: Production) -> None:
    wait_until(lambda: site.ask("/health").json()["status"] == "healthy", SOON, "all is well")


def test_ready_while_draining_is_503_and_requests_are_served(tmp_path: Path) -> None:
    with Production(tmp_path, DRAIN_SECONDS="3600") as site:
        assert site.says("/health/ready", 200)
        site.tell_to_end()
        wait_until(lambda: site.says("/health/ready", 503), SOON, "it is not ready")
        assert site.symbolicate(SMALL).status_code == 200
        assert site.says("/health/live", 200)
        site.tell_to_end()
        assert site.exit_status() == 0
