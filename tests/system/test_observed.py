"""A site that is watched: its lines, its traces, its errors, and what its worker counts."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx
import orjson
import pytest

from tests.support.background_server import BackgroundServer
from tests.support.redis_server import free_port
from tests.system.site import Site

pytestmark = pytest.mark.xdist_group("observed")  # all tests share a site

WITHIN = 60.0  # seconds, on a busy machine
ID = "from-a-client:1"
TOKEN = "0123abcd" * 8
SESSION = "of-a-session"
COLD = {"memoryMap": [["cold.pdb", "44E4EC8C2F41492B9369D6B9A059577C2"]], "stacks": [[[0, 1]]]}


class Collector(NamedTuple):
    """Takes whatever is posted to it."""

    url: str
    posts: list[tuple[str, bytes]]
    arrived: threading.Condition

    def wait_for(self, path: str, *words: bytes) -> bytes:
        """Return the first body posted to `path` that contains all words."""

        def found() -> bytes | None:
            bodies = (body for where, body in self.posts if where.startswith(path))
            return next((body for body in bodies if all(word in body for word in words)), None)

        with self.arrived:
            body = self.arrived.wait_for(found, WITHIN)
        assert body is not None, [where for where, _ in self.posts]
        return body


def collector_of(
    posts: list[tuple[str, bytes]], arrived: threading.Condition
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            packed = self.headers.get("Content-Encoding") == "gzip"
            with arrived:
                posts.append((self.path, gzip.decompress(body) if packed else body))
                arrived.notify_all()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    posts: list[tuple[str, bytes]] = []
    arrived = threading.Condition()
    server = ThreadingHTTPServer(("127.0.0.1", 0), collector_of(posts, arrived))
    with BackgroundServer(server):
        yield Collector(f"127.0.0.1:{server.server_port}", posts, arrived)


class Watched(NamedTuple):
    site: Site
    home: Path
    worker_port: int

    def lines(self) -> list[dict[str, Any]]:
        """Those of ours: until logging is set up, others may write to the same place."""
        text = (self.home / "log").read_text()
        return [orjson.loads(line) for line in text.splitlines() if line.startswith("{")]

    def wait_for_line(self, **fields: object) -> dict[str, Any]:
        deadline = monotonic() + WITHIN
        while monotonic() < deadline:
            for line in self.lines():
                if line.items() >= fields.items():
                    return line
        raise AssertionError((self.home / "log").read_text())

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"X-Request-Id": ID, "Cookie": f"sessionid={SESSION}"}
        return httpx.request(method, self.site.url + path, headers=headers, timeout=30, **more)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Watched]:
    home, port = tmp_path_factory.mktemp("watched"), free_port()
    counted = home / "counted"
    counted.mkdir()
    environment = {
        "LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.url}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",  # milliseconds
        "SENTRY_DSN": f"http://a-public-key@{collector.url}/7",
        "PROMETHEUS_MULTIPROC_DIR": str(counted),
        "WORKER_METRICS_PORT": str(port),
    }
    with Site(home, {"log_requests": "on"}, **environment) as site:
        yield Watched(site, home, port)


def test_log_of_a_job_has_the_id_of_its_request(watched: Watched) -> None:
    answer = watched.ask("POST", "/symbolicate/v5", json=COLD)
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (200, ID)
    request = watched.wait_for_line(logger="tecken.requests", path="/symbolicate/v5", request_id=ID)
    job = watched.wait_for_line(logger="celery.app.trace", request_id=ID)
    assert (request["status"], request["method"], request["address"]) == (200, "POST", "127.0.0.1")
    assert request["seconds"] > 0
    assert (job["level"], job["config_version"]) == ("info", request["config_version"])
    assert job["task_id"] in job["event"]
    assert job["pid"] != request["pid"]
    received = watched.wait_for_line(task_id=job["task_id"], logger="celery.worker.strategy")
    assert "received" in received["event"]


def test_trace_of_a_request_includes_its_jobs(watched: Watched, collector: Collector) -> None:
    watched.ask("POST", "/symbolicate/v5", json=COLD)
    web = collector.wait_for("/v1/traces", b"service.name", b"tecken", b"symbolicate/v5")
    worker = collector.wait_for("/v1/traces", b"run/tecken.symbolicate.tasks.prepare")
    for body in (web, worker):
        assert SESSION.encode() not in body


def test_error_report_has_no_secrets(watched: Watched, collector: Collector) -> None:
    (watched.home / "tecken.sqlite3").rename(watched.home / "away.sqlite3")
    try:
        headers = {"Auth-Token": TOKEN, "Cookie": f"sessionid={SESSION}", "X-Request-Id": ID}
        answer = httpx.get(f"{watched.site.url}/api/tokens/?token={TOKEN}", headers=headers, timeout=30)
    finally:
        (watched.home / "away.sqlite3").rename(watched.home / "tecken.sqlite3")
    assert answer.status_code >= 500
    event = collector.wait_for("/api/7/envelope/", b"OperationalError", ID.encode())
    for secret in (TOKEN, SESSION):
        assert secret.encode() not in event
        assert secret not in (watched.home / "log").read_text()
    failed = watched.wait_for_line(logger="tecken.requests", status=answer.status_code)
    assert failed["level"] == "error"
    assert re.search("no such table|unable to open", watched.wait_for_line(level="error")["exception"])


def test_worker_metrics_are_served_on_their_port(watched: Watched) -> None:
    watched.ask("POST", "/symbolicate/v5", json=COLD)
    watched.wait_for_line(logger="celery.app.trace")
    for url in (f"http://127.0.0.1:{watched.worker_port}/metrics", f"{watched.site.url}/metrics"):
        told = httpx.get(url, timeout=30).text
        assert re.search(r'^tecken_preparations_total\{result="\w+"\} [1-9]', told, re.MULTILINE)
