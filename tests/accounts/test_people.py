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


def test_an_administrator_sees_tokens_and_no_digest(admin: Client) -> None:
    key("tokens.manage_tokens")
    token = Token.objects.get()
    for page in ("/admin/tokens/token/", f"/admin/tokens/token/{token.pk}/change/"):
        text = shown(admin, page)
        assert token.hint in text
        assert token.digest not in text


def test_an_administrator_can_end_a_token_and_make_none(admin: Client) -> None:
    key("tokens.manage_tokens")
    token = Token.objects.get()
    assert admin.get("/admin/tokens/token/add/").status_code == 403
    ended = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00", "notes": "ended"}
    assert admin.post(f"/admin/tokens/token/{token.pk}/change/", ended).status_code == 302
    token.refresh_from_db()
    assert (token.is_expired, token.notes) == (True, "ended")


def test_users_and_groups_are_there(admin: Client) -> None:
    assert "root@example.com" in shown(admin, "/admin/auth/user/")
    assert "Groups" in shown(admin, "/admin/auth/group/")


def test_nobody_else_sees_them(client: Client) -> None:
    client.force_login(User.objects.create_user("ada"))
    assert client.get("/admin/tokens/token/").status_code == 302


def test_the_admins_files_are_served_without_being_collected(client: Client) -> None:
    reply: Any = client.get("/static/admin/css/base.css")
    assert (reply.status_code, reply["Content-Type"].split(";")[0]) == (200, "text/css")
    assert b"".join(reply.streaming_content)


def test_wrong_passwords_are_counted_for_user_and_address(client: Client, settings: Any) -> None:
    User.objects.create_superuser("root", "root@example.com", "secret")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        log_in(client, "wrong")
    assert log_in(client, "secret").status_code == 429
    assert log_in(client, "secret", REMOTE_ADDR="192.0.2.77").status_code == 302


def log_in(client: Client, password: str, **more: Any) -> Any:
    return client.post("/admin/login/", {"username": "root", "password": password}, **more)


def test_forms_of_other_sites_are_refused() -> None:
    form = {"username": "root", "password": "secret"}
    assert Client(enforce_csrf_checks=True).post("/admin/login/", form).status_code == 403


def test_other_sites_cannot_frame_these_pages(client: Client) -> None:
    assert client.get("/admin/login/")["X-Frame-Options"] == "DENY"


def test_a_cookie_costs_symbolication_nothing(admin: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        reply = admin.post(
            "/symbolicate/v5", {"stacks": [], "memoryMap": []}, content_type="application/json"
        )
    assert reply.status_code == 200
    assert len(queries) == 0


def test_a_debug_file_may_be_called_admin(client: Client) -> None:
    assert client.get("/admin/44E4EC8C2F41492B9369D6B9A059577C2/admin.sym").status_code == 404


def test_whoever_is_no_staff_logs_in_and_out_too(client: Client) -> None:
    User.objects.create_user("me", "me@example.com", "secret")
    refused = client.post("/login/", {"username": "me", "password": "wrong"})
    assert refused.status_code == 200
    assert "Please enter a correct username and password" in refused.content.decode()
    reply = client.post("/login/", {"username": "me", "password": "secret", "next": "/tokens/"})
    assert (reply.status_code, reply["Location"]) == (302, "/tokens/")
    assert "me@example.com" in client.get("/tokens/").content.decode()
    assert client.post("/logout/").status_code == 302
    assert client.get("/tokens/").status_code == 302


def test_its_form_is_guarded_as_the_admins(client: Client, settings: Any) -> None:
    form = {"username": "root", "password": "secret"}
    assert Client(enforce_csrf_checks=True).post("/login/", form).status_code == 403
    User.objects.create_superuser("root", "root@example.com", "secret")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        client.post("/login/", {**form, "password": "wrong"})
    assert client.post("/login/", form).status_code == 429
