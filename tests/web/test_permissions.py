"""Each page and each thing that can be done on one, tried by everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.upload.uploaders import SYM, SYM_KEY
from tests.upload.zips import zipped
from tests.web.everything import (
    ARCHIVE_OF_OWNER,
    DEAD,
    NAMES,
    NOTES_OF_OWNER,
    PEOPLE,
    STACK,
    Everything,
    comes,
)

pytest_plugins = ["tests.web.site"]
pytestmark = pytest.mark.django_db

EVERYBODY = ("nobody", *PEOPLE, "superuser")
KNOWN = EVERYBODY[1:]
UPLOADERS = ("owner", "other", "superuser")
SEE_UPLOADS = ("owner", "other", "auditor", "superuser")
MANAGE_TOKENS = ("owner", "other", "auditor", "operator", "superuser")
LOOK = ("viewer", "operator", "superuser")
CHANGE = ("operator", "superuser")
FROM_US = {"Origin": "http://testserver"}
ARCHIVE = zipped({str(SYM_KEY): SYM})


class Act(NamedTuple):
    """A page that is opened or, with `sent`, a form; whom it serves, and for whom it is not there.

    Nobody is sent to log in, or told so of a form; everybody else is refused.
    """

    page: str
    served: tuple[str, ...]
    sent: Mapping[str, object] | None = None
    absent: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        return "GET" if self.sent is None else "POST"

    def __str__(self) -> str:
        words = () if self.sent is None else ("form", *(str(self.sent[k]) for k in KINDS if k in self.sent))
        return "-".join((self.page, *words))

    def for_whom(self, who: str) -> str:
        if who in self.served:
            return "served"
        if who in self.absent:
            return "absent"
        return "login" if who == "nobody" and self.sent is None else "forbidden"


KINDS = ("do", "action")
OTHERS = ("other", "auditor", "operator", "superuser")
ACTS = (
    Act("home", EVERYBODY),
    Act("symbolicate", EVERYBODY),
    Act("symbolicate", EVERYBODY, {"text": STACK}),
    Act("symbolicate", EVERYBODY, {"text": STACK, "do": "json"}),
    Act("symbolicate", EVERYBODY, {"text": STACK, "do": "share"}),
    Act("shared", EVERYBODY),
    Act("explain", EVERYBODY),
    Act("explained", EVERYBODY),
    Act("explained", (*SEE_UPLOADS, "operator"), {}),
    Act("missing", EVERYBODY),
    Act("help", EVERYBODY),
    Act("help-topic", EVERYBODY),
    Act("health", EVERYBODY),
    Act("api-docs", EVERYBODY),
    Act("uploads", SEE_UPLOADS),
    Act("uploads", UPLOADERS, {"archive": ARCHIVE}),
    Act("upload", ("owner", "auditor", "superuser"), absent=("other",)),
    Act("upload", ("owner",), {"do": "cancel"}, absent=("other",)),
    Act("files", SEE_UPLOADS),
    Act("tokens", KNOWN),
    Act("tokens", MANAGE_TOKENS, {"permission": "tokens.manage_tokens", "days": 30}),
    *(Act("token", ("owner",), {"do": do, "days": 30}, OTHERS) for do in ("extend", "revoke", "delete")),
    Act("store", LOOK),
    Act("store", CHANGE, {}),
    Act("jobs", LOOK),
    *(Act("jobs", CHANGE, {"do": do, "job": DEAD.id}) for do in ("retry", "drop", "forget")),
    Act("job", LOOK),
    Act("config", LOOK),
    Act("config", CHANGE, {"version": 2, "symbolicate_max_jobs": 40}),
    Act("config-history", LOOK),
    Act("config-version", LOOK),
    Act("config-version", CHANGE, {"version": 2}),
    Act("maintenance", LOOK),
    Act("maintenance", CHANGE, {"level": "uploads", "action": "begin"}),
    Act("maintenance", CHANGE, {"level": "uploads", "action": "end"}),
)
PAGES = [act for act in ACTS if act.page in NAMES and act.sent is None]
FORMS = [act for act in ACTS if act.page in NAMES and act.sent is not None]
GONE = {"home": {"POST"}}
"""Symbolication was there long ago: 410 for everybody."""


def files(sent: Mapping[str, object]) -> dict[str, object]:
    """Bytes as a browser sends a file."""
    return {
        name: SimpleUploadedFile(f"{name}.zip", value, "application/zip")
        if isinstance(value, bytes)
        else value
        for name, value in sent.items()
    }


def does(client: Client, act: Act, path: str) -> Any:
    if act.sent is None:
        return client.get(path, headers={"Accept": "text/html"})
    return client.post(path, files(act.sent), headers=FROM_US)


def became(reply: Any) -> str:
    """What a browser is told, in a word."""
    if reply.status_code == 302 and reply["Location"].startswith("/admin/login/"):
        return "login"
    return {200: "served", 201: "served", 302: "served", 403: "forbidden", 404: "absent"}[reply.status_code]


def test_every_page_is_in_the_table() -> None:
    assert sorted({act.page for act in ACTS} & set(NAMES)) == NAMES, "add an Act for whom it serves"


def test_everything_that_can_be_sent_is_in_the_table(client: Client, everything: Everything) -> None:
    comes(client, "superuser")
    for name in NAMES:
        reply = client.generic("PUT", everything.path(name), headers=FROM_US)
        methods = set(reply.get("Allow", "GET").split(", ")) - {"HEAD", "OPTIONS"} - GONE.get(name, set())
        tried = {act.method for act in ACTS if act.page == name}
        assert methods == tried, f"add an Act for each method of {name}"


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_who_sees_what(client: Client, everything: Everything, act: Act) -> None:
    """Also on a page that they may open, nobody sees what is another's own."""
    for who in EVERYBODY:
        comes(client, who)
        reply = does(client, act, everything.path(act.page))
        assert (who, became(reply)) == (who, act.for_whom(who)), reply.content
        page = reply.content.decode()
        assert NOTES_OF_OWNER not in page or who == "owner"
        assert ARCHIVE_OF_OWNER not in page or who in ("owner", "auditor", "superuser")


@pytest.mark.parametrize("act", FORMS, ids=str)
def test_whoever_may_not_do_it_changes_nothing(client: Client, everything: Everything, act: Act) -> None:
    before = everything.state()
    for who in set(EVERYBODY) - set(act.served):
        comes(client, who)
        reply = does(client, act, everything.path(act.page))
        assert (who, became(reply)) == (who, act.for_whom(who)), reply.content
        assert everything.state() == before


@pytest.mark.parametrize(("act", "who"), [(act, who) for act in FORMS for who in act.served], ids=str)
def test_whoever_may_do_it_does(client: Client, everything: Everything, act: Act, who: str) -> None:
    comes(client, who)
    reply = does(client, act, everything.path(act.page))
    assert became(reply) == "served", reply.content


@pytest.mark.parametrize("who", EVERYBODY)
def test_no_button_leads_to_a_refusal(client: Client, everything: Everything, who: str) -> None:
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
