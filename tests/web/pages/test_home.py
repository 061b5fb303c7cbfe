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
from tecken.monitoring.health.series import KEY
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.maintenance import Maintenance, format_maintenance
from tecken.upload.models import Upload
from tecken.web.charts.activity import pulse
from tecken.web.menu import ENTRIES
from tecken.web.pages.home import ABOUT
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
    redis_services.counters_client().rpush(KEY, json.dumps([time.time() - seconds, None, store, requests, 0]))


def test_programs_read_what_they_always_read(client: Client) -> None:
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


def test_a_newcomer_reads_what_it_is_and_can_try_it(client: Client) -> None:
    reply = client.get("/", headers=HTML)
    page = reply.content.decode()
    assert "Tecken keeps the debug symbols of your builds." in page
    assert '<form method="post" action="/symbolicate/"' in page
    assert "Accept" in reply["Vary"]
    assert len(page) < 50_000
    cards = page.partition('class="cards"')[2]
    assert ">Help</a>" in cards
    assert ">Tokens</a>" not in cards


def test_whoever_is_logged_in_finds_their_own(client: Client, django_assert_max_num_queries: Any) -> None:
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
    assert re.search(r">1 token</a>, the first ends in 4.weeks", page)
    assert "Tecken keeps the debug symbols" not in page


def test_who_may_not_upload_is_not_told_of_uploads(client: Client) -> None:
    client.force_login(person("me@example.com"))
    assert "Your latest uploads" not in home(client)


def test_every_page_has_words() -> None:
    assert set(ABOUT) == {entry.section for entry in ENTRIES}


def test_parts_and_their_state(client: Client) -> None:
    page = home(client)
    assert '<li class="well"><b>redis-store</b> <span>works</span></li>' in page
    assert '<li class="ill"><b>Workers</b> <span>not there</span></li>' in page
    assert "Something needs attention" in page


def test_nothing_was_measured(client: Client) -> None:
    took(0, 1, 1, 1)
    assert pulse() is None
    assert "Nothing is measured yet" in home(client)


def test_the_picture_of_the_last_hour(client: Client) -> None:
    for ago, hits, misses, requests in (
        (90, 0, 0, 0),
        (60, 90, 10, 300),
        (30, 90, 10, 300),
        (0, 180, 20, None),
    ):
        took(ago, hits, misses, requests)
    seen = pulse()
    assert seen
    assert seen.requests.now == 0
    assert seen.requests.top == pytest.approx(10, abs=0.1)
    assert seen.hits.now == pytest.approx(0.9)
    assert len(seen.hits.lines) == 2, "no page was asked for in between"
    page = home(client)
    assert page.count('<svg class="curve"') == 2
    assert "<b>90.0 %</b> of pages were in the store" in page
    assert '<td class="number">90.0 %</td>' in page


def test_what_is_older_than_an_hour_is_not_drawn() -> None:
    took(4000, 0, 0, 0)
    took(3900, 9, 1, 30)
    took(10, 9, 1, 30)
    seen = pulse()
    assert seen
    assert len(seen.requests.lines) == 1


def test_the_part_that_moves_asks_for_itself_alone(client: Client) -> None:
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
def test_a_redis_server_away(client: Client, settings: Any, alias: str, says: str) -> None:
    client.force_login(person("me@example.com"))
    settings.CACHES = {**settings.CACHES, alias: {**settings.CACHES[alias], "LOCATION": NOWHERE}}
    if alias == "default":
        settings.REDIS_QUEUE_URL = settings.REDIS_COUNTERS_URL = NOWHERE
    services.discard_all()
    page = home(client)
    assert says in page
    assert ("redis-cache does not answer, so there is no picture" in page) == (alias == "default")


def test_the_database_away(client: Client) -> None:
    client.force_login(person("me@example.com"))
    User.objects.get()

    def refuse(*_: object) -> NoReturn:
        raise OperationalError("the password is swordfish")

    with connection.execute_wrapper(refuse):
        page = home(client)
    assert "swordfish" not in page
    assert "Tecken keeps the debug symbols of your builds." in page


@pytest.mark.parametrize("table", ["tokens_token", "upload_upload"])
def test_the_database_going_away_in_between(client: Client, table: str) -> None:
    client.force_login(person("me@example.com", "upload.upload_symbols"))

    def refuse(execute: Any, sql: str, *more: Any) -> Any:
        if table in sql:
            raise OperationalError("gone")
        return execute(sql, *more)

    with connection.execute_wrapper(refuse):
        page = home(client)
    assert "your uploads and tokens cannot be shown" in page


def test_closed_uploads_are_told(client: Client) -> None:
    until = timezone.now() + timedelta(hours=1)
    current.backend().set_maintenance(
        "uploads", format_maintenance(Maintenance(message="The <disk> is full", until=until)), None
    )
    current.reset()  # what was read before, for nothing watches a backend in memory
    page = home(client)
    assert "Uploads are closed for now." in page
    assert "The &lt;disk&gt; is full" in page
