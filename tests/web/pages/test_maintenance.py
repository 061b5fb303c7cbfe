"""/config/maintenance/: closing the site, or uploads only."""

from __future__ import annotations

import html

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tecken.errors import Unavailable
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import ConfigHead, parse_maintenance
from tests.runtimeconfig.backends import MemoryBackend
from tests.web.forms import form_of

pytestmark = pytest.mark.django_db

URL = "/config/maintenance/"


def test_it_begins_and_ends(client: Client, operator: User, backend: MemoryBackend) -> None:
    form = form_of(client.get(URL).content.decode(), "message")
    assert form.fields["level"] == "uploads", "the lesser one, unless somebody says more"
    wanted = {"level": "full", "message": "A disk is <b>changed</b>", "until": "2030-01-01T10:00"}
    page = client.post(URL, form.fields | wanted | {"action": "begin"}, follow=True).content.decode()
    assert "Under maintenance</strong> until" in page
    assert "A disk is &lt;b&gt;changed&lt;/b&gt;" in page
    text = backend.head().maintenance
    assert text is not None
    assert parse_maintenance(text).by == "op@example.com"
    client.post(URL, {"level": "full", "action": "end"})
    assert backend.head().maintenance is None


def test_uploads_only(client: Client, operator: User, backend: MemoryBackend) -> None:
    client.post(URL, {"level": "uploads", "action": "begin", "retry_after": "10m"})
    head = backend.head()
    assert head.maintenance is None
    assert head.uploads_closed is not None
    assert parse_maintenance(head.uploads_closed).retry_after == 600
    assert "Open uploads" in client.get(URL).content.decode()


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"until": "2001-01-01T10:00"}, "should end in the future"),
        ({"until": "soon"}, "A time should be such as 2026-11-21 22:00, not 'soon'"),
        ({"retry_after": "soon"}, "maintenance_retry_after_seconds should be a duration"),
        ({"message": "x" * 501}, "maintenance_message should be text"),
    ],
)
def test_what_cannot_be(
    client: Client, operator: User, backend: MemoryBackend, wanted: dict[str, str], text: str
) -> None:
    reply = client.post(URL, {"level": "full", "action": "begin", **wanted})
    page = reply.content.decode()
    assert reply.status_code == 400
    assert text in html.unescape(page)
    assert form_of(page, "message").fields.items() >= ({"level": "full"} | wanted).items()
    assert backend.head().maintenance is None


def test_no_such_level(client: Client, operator: User) -> None:
    assert client.post(URL, {"level": "half", "action": "begin"}).status_code == 400


def test_by_hand(client: Client, viewer: User, backend: MemoryBackend) -> None:
    backend.set_maintenance("full", "\u202e<script>", None)
    page = client.get(URL).content.decode()
    assert "Under maintenance</strong>." in page
    assert "<script>" not in page


def test_redis_away(client: Client, operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(MemoryBackend):
        def head(self) -> ConfigHead:
            raise Unavailable("Redis does not answer")

    monkeypatch.setattr(current, "backend", Away)
    reply = client.get(URL)
    assert (reply.status_code, reply["Retry-After"]) == (503, "5")
    assert "Redis does not answer" in reply.content.decode()
