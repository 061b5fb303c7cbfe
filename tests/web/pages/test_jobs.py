"""/jobs/: the queue, and what was given up."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

import tecken.celery  # noqa: F401 - jobs are sent by the current app
from tecken.jobs import keys
from tecken.jobs.records import DeadLetter, backlog, records
from tecken.redisclient import services as redis_services
from tecken.web.pages import jobs
from tests.monitoring.health.conftest import patient, worker
from tests.support.queue_away import queue_away
from tests.web.forms import form_of

__all__ = ["patient", "worker"]  # fixtures
pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>\u202egnp"
LETTER = DeadLetter(
    id="4f1c-1",
    task="tecken.upload.tasks.keep_upload",
    queue="upload",
    why="OSError: No space left on device\nand more",
    died=1_700_000_100.0,
    args=[17],
    kwargs={"try": HOSTILE},
    sent=1_700_000_000.0,
    starts=2,
    retries=1,
    trace="Traceback: in keep_upload",
)
OTHER = replace(LETTER, id="5a", task="tecken.jobs.tasks.clean", queue="housekeeping", died=1_700_000_200.0)
UNREAD = replace(LETTER, id="6b", args=None, died=1_700_000_050.0)


def bury(*letters: DeadLetter) -> None:
    for letter in letters:
        records().store_letter(letter)


def left() -> list[str]:
    return [letter.id for letter in records().letters()]


def shown(client: Client, url: str = "/jobs/") -> str:
    reply = client.get(url)
    assert reply.status_code == 200
    return reply.content.decode()


def text(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def done(client: Client, **fields: str | list[str]) -> str:
    return text(client.post("/jobs/", fields, follow=True).content.decode())


def test_jobs_empty_shows_text(client: Client, viewer: User) -> None:
    page = text(shown(client))
    assert "0 to do" in page
    assert "No job has failed for good." in page
    assert "No worker is running, so jobs wait. Start one: celery -A tecken worker" in page


@pytest.mark.usefixtures("worker")
def test_jobs_shows_queues_and_workers(client: Client, viewer: User) -> None:
    redis_services.queue_client().lpush(keys.waiting("convert", 9), "{}", "{}")
    records().canary("convert", 0.25)
    page = text(shown(client))
    assert "2 to do" in page
    assert re.search(r"convert conversions of symbol files 2 0 \S+ 250 ms \S+ m?s ago", page)
    assert "upload uploads whose client does not wait 0 - - - none yet" in page
    assert "celery@here running 0 0" in page


def test_jobs_of_requests_are_counted_apart(client: Client, viewer: User) -> None:
    for priority in (0, 3, 9):
        redis_services.queue_client().lpush(keys.waiting("convert", priority), "{}")
    assert "convert conversions of symbol files 3 2 " in text(shown(client))


@pytest.mark.parametrize(
    ("held", "seconds", "state"), [(0, 30, "ended"), (2, 30, "lost its jobs return"), (2, 300, "ended")]
)
def test_jobs_silent_worker_is_lost_only_while_its_jobs_return(
    client: Client, viewer: User, held: int, seconds: float, state: str
) -> None:
    report = {"at": time.time() - seconds, "queues": ["convert"], "held": held, "running": 0}
    redis_services.queue_client().hset(keys.WORKERS, "celery@gone", json.dumps(report))
    page = shown(client)
    assert f"celery@gone {state}" in text(page)
    assert ("tag bad" in page) == (state != "ended")


def test_jobs_lists_dead_letters(client: Client, viewer: User) -> None:
    bury(LETTER, OTHER)
    page = shown(client)
    assert re.findall(r'<a href="/jobs/([^"]+)/">', page) == ["5a", "4f1c-1"], "the newest first"
    assert "OSError: No space left on device" in page
    assert "and more" not in page
    page = shown(client, "/jobs/?task=tecken.jobs.tasks.clean")
    assert re.findall(r'<a href="/jobs/([^"]+)/">', page) == ["5a"]
    assert "No failed job of this task." in text(shown(client, "/jobs/?task=other"))


def test_job_shows_dead_letter(client: Client, viewer: User) -> None:
    bury(LETTER)
    page = shown(client, "/jobs/4f1c-1/")
    for said in (
        "2023-11-14 22:15:00 UTC",
        "2, with 1 retry",
        "Traceback: in keep_upload",
        "and more",
        "17",
    ):
        assert said in text(page)
    assert HOSTILE not in page
    assert "\\u202egnp" in page


def test_job_unknown_is_not_found(client: Client, viewer: User) -> None:
    reply = client.get("/jobs/none/")
    assert reply.status_code == 404
    assert "it has been retried or dropped" in reply.content.decode()


def test_jobs_escapes_names(client: Client, operator: User) -> None:
    hostile = DeadLetter(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1.0)
    bury(hostile, replace(hostile, id="two\nlines"))
    for url in ("/jobs/", f"/jobs/{HOSTILE}/"):
        page = shown(client, url)
        assert "<script>" not in page
        seen = re.sub(r"<(option|input)[^>]*>|<a href=[^>]*>", "", page)
        assert "\u202e" not in seen
    page = client.post("/jobs/", {"do": "drop", "job": HOSTILE}).content.decode()
    assert "<script>" not in page


def test_retry_puts_jobs_back(client: Client, operator: User) -> None:
    bury(LETTER, OTHER)
    page = done(client, do="retry", job="4f1c-1")
    assert "1 put back into the queue." in page
    assert left() == ["5a"]
    queues = {queue.name: queue.ready for queue in backlog(redis_services.queue_client()).queues}
    assert queues == {"convert": 0, "upload": 1, "housekeeping": 0}


def test_retry_with_every_takes_listed_jobs(client: Client, operator: User) -> None:
    bury(LETTER, OTHER)
    form = form_of(shown(client, f"/jobs/?task={OTHER.task}"), "shown")
    bury(replace(OTHER, id="came-meanwhile"))
    reply = client.post(form.action, form.fields | {"do": "retry", "every": "on"})
    assert reply["Location"] == f"/jobs/?task={OTHER.task}"
    assert sorted(left()) == ["4f1c-1", "came-meanwhile"]


def test_retry_unreadable_job_stays(client: Client, operator: User) -> None:
    bury(LETTER, UNREAD)
    page = done(client, do="retry", job=["6b", "4f1c-1"])
    assert "1 put back into the queue." in page
    assert "6b: its message cannot be read, so it cannot be sent" in page
    assert left() == ["6b"]
    assert "cannot be retried" in shown(client, "/jobs/6b/")


def test_drop_asks_for_confirmation(client: Client, operator: User) -> None:
    bury(LETTER, OTHER)
    reply = client.post("/jobs/", {"do": "drop", "job": ["4f1c-1", "5a"]})
    page = reply.content.decode()
    assert "Drop 2 jobs?" in page
    assert len(left()) == 2
    form = form_of(page, "job")
    assert "1 dropped." in done(client, **form.fields, do="forget")
    assert left() == ["4f1c-1"]


def test_action_on_absent_job_shows_warning(client: Client, operator: User) -> None:
    for do in ("retry", "forget"):
        assert "1 had been retried or dropped already." in done(client, do=do, job="gone")
    assert "No job was chosen." in done(client, do="retry")


def test_unknown_action_is_400(client: Client, operator: User) -> None:
    assert client.post("/jobs/", {"do": "explode", "job": "4f1c-1"}).status_code == 400


@pytest.mark.parametrize("do", ["retry", "drop", "forget"])
def test_action_of_viewer_is_forbidden(client: Client, viewer: User, do: str) -> None:
    bury(LETTER)
    for url in ("/jobs/", "/jobs/4f1c-1/"):
        assert "Retry" not in re.findall(r"<button[^>]*>(.*?)</button>", shown(client, url))
    assert client.post("/jobs/", {"do": do, "job": "4f1c-1"}).status_code == 403
    assert left() == ["4f1c-1"]


def test_jobs_of_many_has_pages(
    client: Client,
    viewer: User,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    monkeypatch.setattr(jobs, "MAX_READ", 60)
    bury(*[replace(LETTER, id=f"{number}", died=1e9 + number) for number in range(70)])
    with django_assert_max_num_queries(10):
        page = shown(client)
    assert len(re.findall(r'<a href="/jobs/\d+/">', page)) == 50
    assert "page 1 of 2" in page
    assert "60 of 70 failed jobs are listed." in page
    assert len(page) < 60_000
    assert "page 2 of 2" in shown(client, "/jobs/?page=2")
    assert "page 2 of 2" in shown(client, "/jobs/?page=99")


def test_jobs_queue_down_shows_text(client: Client, operator: User) -> None:
    with queue_away():
        page = shown(client)
        assert "The queue, on redis-cache, does not answer (ConnectionError)" in text(page)
        reply = client.post("/jobs/", {"do": "retry", "job": "4f1c-1"})
        assert reply.status_code == 503
        assert "The queue does not answer." in reply.content.decode()
        assert client.get("/jobs/4f1c-1/").status_code == 503
