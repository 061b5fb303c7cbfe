from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client, RequestFactory
from pytest_django import Settings

from tecken.accounts.sessions import SALT, STAFF_COOKIE, is_staff

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]


@pytest.fixture
def person() -> User:
    return User.objects.create_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(person: User) -> Client:
    """Has been to a page for people."""
    client = Client()
    client.force_login(person)
    client.get("/admin/")
    return client


def passes(value: str) -> bool:
    request = RequestFactory().get("/")
    request.COOKIES[STAFF_COOKIE] = value
    return is_staff(request)


def test_page_for_staff_sets_the_cookie(browser: Client) -> None:
    assert passes(browser.cookies[STAFF_COOKIE].value)


@pytest.mark.parametrize("secure", [True, False])
def test_staff_cookie_is_http_only_and_same_site(browser: Client, settings: Settings, secure: bool) -> None:
    settings.SECURE_COOKIES = secure
    cookie: Any = browser.get("/admin/").cookies[STAFF_COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert bool(cookie["secure"]) == secure
    assert cookie["max-age"] == 12 * 3600


def test_logout_deletes_the_staff_cookie(browser: Client) -> None:
    browser.post("/admin/logout/")
    assert browser.cookies[STAFF_COOKIE].value == ""


def test_page_for_a_former_staff_member_deletes_the_cookie(browser: Client, person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_staff=False)
    browser.get("/admin/")
    assert browser.cookies[STAFF_COOKIE].value == ""


def test_page_for_other_users_sets_no_staff_cookie(client: Client) -> None:
    client.force_login(User.objects.create_user("ada"))
    client.get("/admin/")
    client.get("/static/admin/css/base.css").close()
    assert STAFF_COOKIE not in client.cookies


def test_forged_staff_cookie_is_invalid() -> None:
    for forged in ("", "1", "yes", signing.dumps(1), signing.dumps(1, key="another", salt=SALT)):
        assert not passes(forged)


def test_expired_staff_cookie_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.core.signing.time.time", lambda: 1_000_000_000.0)
    old = signing.dumps(1, salt=SALT)
    assert passes(old)
    monkeypatch.undo()
    assert not passes(old)
