"""`/`: a page for people, and what it always was for programs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from tecken import services
from tecken.accounts.tokens import issue
from tecken.monitoring.health.measurements import SERIES_KEY
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tecken.upload.models import Upload
from tecken.web.charts import load_activity
from tests.web.api.people import person

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NOWHERE = "redis://127.0.0.1:1/0"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def afresh(settings: Any, clear_redis_store: None) -> Iterator[None]:
    settings.HEALTH_CHECK_SECONDS = 30.0  # a busy machine makes nothing late
    services.discard_all()
    yield
    services.discard_all()


def home(client: Client) -> str:
    reply = client.get("/", headers=HTML)
    assert (reply.status_code, reply["Content-Type"]) == (200, "text/html; charset=utf-8")
    return reply.content.decode()


def took(seconds: float, hits: int, misses: int, requests: int | None) -> None:
    """A sample of that many seconds ago."""
    store = [100, 1000, 3, hits, misses, 0]
    redis_services.counters_client().rpush(
        SERIES_KEY, json.dumps([time.time() - seconds, None, store, requests, 0])
    )


def test_home_for_programs_is_unchanged(client: Client) -> None:
    reply = client.get("/")
    assert (reply["Content-Type"], reply.content) == (
        "text/plain",
        b"Tecken: POST stacks to /symbolicate/v5\n",
    )
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert "Accept" in reply["Vary"]
    for headers in ({}, HTML):
        assert client.post("/", headers=headers).status_code == 410
        assert client.put("/", headers=headers).status_code == 405


def test_home_anonymous_shows_introduction(client: Client) -> None:
    reply = client.get("/", headers=HTML)
    page = reply.content.decode()
    assert "Tecken stores the debug symbols of your builds." in page
    assert '<form method="post" action="/symbolicate/"' in page
    assert "Accept" in reply["Vary"]
    assert len(page) < 50_000
    cards = page.partition('class="cards"')[2]
    assert ">Help</a>" in cards
    assert ">Tokens</a>" not in cards


def test_home_logged_in_shows_own_uploads(client: Client, django_assert_max_num_queries: Any) -> None:
    me, other = person("me@example.com", "upload.upload_symbols"), person("other@example.com")
    client.force_login(me)
    assert "You have no token." in home(client)
    Upload.objects.create(
        user=me, filename="<script>\u202e.zip", bucket_name="b", completed_at=timezone.now()
    )
    Upload.objects.create(user=other, filename="theirs.zip", bucket_name="b")
    issue(me, [], days=30)
    with django_assert_max_num_queries(10):
        page = home(client)
    assert "me@example.com" in page
    assert "&lt;script&gt;\\u202e.zip" in page
    assert "theirs.zip" not in page
    assert re.search(r">1 token</a>, the first expires in 4.weeks", page)
    assert "Tecken stores the debug symbols" not in page


def test_home_without_permission_has_no_uploads(client: Client) -> None:
    client.force_login(person("me@example.com"))
    assert "Your latest uploads" not in home(client)


def test_home_shows_state_of_parts(client: Client) -> None:
    page = home(client)
    assert '<li class="well"><b>redis-store</b> <span>works</span></li>' in page
    assert '<li class="ill"><b>Workers</b> <span>none running</span></li>' in page
    assert "Something needs attention" in page


def test_home_without_samples_shows_text(client: Client) -> None:
    took(0, 1, 1, 1)
    assert load_activity() is None
    assert "There are no measurements yet" in home(client)


def test_home_draws_last_hour(client: Client) -> None:
    for ago, hits, misses, requests in (
        (90, 0, 0, 0),
        (60, 90, 10, 300),
        (30, 90, 10, 300),
        (0, 180, 20, None),
    ):
        took(ago, hits, misses, requests)
    charts = load_activity()
    assert charts
    assert charts.requests.latest == 0
    assert charts.requests.top == pytest.approx(10, abs=0.1)
    assert charts.hits.latest == pytest.approx(0.9)
    assert len(charts.hits.lines) == 2, "no page was asked for in between"
    page = home(client)
    assert page.count('<svg class="curve"') == 2
    assert "<b>90.0 %</b> of pages were in the store" in page
    assert '<td class="number">90.0 %</td>' in page


def test_load_activity_omits_older_samples() -> None:
    took(4000, 0, 0, 0)
    took(3900, 9, 1, 30)
    took(10, 9, 1, 30)
    charts = load_activity()
    assert charts
    assert len(charts.requests.lines) == 1


def test_home_refreshes_one_section(client: Client) -> None:
    [tag] = re.findall(r'<section id="now"[^>]*>', home(client))
    assert 'hx-get="/"' in tag
    assert 'hx-select="#now"' in tag
    assert json.loads(re.search(r"hx-headers='([^']+)'", tag)[1]) == {"Accept": "text/html"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("alias", "says"),
    [
        ("default", '<li class="ill"><b>redis-cache</b> <span>does not answer</span></li>'),
        ("store", '<li class="ill"><b>redis-store</b> <span>does not answer</span></li>'),
    ],
)
def test_home_redis_down_shows_rest(client: Client, settings: Any, alias: str, says: str) -> None:
    client.force_login(person("me@example.com"))
    settings.CACHES = {**settings.CACHES, alias: {**settings.CACHES[alias], "LOCATION": NOWHERE}}
    if alias == "default":
        settings.REDIS_QUEUE_URL = settings.REDIS_COUNTERS_URL = NOWHERE
    services.discard_all()
    page = home(client)
    assert says in page
    assert ("redis-cache does not answer, so there is no chart" in page) == (alias == "default")


def test_home_database_down_shows_rest(client: Client) -> None:
    client.force_login(person("me@example.com"))
    User.objects.get()

    def refuse(*_: object) -> NoReturn:
        raise OperationalError("the password is swordfish")

    with connection.execute_wrapper(refuse):
        page = home(client)
    assert "swordfish" not in page
    assert "Tecken stores the debug symbols of your builds." in page


@pytest.mark.parametrize("table", ["tokens_token", "upload_upload"])
def test_home_database_fails_meanwhile_shows_rest(client: Client, table: str) -> None:
    client.force_login(person("me@example.com", "upload.upload_symbols"))

    def refuse(execute: Any, sql: str, *more: Any) -> Any:
        if table in sql:
            raise OperationalError("gone")
        return execute(sql, *more)

    with connection.execute_wrapper(refuse):
        page = home(client)
    assert "your uploads and tokens cannot be shown" in page


def test_home_uploads_closed_shows_text(client: Client) -> None:
    until = timezone.now() + timedelta(hours=1)
    current.backend().set_maintenance(
        "uploads", format_maintenance(Maintenance(message="The <disk> is full", until=until)), None
    )
    current.reset()  # what was read before, for nothing watches a backend in memory
    page = home(client)
    assert "Uploads are closed for now." in page
    assert "The &lt;disk&gt; is full" in page
