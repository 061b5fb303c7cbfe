from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.test import Client, RequestFactory
from pytest_django import Settings

from tecken.accounts.staff import COOKIE, SALT, is_staff

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
    request.COOKIES[COOKIE] = value
    return is_staff(request)


def test_a_visit_makes_one_known(browser: Client) -> None:
    assert passes(browser.cookies[COOKIE].value)


@pytest.mark.parametrize("secure", [True, False])
def test_scripts_and_other_sites_cannot_use_it(browser: Client, settings: Settings, secure: bool) -> None:
    settings.SECURE_COOKIES = secure
    cookie: Any = browser.get("/admin/").cookies[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert bool(cookie["secure"]) == secure
    assert cookie["max-age"] == 12 * 3600


def test_logging_out_takes_it_away(browser: Client) -> None:
    browser.post("/admin/logout/")
    assert browser.cookies[COOKIE].value == ""


def test_so_does_a_visit_by_one_who_is_staff_no_more(browser: Client, person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_staff=False)
    browser.get("/admin/")
    assert browser.cookies[COOKIE].value == ""


def test_nobody_else_has_it(client: Client) -> None:
    client.force_login(User.objects.create_user("ada"))
    client.get("/admin/")
    client.get("/static/admin/css/base.css").close()
    assert COOKIE not in client.cookies


def test_a_forged_one_is_none() -> None:
    for forged in ("", "1", "yes", signing.dumps(1), signing.dumps(1, key="another", salt=SALT)):
        assert not passes(forged)


def test_an_old_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.core.signing.time.time", lambda: 1_000_000_000.0)
    old = signing.dumps(1, salt=SALT)
    assert passes(old)
    monkeypatch.undo()
    assert not passes(old)
