"""What is answered when no view does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from tecken import services
from tecken.runtimeconfig.current import options
from tests.web.api.people import person
from tests.web.forms import form_of

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
BROKEN = {
    "/help/mistake": (500, "Internal Server Error", "An error occurred on this site. It was logged."),
    "/help/database": (503, "Service Unavailable", "The database does not answer"),
    "/help/redis": (503, "Service Unavailable", "Redis does not answer"),
    "/help/forbidden": (403, "Forbidden", "You do not have the permission for this."),
    "/help/odd": (400, "Bad Request", "this site cannot use"),
}


@pytest.fixture
def calm() -> Client:
    """Is given the answer instead of the exception."""
    return Client(raise_request_exception=False)


def test_not_found_for_browser_is_page(client: Client) -> None:
    reply = client.get("/no/<b>such</b>", headers=HTML)
    assert (reply.status_code, reply["Content-Type"]) == (404, "text/html; charset=utf-8")
    page = reply.content.decode()
    assert "<h1>Not Found</h1>" in page
    assert "There is nothing at /no/&lt;b&gt;such&lt;/b&gt;" in page
    assert "no-store" in reply["Cache-Control"]


def test_not_found_for_program_is_json(client: Client) -> None:
    for path, headers in (("/no/such", {}), ("/api/no/such", HTML), ("/upload/no", HTML)):
        reply = client.get(path, headers=headers)
        assert (reply.status_code, reply.json()) == (404, {"error": "Not Found", "path": path})


@pytest.mark.django_db
def test_error_page_keeps_session(client: Client) -> None:
    client.force_login(person("me@example.com", "runtimeconfig.view_option"))
    page = client.get("/no/such", headers=HTML).content.decode()
    assert "me@example.com" in page
    assert ">Configuration</a>" in page


@pytest.mark.django_db
def test_error_page_can_log_out() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    form = form_of(client.get("/no/such", headers=HTML).content.decode(), "csrfmiddlewaretoken")
    assert client.post(form.action, form.fields).status_code == 302
    assert not client.session.keys()


def test_form_to_unknown_path_is_page(client: Client) -> None:
    for site in ("same-origin", "cross-site"):
        client.cookies[settings.SESSION_COOKIE_NAME] = "a-session"
        reply = client.post("/no/such", {}, headers={**HTML, "sec-fetch-site": site})
        assert (reply.status_code, reply["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.urls("tests.web.broken_site")
@pytest.mark.parametrize("path", BROKEN)
def test_exception_for_browser_is_page(calm: Client, path: str) -> None:
    """The session is not read: the database may be the part that has failed."""
    calm.cookies[settings.SESSION_COOKIE_NAME] = "a-session"
    reply = calm.get(path, headers=HTML)
    status, title, text = BROKEN[path]
    page = reply.content.decode()
    assert (reply.status_code, reply["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f"<h1>{title}</h1>" in page
    assert text in page
    assert "swordfish" not in page
    assert not reply.cookies, "nobody is logged out by that"


@pytest.mark.urls("tests.web.broken_site")
@pytest.mark.parametrize("path", BROKEN)
def test_exception_for_program_is_json(calm: Client, path: str) -> None:
    reply = calm.get(path)
    assert reply.status_code == BROKEN[path][0]
    assert list(reply.json()) == ["error"]
    assert "swordfish" not in reply.content.decode()


@pytest.mark.urls("tests.web.broken_site")
def test_exception_page_has_request_id_of_log(calm: Client) -> None:
    reply = calm.get("/help/mistake", headers=HTML)
    assert reply["X-Request-Id"] in reply.content.decode()


@pytest.mark.urls("tests.web.broken_site")
@pytest.mark.parametrize("path", ["/help/database", "/help/redis"])
def test_unavailable_page_has_retry_after(calm: Client, path: str) -> None:
    assert calm.get(path)["Retry-After"] == "5"
    reply = calm.get(path, headers=HTML)
    assert reply["Retry-After"] == "5"
    assert "Try again in 5 seconds." in reply.content.decode()


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_store")
def test_missing_download_page_links_explanation(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.STORAGE_URL = f"file://{tmp_path}"
    services.discard_all()
    path = "/x%3Cb%3E.pdb/44E4EC8C2F41492B9369D6B9A059577C2/x.sym"
    told, shown = client.get(path), client.get(path, headers=HTML)
    services.discard_all()
    assert (told.status_code, told.json()["error"]) == (404, "Symbol Not Found")
    assert (shown.status_code, shown["Content-Type"]) == (404, "text/html; charset=utf-8")
    page = shown.content.decode()
    assert "Symbol Not Found" in page
    link = "/explain/x%3Cb%3E.pdb/44E4EC8C2F41492B9369D6B9A059577C2/"
    assert f'<a href="{link}">See which sources were searched</a>' in page
    assert int(shown["Content-Length"]) == len(shown.content)
    assert "no-store" in shown["Cache-Control"]


def test_health_says_the_same_to_everybody(client: Client) -> None:
    assert client.get("/__heartbeat__", headers=HTML).json().keys() == {"status", "checks"}


@pytest.mark.django_db
@pytest.mark.usefixtures("clear_redis_cache")
@override_settings(AXES_FAILURE_LIMIT=1)
def test_locked_login_page_has_waiting_time(client: Client) -> None:
    User.objects.create_superuser("root", "root@example.com", "secret")
    form = {"username": "root", "password": "wrong"}
    reply = client.post("/admin/login/", form, headers=HTML)
    assert (reply.status_code, reply["Retry-After"]) == (429, str(round(options().failure_seconds)))
    assert "Too many wrong passwords" in reply.content.decode()
