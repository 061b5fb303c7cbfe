"""manage.py doctor on a whole site, with each of its parts down in turn, and behind nginx with TLS."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from tecken.jobs import keys
from tecken.jobs.records import Records, backlog
from tests.support.redis_server import free_port
from tests.support.sentinel import wait_until
from tests.support.tls import Papers, papers
from tests.system.site import Site

pytestmark = pytest.mark.xdist_group("doctor")  # all tests share a site
WITHIN = 60.0  # seconds


class Outcome(NamedTuple):
    """Exit status, the document, and the result and text of each check."""

    status: int
    document: dict[str, Any]

    def result(self, name: str) -> str:
        return str(self._check(name)["result"])

    def text(self, name: str) -> str:
        return str(self._check(name)["text"])

    def next(self, name: str) -> str:
        return str(self._check(name)["next"])

    @property
    def failures(self) -> set[str]:
        return {check["id"] for check in self.document["checks"] if check["result"] == "failed"}

    def _check(self, name: str) -> dict[str, Any]:
        return next(check for check in self.document["checks"] if check["id"] == name)


def doctor(site: Site, url: str, *arguments: str, **environment: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json", "--url", url, *arguments],
        env={**site._environment, **environment},
        cwd=site.code,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout, done.stderr
    return Outcome(done.returncode, json.loads(done.stdout))


def queue_of(site: Site) -> redis.Redis:
    return redis.Redis.from_url(f"{site.cache.url}/1")


def pretend_beat(site: Site) -> None:
    """Record what a beat and its test jobs leave, without waiting for them."""
    queue = queue_of(site)
    queue.set(keys.BEAT, "a test", ex=600)
    for name in keys.QUEUES:
        Records(queue).canary(name, 0.01)


def has_worker(site: Site) -> bool:
    # A worker that has just started takes no jobs yet, and one that was killed is listed for a while.
    return any(worker.alive and worker.queues for worker in backlog(queue_of(site)).workers)


def names_in(home: Path) -> list[str]:
    return [path.name for path in (home / "storage").rglob("*") if "doctor" in str(path)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[Site]:
    with Site(home) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    wait_until(lambda: has_worker(running), WITHIN, "a worker runs")
    pretend_beat(running)
    return running


def test_doctor_of_a_site_without_problems_returns_0_and_leaves_nothing(site: Site, home: Path) -> None:
    outcome = doctor(site, site.url)
    assert outcome.status == 0, outcome.document
    assert outcome.document["status"] == "ok"
    assert outcome.result("tls") == "skipped"
    assert "uploaded in" in outcome.text("round-trip")
    assert "deleted in" in outcome.text("round-trip")
    assert names_in(home) == []
    counts = "from django.contrib.auth.models import User; from tecken.upload.models import Upload; "
    rows = site.manage("shell", "-c", counts + "print(User.objects.count(), Upload.objects.count())")
    assert rows.splitlines()[-1] == "0 0"


def test_doctor_without_a_url_runs_the_round_trip_in_its_process(site: Site) -> None:
    outcome = doctor(site, "")
    assert outcome.status == 0, outcome.document
    assert (outcome.result("round-trip"), outcome.result("proxies")) == ("ok", "skipped")


def test_doctor_prints_text_without_colours_into_a_pipe(site: Site) -> None:
    text = site.manage("doctor", "--skip", "round-trip", "clock")
    assert "✓ database" in text
    assert "\x1b" not in text
    assert "skipped;" in text.splitlines()[-1]


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({"DATABASE_URL": "sqlite:////nowhere/tecken.sqlite3"}, "database"),
        ({"STORAGE_URL": "file:///proc/nowhere"}, "storage"),
        ({"REDIS_STORE_URL": "redis://127.0.0.1:1"}, "redis-store"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "redis-cache"),
        ({"SECRET_KEY": ""}, "settings"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_doctor_with_one_part_unreachable_names_it_and_the_next_step(
    site: Site, environment: dict[str, str], part: str
) -> None:
    outcome = doctor(site, site.url, **environment)
    assert part in outcome.failures
    assert outcome.next(part)
    assert outcome.status in (os.EX_TEMPFAIL, os.EX_CONFIG)
    if part in ("redis-cache", "database", "storage"):
        assert part in outcome.text("round-trip")


def test_doctor_without_beat_fails(site: Site) -> None:
    queue_of(site).delete(keys.BEAT)
    outcome = doctor(site, site.url, "--skip", "round-trip")
    assert (outcome.failures, outcome.status) == ({"beat"}, os.EX_CONFIG)


def test_doctor_without_a_worker_skips_the_round_trip(site: Site) -> None:
    site.stop_worker()
    try:
        outcome = doctor(site, site.url)
        assert outcome.failures == {"workers"}
        assert outcome.text("round-trip") == "Not checked, because it needs what failed: workers."
    finally:
        site.start_worker()


def test_doctor_without_a_web_server_may_pass(site: Site) -> None:
    outcome = doctor(site, f"http://127.0.0.1:{free_port()}")
    assert (outcome.failures, outcome.status) == ({"site"}, os.EX_TEMPFAIL)
    assert "cannot be reached" in outcome.text("site")


def test_doctor_interrupted_during_the_round_trip_leaves_nothing(site: Site, home: Path) -> None:
    for pid in _workers(site):
        os.kill(pid, signal.SIGSTOP)
    try:
        command = [sys.executable, "manage.py", "doctor", "--url", site.url]
        process = subprocess.Popen(command, env=site._environment, cwd=site.code)
        wait_until(lambda: names_in(home) != [], WITHIN, "the debug file is stored")
        process.terminate()
        assert process.wait(60) != 0
        assert names_in(home) == []
    finally:
        for pid in _workers(site):
            os.kill(pid, signal.SIGCONT)


def _workers(site: Site) -> list[int]:
    assert site._worker
    children = Path(f"/proc/{site._worker.pid}/task/{site._worker.pid}/children").read_text().split()
    return [site._worker.pid, *map(int, children)]


# Behind nginx

NGINX = """
daemon off; pid {home}/nginx.pid; error_log {home}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {pem};
    location / {{ proxy_pass {to}; {headers} }}
  }}
}}
"""
RIGHT = (
    "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme; "
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
)
Proxy = Callable[[str], str]


@pytest.fixture(scope="module")
def certificate() -> Iterator[Papers]:
    with papers() as made:
        yield made


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    with Site(tmp_path_factory.mktemp("secure"), TRUSTED_PROXIES="1", HTTPS_ONLY="true") as site:
        wait_until(lambda: has_worker(site), WITHIN, "a worker runs")
        yield site


@pytest.fixture
def proxy(secure: Site, certificate: Papers, tmp_path: Path) -> Iterator[Proxy]:
    """Return a function that starts nginx with these headers before the site, and returns its URL."""
    started: list[subprocess.Popen[bytes]] = []
    pretend_beat(secure)

    def start(headers: str) -> str:
        port, pem = free_port(), certificate.certificate
        text = NGINX.format(home=tmp_path, port=port, pem=pem, to=secure.url, headers=headers)
        (tmp_path / "nginx.conf").write_text(text)
        started.append(subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf")]))
        wait_until((tmp_path / "nginx.pid").exists, WITHIN, "nginx runs")
        return f"https://127.0.0.1:{port}"

    yield start
    for process in started:
        process.terminate()
        process.wait(15)


def test_doctor_behind_a_right_proxy_returns_0(secure: Site, proxy: Proxy, certificate: Papers) -> None:
    outcome = doctor(secure, proxy(RIGHT), SSL_CERT_FILE=str(certificate.authority))
    assert {outcome.result(name) for name in ("site", "proxies", "round-trip")} == {"ok"}, outcome.document
    assert "through 1 proxy, over https" in outcome.text("proxies")
    assert outcome.text("tls").startswith("The certificate is valid for ")


def test_doctor_with_a_certificate_of_an_unknown_authority_fails(secure: Site, proxy: Proxy) -> None:
    outcome = doctor(secure, proxy(RIGHT))
    assert {"site", "tls"} <= outcome.failures
    assert "is not valid" in outcome.text("tls")
    assert outcome.status == os.EX_CONFIG


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (RIGHT.replace("$scheme", "$http_x_forwarded_proto"), "redirects a request"),
        (RIGHT.replace("$proxy_add_x_forwarded_for", "$http_x_forwarded_for"), "clients can forge theirs"),
        (RIGHT.replace("$http_host", "localhost"), "The site receives the host name localhost"),
        (RIGHT.replace("$http_host", "evil.example"), "The site refuses the host name"),
    ],
    ids=["proto", "address", "host", "allowed"],
)
def test_doctor_behind_a_wrong_proxy_names_the_header(
    secure: Site, proxy: Proxy, certificate: Papers, headers: str, text: str
) -> None:
    outcome = doctor(secure, proxy(headers), SSL_CERT_FILE=str(certificate.authority))
    assert text in outcome.text("proxies"), outcome.document
    assert outcome.next("proxies")
