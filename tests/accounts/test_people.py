"""The pages for people, and what every other request is spared."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tecken.accounts.models import Token
from tests.accounts.people import key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", "root@example.com", "secret"))
    return client


def shown(client: Client, path: str) -> str:
    reply = client.get(path)
    assert reply.status_code == 200
    return reply.content.decode()


def test_admin_page_of_a_token_has_the_hint_and_no_digest(admin: Client) -> None:
    key("tokens.manage_tokens")
    token = Token.objects.get()
    for page in ("/admin/tokens/token/", f"/admin/tokens/token/{token.pk}/change/"):
        text = shown(admin, page)
        assert token.hint in text
        assert token.digest not in text


def test_admin_can_end_a_token_and_not_create_one(admin: Client) -> None:
    key("tokens.manage_tokens")
    token = Token.objects.get()
    assert admin.get("/admin/tokens/token/add/").status_code == 403
    ended = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00", "notes": "ended"}
    assert admin.post(f"/admin/tokens/token/{token.pk}/change/", ended).status_code == 302
    token.refresh_from_db()
    assert (token.is_expired, token.notes) == (True, "ended")


def test_admin_has_users_and_groups(admin: Client) -> None:
    assert "root@example.com" in shown(admin, "/admin/auth/user/")
    assert "Groups" in shown(admin, "/admin/auth/group/")


def test_admin_page_for_another_user_redirects(client: Client) -> None:
    client.force_login(User.objects.create_user("ada"))
    assert client.get("/admin/tokens/token/").status_code == 302


def test_static_file_of_the_admin_is_served_uncollected(client: Client) -> None:
    reply: Any = client.get("/static/admin/css/base.css")
    assert (reply.status_code, reply["Content-Type"].split(";")[0]) == (200, "text/css")
    assert b"".join(reply.streaming_content)


def test_login_after_too_many_wrong_passwords_is_429_for_this_address(client: Client, settings: Any) -> None:
    User.objects.create_superuser("root", "root@example.com", "secret")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        log_in(client, "wrong")
    assert log_in(client, "secret").status_code == 429
    assert log_in(client, "secret", REMOTE_ADDR="192.0.2.77").status_code == 302


def log_in(client: Client, password: str, **more: Any) -> Any:
    return client.post("/admin/login/", {"username": "root", "password": password}, **more)


def test_admin_login_without_form_token_is_refused() -> None:
    form = {"username": "root", "password": "secret"}
    assert Client(enforce_csrf_checks=True).post("/admin/login/", form).status_code == 403


def test_admin_login_page_denies_frames(client: Client) -> None:
    assert client.get("/admin/login/")["X-Frame-Options"] == "DENY"


def test_symbolication_with_a_session_cookie_needs_no_query(admin: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        reply = admin.post(
            "/symbolicate/v5", {"stacks": [], "memoryMap": []}, content_type="application/json"
        )
    assert reply.status_code == 200
    assert len(queries) == 0


def test_download_of_a_debug_file_called_admin_is_404(client: Client) -> None:
    assert client.get("/admin/44E4EC8C2F41492B9369D6B9A059577C2/admin.sym").status_code == 404


def test_login_and_logout_of_a_user_who_is_not_staff_succeed(client: Client) -> None:
    User.objects.create_user("me", "me@example.com", "secret")
    refused = client.post("/login/", {"username": "me", "password": "wrong"})
    assert refused.status_code == 200
    assert "Please enter a correct username and password" in refused.content.decode()
    reply = client.post("/login/", {"username": "me", "password": "secret", "next": "/tokens/"})
    assert (reply.status_code, reply["Location"]) == (302, "/tokens/")
    assert "me@example.com" in client.get("/tokens/").content.decode()
    assert client.post("/logout/").status_code == 302
    assert client.get("/tokens/").status_code == 302


def test_login_form_has_the_protections_of_the_admin(client: Client, settings: Any) -> None:
    form = {"username": "root", "password": "secret"}
    assert Client(enforce_csrf_checks=True).post("/login/", form).status_code == 403
    User.objects.create_superuser("root", "root@example.com", "secret")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        client.post("/login/", {**form, "password": "wrong"})
    assert client.post("/login/", form).status_code == 429
