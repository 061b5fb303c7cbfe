"""/health/doctor/: a run by a button, its progress and its results."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from threading import Event

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from tecken.doctor import background
from tecken.doctor.checks import Check, CheckResult, failed, ok, warning
from tests.support.sentinel import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]
FINDINGS = {
    "database": ok("SQLite answers."),
    "workers": failed("No worker <runs>.", "Start a worker."),
    "tls": warning("The certificate is valid for 9 days.", "Renew the certificate."),
}
RESULTS = [CheckResult(Check(name, lambda: ok("")), finding, 0.1) for name, finding in FINDINGS.items()]


def text(page: bytes) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.decode())))


def shown(client: Client) -> str:
    reply = client.get("/health/doctor/")
    assert reply.status_code == 200
    return text(reply.content)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """The last result arrives when the event is set."""
    opened = Event()

    def diagnose(*_arguments: object, **_how: object) -> Iterator[CheckResult]:
        yield from RESULTS[:2]
        opened.wait(30)
        yield RESULTS[2]

    monkeypatch.setattr(background, "diagnose", diagnose)
    yield opened
    opened.set()
    wait_until(is_over, 30, "the run is over")


def is_over() -> bool:
    run = background.last_run()
    return run is None or run.is_over


def has_results() -> bool:
    run = background.last_run()
    return run is not None and len(run.document["checks"]) >= 2


def test_doctor_before_a_run_offers_one(client: Client, operator: User) -> None:
    page = shown(client)
    assert "The checks have not run in the last day." in page
    assert "Run all checks" in page


def test_doctor_run_shows_progress_then_results(client: Client, operator: User, gate: Event) -> None:
    page = text(client.post("/health/doctor/", follow=True).content)
    assert "Running" in page
    wait_until(has_results, 30, "two checks are over")
    assert "Database works SQLite answers." in shown(client)
    assert "Round trip running" in shown(client)
    gate.set()
    wait_until(is_over, 30, "the run is over")
    page = shown(client)
    assert "Something does not work" in page
    # Failures come first, then warnings.
    assert page.index("Workers failed No worker <runs>. Next: Start a worker.") < page.index(
        "TLS look at this"
    )
    assert page.index("TLS look at this") < page.index("Database works")


def test_doctor_second_run_at_once_is_refused(client: Client, operator: User, gate: Event) -> None:
    client.post("/health/doctor/")
    assert "A run is in progress" in text(client.post("/health/doctor/", follow=True).content)
    gate.set()
    wait_until(is_over, 30, "the run is over")
    assert "A run is in progress, or ended" in text(client.post("/health/doctor/", follow=True).content)


def test_doctor_viewer_sees_results_and_cannot_run(client: Client, viewer: User) -> None:
    assert "you need the permission runtimeconfig.change_option" in shown(client)
    assert client.post("/health/doctor/").status_code == 403


def test_doctor_run_whose_process_ended_is_reported(client: Client, operator: User, gate: Event) -> None:
    gate.set()
    client.post("/health/doctor/")
    wait_until(is_over, 30, "the run is over")
    row = cache.get(background.RUN_KEY) | {"is_over": False, "started": "2026-01-01T00:00:00+00:00"}
    cache.set(background.RUN_KEY, row)
    assert "The run did not end: its web process has stopped." in shown(client)
    cache.delete(background.RUN_KEY)
