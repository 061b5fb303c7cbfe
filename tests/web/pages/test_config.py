"""/config/: seeing the options and changing several at once."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tecken.errors import BadOption, Unavailable
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import Change, Report, Values
from tecken.runtimeconfig.models import Version
from tecken.runtimeconfig.options import CATALOGUE
from tecken.runtimeconfig.snapshot import parse_setting
from tests.runtimeconfig.backends import MemoryBackend
from tests.web.forms import Form, form_of

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Reply

pytestmark = pytest.mark.django_db

Asserts = Callable[[int], Any]
HOSTILE = "</textarea><script>alert(1)</script> \u202egnp.exe & \"'"


def change(**changes: str | None) -> service.Outcome:
    return service.change(changes, by="somebody@example.com", why="a test", source="cli")


def opened(client: Client) -> Form:
    return form_of(client.get("/config/").content.decode(), "symbolicate_max_jobs")


def sent(client: Client, form: Form, **fields: str) -> Reply:
    names = {name.replace("__", ":"): text for name, text in fields.items()}
    return client.post(form.action, form.fields | names)


def section(page: str, option: str) -> str:
    """What is said of one option, as text."""
    found = re.search(
        rf'<div class="option[^>]*id="{option}".*?(?=<div class="option|</section>)', page, re.DOTALL
    )
    assert found
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", found[0])))


def test_every_option_has_a_field(client: Client, viewer: User) -> None:
    page = client.get("/config/").content.decode()
    for name, option in CATALOGUE.items():
        assert option.allowed in section(page, name)
        assert form_of(page, name).fields[name] == option.format(option.default)


def test_before_the_first_change(client: Client, viewer: User) -> None:
    page = client.get("/config/").content.decode()
    assert "No option was ever changed" in page
    assert "no process has reported" in page


def test_who_set_it_and_when(client: Client, viewer: User) -> None:
    change(symbolicate_max_jobs="20", log_level="DEBUG")
    change(log_level=None)
    page = client.get("/config/").content.decode()
    at = f"{Version.objects.get(number=1).at:%Y-%m-%d %H:%M:%S}"
    assert f"set by somebody@example.com {at} version 1" in section(page, "symbolicate_max_jobs")
    assert "back to the default by somebody@example.com" in section(page, "log_level")


def test_several_are_changed_at_once(client: Client, operator: User, backend: MemoryBackend) -> None:
    change(log_level="DEBUG")
    reply = sent(
        client,
        opened(client),
        symbolicate_max_jobs="20",
        upload_forbidden_snippets="",
        unset__log_level="on",
        why=" a slow night ",
    )
    assert (reply.status_code, reply["Location"]) == (302, "/config/")
    assert backend.read().texts == {"symbolicate_max_jobs": "20", "upload_forbidden_snippets": ""}
    made = Version.objects.get(number=2)
    assert (made.by, made.user, made.why, made.source) == (
        "op@example.com",
        operator,
        "a slow night",
        "page",
    )


@pytest.mark.parametrize("text", ["two\nlines", "\nfirst", " spaces ", "tab\there", HOSTILE, "a\r\nb"])
def test_what_nobody_touched_stays_as_it_is(client: Client, operator: User, text: str) -> None:
    change(maintenance_message=text, symbolicate_max_jobs=" 20\n", full_tracing="25% of users")
    reply = client.post("/config/", opened(client).fields, follow=True)
    assert "Nothing was changed." in reply.content.decode()
    assert Version.objects.count() == 1


def test_a_message_may_have_lines(client: Client, operator: User) -> None:
    sent(client, opened(client), maintenance_message="one\r\ntwo")
    assert service.find_texts(1) == {"maintenance_message": "one\ntwo"}


def test_how_far_it_has_come_is_told(client: Client, operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fleet(MemoryBackend):
        """Eight processes that follow at once."""

        def write(self, change: Change, texts: Any, expected: int) -> None:
            super().write(change, texts, expected)
            for number in range(8):
                self.report(Report(f"a:{number}", "web", change.version, change.stamp, 0.1, 0))

    fleet = Fleet()
    monkeypatch.setattr(current, "backend", lambda: fleet)
    page = client.post(
        "/config/", opened(client).fields | {"log_level": "DEBUG"}, follow=True
    ).content.decode()
    assert re.search(r"Version 1: log_level default → DEBUG; applied by 8 of 8 processes in \d+ ms\.", page)
    assert "<span>applied by 8 of 8 processes</span>" in page


def test_who_does_not_follow_is_told(
    client: Client, operator: User, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tecken.web.pages.config.WAIT_SECONDS", 0)
    backend.report(Report("a:1", "web", 0, "", 0.1, 0))
    page = client.post(
        "/config/", opened(client).fields | {"log_level": "DEBUG"}, follow=True
    ).content.decode()
    assert "applied by 0 of 1 processes" in page
    assert "waiting for a:1" in page


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("symbolicate_max_jobs", "many"),
        ("symbolicate_max_jobs", "0"),
        ("symbolicate_max_jobs", ""),
        ("log_level", "LOUD"),
        ("full_tracing", "101%"),
        ("absent_seconds", HOSTILE),
    ],
)
def test_an_error_stands_beside_its_field(client: Client, operator: User, name: str, text: str) -> None:
    with pytest.raises(BadOption) as told:
        parse_setting(name, text)
    reply = sent(client, opened(client), **{name: text, "download_url_seconds": "2h", "why": "because"})
    page = reply.content.decode()
    assert reply.status_code == 400
    assert str(told.value).replace("\u202e", "\\u202e") in section(page, name)
    kept = form_of(page, name).fields
    assert (kept[name], kept["download_url_seconds"], kept["why"]) == (text, "2h", "because")
    assert Version.objects.count() == 0


def test_a_conflict_shows_both(client: Client, operator: User) -> None:
    form = opened(client)
    change(symbolicate_max_jobs="20", log_level="DEBUG")
    reply = sent(client, form, symbolicate_max_jobs="30")
    page = reply.content.decode()
    assert reply.status_code == 409
    assert "somebody@example.com" in page
    assert "set now: 20 by somebody@example.com in version 1 · yours: 30" in section(
        page, "symbolicate_max_jobs"
    )
    again = form_of(page, "symbolicate_max_jobs")
    assert again.fields["log_level"] == "DEBUG", "what the other changed and I did not"
    assert sent(client, again).status_code == 302
    assert service.find_texts(2) == {"symbolicate_max_jobs": "30", "log_level": "DEBUG"}


def test_a_value_for_a_while(client: Client, operator: User) -> None:
    window = {
        "window-option": "symbolicate_max_jobs",
        "window-text": "2",
        "window-from": "2030-01-01T22:00",
        "window-until": "2030-01-01T23:00",
    }
    assert client.post("/config/", opened(client).fields | window).status_code == 302
    key = "symbolicate_max_jobs@2030-01-01T22:00:00Z/2030-01-01T23:00:00Z"
    assert service.find_texts(1) == {key: "2"}
    page = client.get("/config/").content.decode()
    assert "2 from 2030-01-01 22:00:00 until 2030-01-01 23:00:00" in section(page, "symbolicate_max_jobs")
    client.post("/config/", opened(client).fields | {f"unset:{key}": "on"})
    assert service.find_texts(2) == {}


def test_from_now_on(client: Client, operator: User) -> None:
    change(symbolicate_max_jobs="20")
    window = {"window-option": "symbolicate_max_jobs", "window-text": "2"}
    client.post("/config/", opened(client).fields | window)
    page = client.get("/config/").content.decode()
    assert "in force now 2" in section(page, "symbolicate_max_jobs")
    assert form_of(page, "symbolicate_max_jobs").fields["symbolicate_max_jobs"] == "20"


@pytest.mark.parametrize(
    ("window", "text"),
    [
        ({"window-option": "log_level", "window-text": "LOUD"}, "log_level should be one of"),
        ({"window-text": "2"}, "Choose an option for this value."),
        (
            {"window-option": "log_level", "window-text": "DEBUG", "window-from": "soon"},
            "A time should be such as",
        ),
        (
            {
                "window-option": "log_level",
                "window-text": "DEBUG",
                "window-from": "2030-01-01T22:00",
                "window-until": "2030-01-01T21:00",
            },
            "a window should end after its start",
        ),
    ],
)
def test_a_window_that_cannot_be(client: Client, operator: User, window: dict[str, str], text: str) -> None:
    reply = client.post("/config/", opened(client).fields | window)
    assert reply.status_code == 400
    assert text in html.unescape(reply.content.decode())
    assert form_of(reply.content.decode(), "window-option").fields.items() >= window.items()


def test_what_nobody_knows_any_more_can_be_removed(client: Client, operator: User) -> None:
    Version.objects.create(number=1, stamp="a", by="redis-cli", source="redis", values={"gone": HOSTILE})
    assert "\\u202egnp.exe" in client.get("/config/").content.decode()
    client.post("/config/", opened(client).fields | {"unset:gone": "on"})
    assert service.find_texts(2) == {}


def test_a_bad_text_of_redis_is_shown_with_its_reason(client: Client, operator: User) -> None:
    texts = {"symbolicate_max_jobs": "many", "log_level": "LOUD"}
    Version.objects.create(number=1, stamp="a", by="redis-cli", source="redis", values=texts)
    page = client.get("/config/").content.decode()
    assert "symbolicate_max_jobs should be a whole number" in section(page, "symbolicate_max_jobs")
    assert form_of(page, "log_level").fields["log_level"] == "LOUD"
    assert sent(client, form_of(page, "log_level"), symbolicate_max_frames="10").status_code == 302
    assert service.find_texts(2) == texts | {"symbolicate_max_frames": "10"}


def test_hostile_texts_do_no_harm(client: Client, operator: User) -> None:
    service.change({"maintenance_message": HOSTILE}, by=HOSTILE, why=HOSTILE, source="cli")
    service.change({"log_level": "DEBUG"}, by="a", source="cli")
    for url in ("/config/", "/config/history/", "/config/versions/1/"):
        page = client.get(url).content.decode()
        assert "<script>" not in page
        outside_of_fields = re.sub(r"<textarea.*?</textarea>", "", page, flags=re.DOTALL)
        assert "\u202e" not in outside_of_fields
        assert "\\u202e" in outside_of_fields


@pytest.mark.parametrize(
    "url", ["/config/", "/config/history/", "/config/versions/20/", "/config/maintenance/"]
)
def test_no_page_asks_the_database_often(
    client: Client, operator: User, django_assert_max_num_queries: Asserts, url: str
) -> None:
    for number in range(30):
        change(symbolicate_max_jobs=str(number + 1), symbolicate_max_frames=str(number + 1))
    with django_assert_max_num_queries(10):
        assert client.get(url).status_code == 200


def test_a_reason_has_an_end(client: Client, operator: User) -> None:
    reply = sent(client, opened(client), symbolicate_max_jobs="20", why="x" * 2001)
    assert reply.status_code == 400
    assert Version.objects.count() == 0


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 40, "77"])
def test_a_version_that_nobody_read(client: Client, operator: User, version: str) -> None:
    change(symbolicate_max_jobs="20")
    reply = sent(client, opened(client), symbolicate_max_jobs="30", version=version)
    assert reply.status_code in (404, 409)
    assert service.find_texts(1) == {"symbolicate_max_jobs": "20"}


@pytest.mark.parametrize("field", ["maintenance_message", "why"])
def test_what_a_database_cannot_hold(client: Client, operator: User, field: str) -> None:
    reply = sent(client, opened(client), **{"symbolicate_max_jobs": "30", field: "a\0b"})
    assert reply.status_code == 400


def test_redis_away(client: Client, operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(MemoryBackend):
        def read(self) -> Values:
            raise Unavailable("Redis does not answer")

        def reports(self) -> list[Report]:
            raise Unavailable("Redis does not answer")

    monkeypatch.setattr(current, "backend", Away)
    page = client.post(
        "/config/", opened(client).fields | {"log_level": "DEBUG"}, follow=True
    ).content.decode()
    assert "recorded, but Redis does not answer" in page
    assert "it is unknown which processes have applied it" in page
    assert service.find_texts(1) == {"log_level": "DEBUG"}


def test_an_open_form_is_told_of_another_version(client: Client, viewer: User) -> None:
    assert 'hx-get="/config/?known=0"' in client.get("/config/").content.decode()
    assert client.get("/config/?known=0").status_code == 204
    service.change({"symbolicate_max_jobs": "20"}, by=HOSTILE, why=HOSTILE, source="cli")
    news = client.get("/config/?known=0").content.decode()
    assert "Version 1 by" in news
    assert "<code>symbolicate_max_jobs</code>" in news
    assert "Reload" in news
    assert "<script>" not in news
    assert "\u202e" not in news
    assert 'hx-get="/config/?known=1"' in news
    assert client.get("/config/?known=1").status_code == 204


def test_the_new_ones_beside_mine(client: Client, operator: User) -> None:
    form = opened(client)
    change(symbolicate_max_jobs="20", log_level="DEBUG")
    assert 'form="options" name="look"' in client.get("/config/?known=0").content.decode()
    reply = sent(client, form, symbolicate_max_jobs="30", why="my reason", look="on")
    page = reply.content.decode()
    assert reply.status_code == 200
    assert "These are the values of version 1" in page
    assert "set now: 20 by somebody@example.com in version 1 · yours: 30" in section(
        page, "symbolicate_max_jobs"
    )
    mine = form_of(page, "symbolicate_max_jobs")
    assert mine.fields.items() >= {"log_level": "DEBUG", "why": "my reason"}.items()
    assert Version.objects.count() == 1, "nothing was saved"
    assert sent(client, mine).status_code == 302
    assert service.find_texts(2) == {"symbolicate_max_jobs": "30", "log_level": "DEBUG"}


def shown_options(page: str) -> set[str]:
    return {name for classes, name in re.findall(r'<div class="(option[^"]*)" id="(\w+)">', page)}


def test_sections_are_listed_and_lead_to_their_headings(client: Client, viewer: User) -> None:
    page = client.get("/config/").content.decode()
    for group in {option.group for option in CATALOGUE.values()}:
        assert f">{group}</a>" in page
    for slug in re.findall(r'<li><a href="#([\w-]+)">', page):
        assert f'<h2 id="{slug}">' in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"q": "forbidden"}, {"upload_forbidden_snippets"}),
        ({"q": "Cold  CLIENT"}, {"symbolicate_client_cold_modules"}),
        ({"q": "signed url"}, {"download_url_seconds"}),
        ({"q": "77"}, {"symbolicate_max_jobs"}),
        ({"changed": "on"}, {"symbolicate_max_jobs", "log_level"}),
        ({"changed": "on", "q": "log"}, {"log_level"}),
        ({"q": "no such text"}, set()),
        ({}, set(CATALOGUE)),
    ],
    ids=["name", "words", "help", "value", "changed", "both", "nothing", "no filter"],
)
def test_filter_hides_other_options(
    client: Client, viewer: User, query: dict[str, str], shown: set[str]
) -> None:
    change(symbolicate_max_jobs="77")
    service.change({"log_level@2030-01-01T22:00:00Z/": "DEBUG"}, by="a", source="cli")
    page = client.get("/config/", query).content.decode()
    assert shown_options(page) == shown
    assert f"{len(shown)} of {len(CATALOGUE)} options" in page
    assert form_of(page, "symbolicate_max_jobs").fields.keys() >= CATALOGUE.keys(), "all are in the form"


def test_filter_keeps_and_shows_what_was_typed(client: Client, operator: User) -> None:
    change(log_level="DEBUG")
    form = opened(client)
    reply = sent(
        client,
        form,
        symbolicate_max_jobs="30",
        symbolicate_max_frames="none",
        unset__log_level="on",
        q="forbidden",
        look="filter",
        why="w",
    )
    page = reply.content.decode()
    edited = {"symbolicate_max_jobs", "symbolicate_max_frames", "log_level"}
    assert shown_options(page) == {"upload_forbidden_snippets", *edited}
    assert "not saved yet" not in page
    assert Version.objects.count() == 1
    again = form_of(page, "symbolicate_max_jobs")
    assert again.fields.items() >= {"symbolicate_max_jobs": "30", "q": "forbidden", "why": "w"}.items()
    assert sent(client, again, symbolicate_max_frames="5").status_code == 302
    assert service.find_texts(2) == {"symbolicate_max_jobs": "30", "symbolicate_max_frames": "5"}


def test_filter_of_a_form_that_is_out_of_date_shows_both(client: Client, operator: User) -> None:
    form = opened(client)
    change(symbolicate_max_jobs="20")
    reply = sent(client, form, symbolicate_max_jobs="30", q="max", look="filter")
    assert "set now: 20 by somebody@example.com" in section(reply.content.decode(), "symbolicate_max_jobs")


def test_save_in_a_filtered_form_leaves_hidden_options_alone(client: Client, operator: User) -> None:
    change(upload_max_members="5", maintenance_message="two\nlines")
    form = form_of(client.get("/config/", {"q": "max_jobs"}).content.decode(), "symbolicate_max_jobs")
    sent(client, form, symbolicate_max_jobs="30")
    assert service.newest().changed == {"symbolicate_max_jobs": (None, "30")}


def test_a_viewer_filters_without_a_token_in_the_address(client: Client, viewer: User) -> None:
    page = client.get("/config/").content.decode()
    form = form_of(page, "q")
    assert "csrfmiddlewaretoken" not in form.fields
    assert '<form id="options" method="get"' in page


def test_a_thousand_processes_are_counted_and_the_late_ones_listed(
    client: Client, viewer: User, backend: MemoryBackend
) -> None:
    stamp = change(symbolicate_max_jobs="20").stamp
    for number in range(1000):
        applied = (1, stamp) if number != 999 else (0, "")
        backend.report(Report(f"web:{number:04}", "web", *applied, 0.1, 0))
    page = client.get("/config/").content.decode()
    assert "applied by 999 of 1000 processes" in page
    assert re.findall(r"<td><bdi>(web:\d+)</bdi>", page)[:2] == ["web:0999", "web:0000"]
    assert "The first 50 of 1000" in page
    assert len(page) < 150_000
