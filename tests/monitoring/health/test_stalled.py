"""Canaries that do not get through, full disks and dead letters, in /health and on the pages."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.jobs import keys
from tecken.jobs.keys import QUEUES
from tecken.jobs.records import DeadLetter, records
from tecken.monitoring import degraded
from tecken.monitoring.degraded import LATE_SECONDS, CanaryWatch
from tecken.monitoring.health.probes import probe_runner
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.django_db

PAGES = ("/health/", "/")


def status(client: Client) -> dict[str, Any]:
    """Return a new health document."""
    probe_runner.cache_clear()
    document: dict[str, Any] = client.get("/health").json()
    return document


def text(client: Client, url: str) -> str:
    page = client.get(url, headers={"accept": "text/html"}).content.decode()
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """`later()`: from here on this process has run for long enough to expect canaries."""
    now = [0.0]
    watch = CanaryWatch(lambda: now[0])
    # A watch with a clock of the test instead of the one that the process has built.
    monkeypatch.setattr(degraded, "canary_watch", lambda: watch)

    def jump() -> None:
        now[0] += LATE_SECONDS

    return jump


@pytest.fixture
def beat() -> None:
    """Record a running beat on redis-cache."""
    redis_services.queue_client().set(keys.BEAT, "token")


def send_canaries(age: float = 0.0) -> None:
    """Record canaries that ended so many seconds ago."""
    seconds, micros = redis_services.queue_client().time()
    ended = seconds + micros / 1e6 - age
    redis_services.queue_client().hset(keys.CANARIES, mapping=dict.fromkeys(QUEUES, f"0.1 {ended}"))


@pytest.mark.usefixtures("worker", "beat")
def test_health_with_fresh_canaries_is_healthy(client: Client, later: Callable[[], None]) -> None:
    later()
    send_canaries(LATE_SECONDS - 30)
    document = status(client)
    assert (document["status"], document["beat"]["status"]) == ("healthy", "alive")
    assert document["beat"]["canary_age_seconds"] == pytest.approx(30, abs=25)


@pytest.mark.usefixtures("worker")
def test_health_after_start_with_old_canaries_is_healthy(client: Client, later: Callable[[], None]) -> None:
    send_canaries(86_400)
    document = status(client)
    assert (document["status"], document["beat"]["status"]) == ("healthy", "starting")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("age", [LATE_SECONDS + 30, None])
def test_health_without_beat_is_unhealthy_with_reason(
    client: Client, settings: Settings, later: Callable[[], None], age: float | None
) -> None:
    """With 200 even in production: every other site of the same queue has the same trouble."""
    settings.ENVIRONMENT = "production"
    later()
    if age:
        send_canaries(age)
    reply = client.get("/health")
    document = reply.json()
    assert (reply.status_code, document["status"]) == (200, "unhealthy")
    assert document["state"] == ["jobs-stalled"]
    assert document["beat"]["status"] == "stalled"
    assert document["beat"]["why"].startswith("no beat is running; the last test job came through convert ")
    assert document["problems"] == [f"jobs are stalled: {document['beat']['why']}"]
    for url in PAGES:
        assert "All is well" not in text(client, url)


@pytest.mark.usefixtures("beat")
def test_health_without_worker_names_the_queues(client: Client, later: Callable[[], None]) -> None:
    later()
    send_canaries(LATE_SECONDS + 30)
    document = status(client)
    assert document["status"] == "unhealthy"
    assert document["beat"]["why"].startswith("no worker takes jobs of convert, upload, housekeeping;")


@pytest.mark.usefixtures("worker", "beat")
def test_health_with_stuck_workers_is_unhealthy(client: Client, later: Callable[[], None]) -> None:
    later()
    send_canaries(LATE_SECONDS + 30)
    assert status(client)["beat"]["why"].startswith("all workers are busy or stuck;")


@pytest.mark.usefixtures("worker")
def test_health_under_maintenance_expects_no_canary(client: Client, later: Callable[[], None]) -> None:
    later()
    current.backend().set_maintenance("full", format_maintenance(Maintenance()), None)
    try:
        document = status(client)
        assert (document["status"], document["beat"]["status"]) == ("healthy", "paused")
        assert "Under maintenance healthy" in text(client, "/health/")
        for url in PAGES:
            assert "All is well" not in text(client, url)
    finally:
        current.backend().set_maintenance("full", None, None)
    assert status(client)["beat"]["status"] == "starting"


@pytest.mark.usefixtures("worker")
def test_health_with_dead_letters_is_degraded(client: Client) -> None:
    records().store_letter(DeadLetter("1", "any", "upload", "No space left on device", 1.0))
    document = status(client)
    assert document["status"] == "degraded"
    assert document["problems"] == [
        "1 job has failed for good: read the reasons at /jobs/, then retry or drop"
    ]
    for url in PAGES:
        assert "Something needs attention" in text(client, url)


@pytest.fixture
def disk(tmp_path: Path, settings: Settings) -> Iterator[SmallDisk]:
    """Provide a small disk for the storage."""
    with small_disk(tmp_path / "small") as disk:
        settings.STORAGE_URL = disk.directory.as_uri()
        services.discard_all()
        yield disk
        services.discard_all()


@pytest.mark.usefixtures("worker")
def test_health_with_nearly_full_disk_is_degraded_until_there_is_room(
    client: Client, disk: SmallDisk
) -> None:
    disk.fill(leave=1 << 20)
    document = status(client)
    reason = "the disk of storage is full: 1,048,576 bytes are free, 1,258,291 are kept free"
    assert document["status"] == "degraded"
    assert document["state"] == ["disk-full"]
    assert document["storage"] == {"status": "full", "why": reason}
    assert (document["disk"]["status"], document["disk"]["free_bytes"]["storage"]) == ("full", 1 << 20)
    assert document["problems"] == [reason]
    assert "Disk full the disk of storage is full" in text(client, "/health/")
    for url in PAGES:
        assert "All is well" not in text(client, url)
    disk.make_room()
    services.discard_all()
    assert status(client)["status"] == "healthy"
    assert degraded.degraded_states() == ("ok",)
