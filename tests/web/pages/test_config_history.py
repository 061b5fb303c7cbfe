"""/config/history/ and /config/versions/<number>/: what was changed, and back to it."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tecken.runtimeconfig import service
from tecken.runtimeconfig.models import Version
from tests.web.forms import form_of

pytestmark = pytest.mark.django_db


def change(**changes: str | None) -> service.Outcome:
    return service.change(changes, by="somebody@example.com", why="a test", source="cli")


def shown(page: str) -> list[int]:
    return [int(number) for number in re.findall(r">Version (\d+)</a></h2>", page)]


def test_the_latest_comes_first(client: Client, viewer: User) -> None:
    change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs=None, log_level="DEBUG")
    page = client.get("/config/history/").content.decode()
    assert shown(page) == [2, 1]
    row = page[page.index("<code>symbolicate_max_jobs</code>") :]
    assert row.index("<code>20</code>") < row.index('<i class="none">default</i>')
    assert "a test" in page


def test_of_one_option_and_its_windows(client: Client, viewer: User) -> None:
    change(symbolicate_max_jobs="20")
    change(log_level="DEBUG")
    service.change({"symbolicate_max_jobs@2030-01-01T22:00:00Z/": "3"}, by="a", source="cli")
    page = client.get("/config/history/", {"option": "symbolicate_max_jobs"}).content.decode()
    assert shown(page) == [3, 1]


def test_page_after_page(client: Client, viewer: User) -> None:
    for number in range(30):
        change(symbolicate_max_jobs=str(number + 1))
    first = client.get("/config/history/", {"option": "symbolicate_max_jobs"}).content.decode()
    [further] = re.findall(r'href="(\?before=[^"]+)"', first)
    second = client.get("/config/history/" + further.replace("&amp;", "&")).content.decode()
    assert shown(first) + shown(second) == list(range(30, 0, -1))
    assert "?before=" not in second


def test_back_to_an_old_version(client: Client, operator: User) -> None:
    change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs="30", log_level="DEBUG")
    form = form_of(client.get("/config/versions/1/").content.decode(), "why")
    reply = client.post("/config/versions/1/", form.fields | {"why": "too much"})
    assert (reply.status_code, reply["Location"]) == (302, "/config/")
    made = Version.objects.get(number=3)
    assert (made.values, made.by, made.why, made.source) == (
        {"symbolicate_max_jobs": "20"},
        "op@example.com",
        "too much",
        "rollback",
    )


def test_not_over_what_nobody_saw(client: Client, operator: User) -> None:
    change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs="30")
    form = form_of(client.get("/config/versions/1/").content.decode(), "why")
    change(log_level="DEBUG")
    reply = client.post("/config/versions/1/", form.fields | {"why": "too much"})
    assert reply.status_code == 409
    assert "someone else changed options" in reply.content.decode()
    again = form_of(reply.content.decode(), "why")
    assert again.fields["why"] == "too much"
    assert client.post("/config/versions/1/", again.fields).status_code == 302


@pytest.mark.parametrize(
    ("number", "text"),
    [(2, "This is the newest version."), (1, "All values are the same as in this version.")],
)
def test_nothing_to_go_back_to(client: Client, operator: User, number: int, text: str) -> None:
    change(symbolicate_max_jobs="20")
    Version.objects.create(number=2, stamp="b", by="a", source="cli", values={"symbolicate_max_jobs": "20"})
    page = client.get(f"/config/versions/{number}/").content.decode()
    assert text in page
    assert "Roll back" not in page


def test_a_version_past_all_numbers(client: Client, viewer: User) -> None:
    assert client.get(f"/config/versions/{9**40}/").status_code == 404
    assert client.get("/config/history/", {"before": str(9**40)}).status_code == 200
