"""Hostile input in every field, address and header, and forms from other sites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve
from django.utils import timezone
from django.utils.html import escape

from tecken.accounts.models import Token
from tecken.download.models import MissingSymbol
from tecken.jobs.records import DeadLetter, records
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig import service
from tecken.storage.models import SymbolFile
from tecken.upload.models import Upload
from tecken.web.shared_reports import share_report
from tecken.web.urls import urlpatterns
from tests.web.acts import FORMS, FROM_US, PAGES, Act, does, files
from tests.web.everything import DEAD, MODULE, NAMES, STACK, Everything, comes
from tests.web.harm import MARKUP, TURNED, Harm

pytest_plugins = ["tests.web.site"]
pytestmark = pytest.mark.django_db

HEADER = "x\r\nSet-Cookie: canary=1\r\nX-Canary: 1\r\n\r\n<script>alert(1)</script>"
NASTY = (f"{MARKUP}{TURNED}", HEADER, "\0", "9" * 400, "-1", "//evil.example/", "javascript:alert(1)")
ELSEWHERE = (
    *("//evil.example/", "https://evil.example/", "/\\evil.example/", "\\\\evil.example", "///evil.example"),
    *("http:evil.example", "https:///evil.example", "javascript:alert(1)"),
    *("\t//evil.example/", "/\t/evil.example"),
)
PASSWORD = "correct horse"
OWN = re.compile(r"/(?![/\\\s])|\?")
WITH_ARGUMENTS = [pattern for pattern in urlpatterns if pattern.pattern.converters]


def harmless(reply: Any) -> None:
    """Whatever it says, it does nothing in a browser, and it is no mistake of ours."""
    assert reply.status_code < 500, reply.content
    assert "canary" not in reply.cookies
    assert not any("canary" in name.lower() for name in reply.headers)
    assert not any(mark in value for value in reply.headers.values() for mark in "\r\n\0")
    assert OWN.match(reply.get("Location", "/")), reply["Location"]
    if reply.get("Content-Type", "").startswith("text/html"):
        assert Harm(reply.content.decode()).found == []
    else:
        assert reply["X-Content-Type-Options"] == "nosniff"


def parameters(page: str) -> set[str]:
    """What the addresses of a page's links and the fields of its filters are called."""
    links = re.findall(r'(?:href|hx-get)="[^"?]*\?([^"#]+)"', page)
    named = {name for link in links for name, _value in parse_qsl(link.replace("&amp;", "&"), True)}
    for form in re.findall(r"<form\b(?![^>]*post).*?</form>", page, re.DOTALL):
        named.update(re.findall(r'\bname="([^"]+)"', form))
    return named | {"next", "after", "page", "sort", "unheard-of"}


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_hostile_query_does_no_harm(client: Client, everything: Everything, act: Act) -> None:
    comes(client, "superuser")
    path = everything.path(act.page)
    for name in sorted(parameters(does(client, act, path).content.decode())):
        for value in NASTY:
            harmless(client.get(f"{path}?{urlencode({name: value})}", headers={"Accept": "text/html"}))


@pytest.mark.parametrize("act", FORMS, ids=str)
def test_hostile_form_does_no_harm(client: Client, everything: Everything, act: Act) -> None:
    """Hidden fields and buttons are included."""
    who = "owner" if "owner" in act.served else "superuser"
    comes(client, who)
    path, sent = everything.path(act.page), act.sent or {}
    for name in (*sent, "unheard-of"):
        for value in NASTY:
            reply = client.post(path, {**files(sent), name: value}, headers=FROM_US)
            harmless(reply)
            if reply.status_code == 302:
                harmless(client.get(reply["Location"]))


@pytest.mark.parametrize("pattern", WITH_ARGUMENTS, ids=lambda pattern: pattern.name)
def test_hostile_path_does_no_harm(client: Client, everything: Everything, pattern: Any) -> None:
    comes(client, "superuser")
    good = everything.path(pattern.name)
    for part in map(str, resolve(good).kwargs.values()):
        for value in (*NASTY, "..", "../../etc/passwd", "%00", "\u0661"):
            for path in (good.replace(part, quote(value, safe="")), good.replace(part, quote(value))):
                harmless(client.get(path, headers={"Accept": "text/html"}))
                harmless(client.post(path, headers=FROM_US))


@pytest.fixture
def written(everything: Everything) -> Everything:
    """Store a hostile text in everything that a user can write."""
    nasty = f"{MARKUP}{TURNED}"
    short, name = nasty[-100:], re.sub(r"[/\\]", "", nasty)[-100:]
    module = {"debug_file": name, "code_file": name, "debug_id": MODULE["debug_id"]}
    Token.objects.update(notes=nasty)
    Upload.objects.update(filename=short, error=nasty, download_url=f"https://example.com/{nasty}")
    SymbolFile.objects.update(key=short, generator=short, **module)
    User.objects.filter(username="superuser@example.com").update(email=short)
    MissingSymbol.objects.create(count=1, last_seen=timezone.now(), **module)
    service.change({"maintenance_message": nasty}, by=short, why=nasty, source="cli")
    records().store_letter(
        DeadLetter(DEAD.id, nasty, nasty, nasty, 1.0, args=[nasty], kwargs={nasty: nasty}, trace=nasty)
    )
    stack = f"{STACK}\n{name} {MODULE['debug_id']} 0x20"
    return everything._replace(
        shared=share_report(redis_services.counters_client(), redis_services.cache_guard(), stack)
    )


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_hostile_stored_text_does_no_harm(client: Client, written: Everything, act: Act) -> None:
    for who in ("owner", "superuser"):
        comes(client, who)
        harmless(does(client, act, written.path(act.page)))


@pytest.mark.parametrize("name", NAMES)
def test_get_changes_nothing(client: Client, everything: Everything, name: str) -> None:
    """A GET request must not change anything: a link or an image causes one."""
    before = everything.state()
    sent = {key: str(value) for act in FORMS if act.page == name for key, value in (act.sent or {}).items()}
    for who in ("owner", "superuser"):
        comes(client, who)
        client.get(f"{everything.path(name)}?{urlencode(sent)}", headers={"Accept": "text/html"})
    assert everything.state() == before


def forged() -> Iterator[tuple[str, dict[str, str]]]:
    yield "without a token", {}
    yield "of another origin", {"Origin": "https://evil.example"}
    yield "of another site", {"Sec-Fetch-Site": "cross-site"}
    yield "of another host below ours", {"Sec-Fetch-Site": "same-site"}
    yield "of a frame without an origin", {"Origin": "null"}


@pytest.mark.parametrize("headers", [pytest.param(headers, id=name) for name, headers in forged()])
def test_forms_of_other_sites_are_refused(everything: Everything, headers: dict[str, str]) -> None:
    client = Client(enforce_csrf_checks=True)
    before = everything.state()
    for act in FORMS:
        for who in {"nobody", "owner", "superuser"} & set(act.served):
            comes(client, who)
            reply = client.post(everything.path(act.page), files(act.sent or {}), headers=headers)
            assert (str(act), reply.status_code) == (str(act), 403)
    assert everything.state() == before


@pytest.mark.parametrize("path", ["/", "/admin/"])
def test_login_does_not_redirect_to_other_site(client: Client, everything: Everything, path: str) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    for there in ELSEWHERE:
        query = urlencode({"next": there})
        replies = [
            client.post(f"{path}login/?{query}", {"username": "root", "password": PASSWORD}),
            client.get(f"{path}login/?{query}"),
            client.post(f"{path}logout/?{query}"),
        ]
        assert replies[0].status_code == replies[1].status_code == 302
        for reply in replies:
            assert OWN.match(reply.get("Location", "/")), reply["Location"]


@pytest.mark.parametrize(
    "path", ["//evil.example/tokens/", "/%5cevil.example/tokens/", "/tokens//evil.example/"]
)
def test_login_path_like_host_stays_on_site(client: Client, path: str) -> None:
    reply = client.get(path, headers={"Accept": "text/html"})
    assert OWN.match(reply.get("Location", "/"))
    harmless(reply)


@pytest.mark.parametrize(
    "name", ["X-Request-Id", "X-Config-Override", "Accept", "Accept-Language", "Referer", "HX-Request"]
)
@pytest.mark.parametrize("value", [MARKUP, HEADER, TURNED])
def test_hostile_header_does_no_harm(client: Client, everything: Everything, name: str, value: str) -> None:
    comes(client, "superuser")
    for page in ("home", "tokens"):
        harmless(client.get(everything.path(page), headers={"Accept": "text/html", name: value}))


def test_hostile_host_is_400(client: Client, everything: Everything) -> None:
    for act in PAGES:
        path = everything.path(act.page)
        reply = client.get(path, headers={"host": 'evil"><script>alert(1)</script>', "Accept": "text/html"})
        harmless(reply)


@pytest.mark.parametrize(
    "page", [MARKUP, TURNED, '<a href="javascript:x">', '<form action="//evil.example">', "<p style='a'>"]
)
def test_harm_finds_harmful_html(page: str) -> None:
    assert Harm(page).found


@pytest.mark.parametrize("page", [f"<p>{escape(MARKUP)}", f"<textarea>{TURNED}</textarea>", '<a href="/a">'])
def test_harm_accepts_harmless_html(page: str) -> None:
    assert Harm(page).found == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/missing/?page={}",
        "/api/uploads/upload/{}",
        "/explain/?at={}",
        "/jobs/?hours={}",
        "/missing/?count={}",
        "/missing/?page={}",
        "/missing/?last_seen={}",
        "/missingsymbols/?after={}-1",
        "/store/?hours={}",
        "/tokens/token/{}",
        "/uploads/files/file/{}",
        "/uploads/upload/{}",
    ],
)
@pytest.mark.parametrize("digits", [30, 5000])
def test_number_with_many_digits_is_no_500(path: str, digits: int) -> None:
    """int() refuses more than 4,300 digits, and a database more than 19."""
    assert Client().get(path.format("9" * digits)).status_code < 500
