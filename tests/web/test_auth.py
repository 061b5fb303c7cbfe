"""Who may see the pages, and what a browser may do with them."""

from __future__ import annotations

import re
from typing import NoReturn

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.http import HttpRequest
from django.test import Client, RequestFactory, override_settings

from tecken.errors import Unavailable
from tecken.runtimeconfig import service
from tecken.web.auth import open_page
from tests.web.api.people import person
from tests.web.forms import form_of

pytestmark = pytest.mark.django_db

PAGES = ("/config/", "/config/history/", "/config/versions/1/", "/config/maintenance/")
FORMS = ("/config/", "/config/versions/1/", "/config/maintenance/")


@pytest.fixture(autouse=True)
def changed() -> None:
    service.change({"symbolicate_max_jobs": "20"}, by="somebody@example.com", source="cli")
    service.change({"symbolicate_max_jobs": "30"}, by="somebody@example.com", source="cli")


@pytest.mark.parametrize("url", PAGES)
def test_page_anonymous_redirects_to_login(client: Client, url: str) -> None:
    reply = client.get(f"{url}?a=b")
    assert (reply.status_code, reply["Location"]) == (302, f"/login/?next={url}%3Fa%3Db")


@pytest.mark.parametrize("url", FORMS)
def test_form_after_session_end_is_not_redirected(client: Client, url: str) -> None:
    reply = client.post(url, {"symbolicate_max_jobs": "40"})
    assert reply.status_code == 403
    assert "Your session has ended, and nothing was changed." in reply.content.decode()
    assert service.find_texts(2) == {"symbolicate_max_jobs": "30"}


@pytest.mark.parametrize("url", PAGES)
def test_page_without_permission_is_forbidden(client: Client, url: str) -> None:
    client.force_login(person("a@example.com", "upload.upload_symbols"))
    reply = client.get(url)
    assert (reply.status_code, reply["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert "runtimeconfig.change_option or runtimeconfig.view_option" in reply.content.decode()


@pytest.mark.parametrize("url", PAGES)
def test_form_of_viewer_is_forbidden(client: Client, viewer: User, url: str) -> None:
    page = client.get(url)
    assert page.status_code == 200
    assert not re.search(r"<button[^>]*main", page.content.decode())


@pytest.mark.parametrize("url", FORMS)
def test_page_of_viewer_has_no_form(client: Client, viewer: User, url: str) -> None:
    reply = client.post(url, {"version": "2", "level": "full", "symbolicate_max_jobs": "40"})
    assert reply.status_code == 403
    assert "This needs the permission runtimeconfig.change_option" in reply.content.decode()


@pytest.mark.parametrize("url", FORMS)
def test_form_of_other_site_is_refused(operator: User, url: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    reply = client.post(url, {"version": "2", "symbolicate_max_jobs": "40"})
    assert reply.status_code == 403
    assert "came from another site" in reply.content.decode()
    assert "default-src" in reply["Content-Security-Policy"]


def test_form_of_this_site_is_accepted(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    form = form_of(client.get("/config/").content.decode(), "symbolicate_max_jobs")
    reply = client.post(form.action, form.fields | {"symbolicate_max_jobs": "40"})
    assert (reply.status_code, service.find_texts(3)) == (302, {"symbolicate_max_jobs": "40"})


@pytest.mark.parametrize("url", [*PAGES, "/config/versions/77/"])
def test_page_policy_forbids_foreign_scripts(client: Client, operator: User, url: str) -> None:
    reply = client.get(url)
    policy = dict(part.split(" ", 1) for part in reply["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["script-src"] == "'self'"
    page = reply.content.decode()
    assert not re.search(r"<script(?! src=\"/static/)|<style|\sstyle=|\son\w+=|javascript:", page)


@pytest.mark.parametrize("url", PAGES)
def test_page_is_never_cached(client: Client, operator: User, url: str) -> None:
    assert "no-store" in client.get(url)["Cache-Control"]


def test_style_sheet_is_served(client: Client, operator: User) -> None:
    [url] = re.findall(r'<link rel="stylesheet" href="([^"]+)"', client.get("/config/").content.decode())
    reply = client.get(url)
    assert (reply.status_code, reply["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert b"prefers-color-scheme: dark" in b"".join(reply)


def test_version_unknown_is_not_found(client: Client, operator: User) -> None:
    reply = client.get("/config/versions/77/")
    assert reply.status_code == 404
    assert "There is no version 77" in reply.content.decode()


@pytest.mark.parametrize("url", PAGES)
def test_page_session_store_down_is_unavailable(client: Client, operator: User, url: str) -> None:
    away = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(CACHES=settings.CACHES | {"default": away}):
        reply = client.get(url)
    assert (reply.status_code, reply["Retry-After"]) == (503, "5")
    assert "Sessions cannot be read" in reply.content.decode()
    assert not reply.cookies, "nobody is logged out by that"


def test_page_database_down_is_unavailable(client: Client, operator: User) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OperationalError("the password is swordfish")

    with connection.execute_wrapper(refuse):
        reply = client.get("/config/")
    assert reply.status_code == 503
    assert "The database does not answer" in reply.content.decode()
    assert "swordfish" not in reply.content.decode()


def test_error_page_has_no_address_of_a_bucket(rf: RequestFactory) -> None:
    @open_page
    def read_bucket(_request: HttpRequest) -> NoReturn:
        raise Unavailable("s3://crashes/dumps: the bucket does not answer")

    reply = read_bucket(rf.get("/"))
    assert reply.status_code == 503
    assert "crashes" not in reply.content.decode()
    assert "the bucket does not answer" in reply.content.decode()


def test_logout_uses_login_backend(client: Client, operator: User) -> None:
    page = client.get("/config/").content.decode()
    assert 'action="/logout/"' in page


@pytest.mark.urls("tests.accounts.site_with_login")
def test_logout_with_provider_uses_provider(client: Client, operator: User) -> None:
    page = client.get("/config/").content.decode()
    assert 'action="/oidc/logout/"' in page


@pytest.mark.parametrize("url", PAGES)
def test_page_wrong_method_is_405(client: Client, operator: User, url: str) -> None:
    assert client.put(url).status_code == 405


@override_settings(SPOOL_DIR="/nowhere")
def test_form_with_file_writes_nothing_to_disk(client: Client) -> None:
    file = SimpleUploadedFile("large.bin", b"x" * 100_000)
    reply = client.post("/symbolicate/", {"text": "no stack", "more": file})
    assert (reply.status_code, "No stack found" in reply.content.decode()) == (400, True)
    assert not reply.wsgi_request.FILES


def test_login_page_without_accounts_shows_the_command(client: Client) -> None:
    person("token-only@example.com")
    page = client.get("/login/").content.decode()
    assert "make admin" in page
    assert "python manage.py createsuperuser" in page


def test_login_page_with_an_account_shows_no_command(client: Client) -> None:
    User.objects.create_user("ada", password="swordfish")
    assert "make admin" not in client.get("/login/").content.decode()


def test_login_page_database_down_shows_the_form(client: Client) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OperationalError("gone")

    with connection.execute_wrapper(refuse):
        page = client.get("/login/").content.decode()
    assert 'name="password"' in page
    assert "make admin" not in page
