"""Every page and every form, as each kind of user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tests.web.acts import ACTS, EVERYBODY, FORMS, FROM_US, GONE, PAGES, Act, does
from tests.web.everything import ARCHIVE_OF_OWNER, NAMES, NOTES_OF_OWNER, Everything, comes

pytest_plugins = ["tests.web.site"]
pytestmark = pytest.mark.django_db


def became(reply: Any) -> str:
    """Return the outcome of a response in one word."""
    if reply.status_code == 302 and reply["Location"].startswith("/login/"):
        return "login"
    return {200: "served", 201: "served", 302: "served", 403: "forbidden", 404: "absent"}[reply.status_code]


def test_acts_include_every_page() -> None:
    assert sorted({act.page for act in ACTS}) == NAMES, "add an Act for whom it serves"


def test_acts_include_every_method(client: Client, everything: Everything) -> None:
    comes(client, "superuser")
    for name in NAMES:
        reply = client.generic("PUT", everything.path(name), headers=FROM_US)
        methods = set(reply.get("Allow", "GET").split(", ")) - {"HEAD", "OPTIONS"} - GONE.get(name, set())
        tried = {act.method for act in ACTS if act.page == name}
        assert methods == tried, f"add an Act for each method of {name}"


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_page_is_served_to_permitted_users_only(client: Client, everything: Everything, act: Act) -> None:
    """A page that users may open must not show them data of other users."""
    for who in EVERYBODY:
        comes(client, who)
        reply = does(client, act, everything.path(act.page))
        assert (who, became(reply)) == (who, act.for_whom(who)), reply.content
        page = reply.content.decode()
        assert NOTES_OF_OWNER not in page or who == "owner"
        assert ARCHIVE_OF_OWNER not in page or who in ("owner", "auditor", "superuser")


@pytest.mark.parametrize("act", FORMS, ids=str)
def test_form_of_other_users_changes_nothing(client: Client, everything: Everything, act: Act) -> None:
    before = everything.state()
    for who in set(EVERYBODY) - set(act.served):
        comes(client, who)
        reply = does(client, act, everything.path(act.page))
        assert (who, became(reply)) == (who, act.for_whom(who)), reply.content
        assert everything.state() == before


@pytest.mark.parametrize(("act", "who"), [(act, who) for act in FORMS for who in act.served], ids=str)
def test_form_of_permitted_users_is_served(
    client: Client, everything: Everything, act: Act, who: str
) -> None:
    comes(client, who)
    reply = does(client, act, everything.path(act.page))
    assert became(reply) == "served", reply.content


@pytest.mark.parametrize("who", EVERYBODY)
def test_page_has_no_button_that_is_refused(client: Client, everything: Everything, who: str) -> None:
    comes(client, who)
    refused = {everything.path(act.page) for act in FORMS if who not in act.served}
    for act in PAGES:
        if who in act.served:
            path = everything.path(act.page)
            assert refused.isdisjoint(sendable(does(client, act, path).content.decode(), path)), act.page


def sendable(page: str, path: str) -> Iterator[str]:
    """Where the forms of a page are sent."""
    for form in re.findall(r'<form\b[^>]*\bmethod="post".*?</form>', page, re.DOTALL):
        if "<button" in form:
            action = re.match(r'[^>]*\baction="([^"]*)"', form)
            yield action[1] if action else path
