"""/config/history/ and /config/versions/<number>/: what was changed, and back to it."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tecken.runtimeconfig import service
from tecken.runtimeconfig.models import Version
from tests.web.forms import Form, Forms, form_of

pytestmark = pytest.mark.django_db


def change(**changes: str | None) -> service.Outcome:
    return service.change(changes, by="somebody@example.com", why="a test", source="cli")


def shown(page: str) -> list[int]:
    return [int(number) for number in re.findall(r">Version (\d+)</a></h2>", page)]


def rollback_form(page: str) -> Form:
    return next(form for form in Forms(page).forms if "why" in form.fields and "action" not in form.fields)


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
    form = rollback_form(client.get("/config/versions/1/").content.decode())
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
    form = rollback_form(client.get("/config/versions/1/").content.decode())
    change(log_level="DEBUG")
    reply = client.post("/config/versions/1/", form.fields | {"why": "too much"})
    assert reply.status_code == 409
    assert "the newest version is 3, not 2" in reply.content.decode()
    again = rollback_form(reply.content.decode())
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


def undo_form(client: Client, number: int) -> Form:
    return form_of(client.get(f"/config/versions/{number}/").content.decode(), "action")


def test_undo_restores_only_what_the_version_changed(client: Client, operator: User) -> None:
    change(symbolicate_max_jobs="20")
    change(symbolicate_max_jobs="30", log_level="DEBUG")
    change(upload_max_members="5")
    reply = client.post("/config/versions/2/", undo_form(client, 2).fields | {"why": "too many jobs"})
    assert (reply.status_code, reply["Location"]) == (302, "/config/")
    made = Version.objects.get(number=4)
    assert made.values == {"symbolicate_max_jobs": "20", "upload_max_members": "5"}
    assert (made.by, made.why, made.source) == ("op@example.com", "too many jobs", "page")


def test_undo_of_the_newest_version_is_offered(client: Client, operator: User) -> None:
    change(symbolicate_max_jobs="20")
    assert "undo this change" in client.get("/config/history/").content.decode()
    client.post("/config/versions/1/", undo_form(client, 1).fields)
    assert Version.objects.get(number=2).why == "undo of version 1"


@pytest.mark.parametrize(
    ("later", "status", "values"),
    [
        (None, 409, {"symbolicate_max_jobs": "30", "log_level": "DEBUG"}),
        ("keep", 302, {"symbolicate_max_jobs": "30"}),
        ("overwrite", 302, {}),
    ],
)
def test_undo_of_an_option_that_was_changed_again_needs_a_choice(
    client: Client, operator: User, later: str | None, status: int, values: dict[str, str]
) -> None:
    change(symbolicate_max_jobs="20", log_level="DEBUG")
    change(symbolicate_max_jobs="30")
    assert "Changed again since version 1" in client.get("/config/versions/1/").content.decode()
    choice = {} if later is None else {"later": later}
    reply = client.post("/config/versions/1/", undo_form(client, 1).fields | choice)
    assert reply.status_code == status
    assert service.newest().values == values


def test_undo_for_a_viewer_is_shown_and_refused(client: Client, viewer: User) -> None:
    change(symbolicate_max_jobs="20")
    page = client.get("/config/versions/1/").content.decode()
    assert "An undo restores only what version 1 changed." in page
    assert "Undo version" not in page
    assert client.post("/config/versions/1/", {"version": "1", "action": "undo"}).status_code == 403


def test_undo_over_what_nobody_saw_is_refused(client: Client, operator: User) -> None:
    change(symbolicate_max_jobs="20")
    form = undo_form(client, 1)
    change(log_level="DEBUG")
    reply = client.post("/config/versions/1/", form.fields | {"why": "my reason"})
    assert reply.status_code == 409
    again = form_of(reply.content.decode(), "action")
    assert again.fields["why"] == "my reason"
    assert client.post("/config/versions/1/", again.fields).status_code == 302


def test_undo_that_is_not_possible_names_the_reason(client: Client, operator: User) -> None:
    Version.objects.create(number=1, stamp="a", by="x", source="cli", values={"gone": "1"})
    change(gone=None)
    page = client.get("/config/versions/2/").content.decode()
    assert "there is no option" in page
    assert "Undo version" not in page
    assert client.post("/config/versions/2/", {"version": "2", "action": "undo"}).status_code == 400
