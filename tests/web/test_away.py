"""Each page while a part of the site is away: what it still shows, and what it says is missing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection
from django.test import Client

from tecken import services
from tests.support.redis_server import free_port
from tests.web.acts import FORMS, PAGES, Act, does
from tests.web.everything import Everything, comes
from tests.web.harm import Harm

pytest_plugins = ["tests.web.site"]
pytestmark = pytest.mark.django_db

SECRET = "the password is swordfish"
SAYS: dict[str, dict[str, tuple[int, str]]] = {
    "redis-cache": {
        "home": (200, "redis-cache does not answer"),
        "shared": (503, "It cannot be read now: redis-cache does not answer"),
        "minidump": (503, "The result cannot be read now: redis-cache"),
        "explained": (200, "redis-cache does not answer"),
        "health": (200, "redis-cache unavailable"),
    },
    "redis-store": {
        "home": (200, "redis-store does not answer"),
        "shared": (503, "None of 1 modules could be read"),
        "explained": (200, "redis-store does not answer"),
        "health": (200, "redis-store unavailable"),
        "store": (200, "redis-store does not answer"),
    },
    "database": {
        "explained": (200, "The database does not answer"),
        "missing": (503, "The database does not answer"),
    },
    "storage": {
        "home": (200, "Storage does not answer"),
        "minidump": (503, "The result cannot be read now: the storage does not answer"),
        "explained": (200, "storage does not answer"),
        "health": (200, "Storage unavailable"),
    },
}
"""Whatever is not here is shown as ever."""
NOBODY_IS_KNOWN = {"redis-cache": "Sessions cannot be read", "database": "The database does not answer"}
"""What is for some only is then for none."""


def nowhere() -> str:
    return f"redis://127.0.0.1:{free_port()}/0"


@contextmanager
def away(part: str, settings: LazySettings) -> Iterator[None]:
    TAKEN_AWAY[part](settings)
    services.discard_all()
    if part == "database":
        with connection.execute_wrapper(refuse):
            yield
    else:
        yield


def without_redis_cache(settings: LazySettings) -> None:
    place = nowhere()
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": place}}
    settings.REDIS_QUEUE_URL = settings.REDIS_COUNTERS_URL = place


def without_redis_store(settings: LazySettings) -> None:
    settings.CACHES = {**settings.CACHES, "store": {**settings.CACHES["store"], "LOCATION": nowhere()}}


def without_storage(settings: LazySettings) -> None:
    settings.STORAGE_URL = Path(__file__).as_uri()  # nothing can be below it


def refuse(*_: object) -> NoReturn:
    raise OperationalError(SECRET)


TAKEN_AWAY: dict[str, Callable[[LazySettings], None]] = {
    "redis-cache": without_redis_cache,
    "redis-store": without_redis_store,
    "database": lambda _settings: None,
    "storage": without_storage,
}


def expected(part: str, act: Act, who: str) -> tuple[int, str]:
    if who in act.absent:
        return 404, ""
    if "nobody" not in act.served and who == "nobody":
        return 302, ""
    if "nobody" not in act.served and part in NOBODY_IS_KNOWN:
        return 503, NOBODY_IS_KNOWN[part]
    return SAYS[part].get(act.page, (200, ""))


def text_of(reply: Any) -> str:
    main = reply.content.decode().partition("<main")[2]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", main)).split())


@pytest.mark.parametrize("part", SAYS)
@pytest.mark.parametrize("who", ["nobody", "superuser"])
def test_page_with_server_down_shows_rest(
    client: Client, everything: Everything, settings: LazySettings, part: str, who: str
) -> None:
    comes(client, who)
    paths = {act.page: everything.path(act.page) for act in PAGES}
    with away(part, settings):
        for act in PAGES:
            reply = does(client, act, paths[act.page])
            status, says = expected(part, act, who)
            assert (act.page, reply.status_code) == (act.page, status), text_of(reply)
            assert says in text_of(reply), act.page
            assert Harm(reply.content.decode()).found == []
            assert SECRET not in reply.content.decode()
            assert ("Retry-After" in reply) == (status == 503), act.page
            assert "sessionid" not in reply.cookies, "nobody is logged out by that"


@pytest.mark.parametrize("part", SAYS)
@pytest.mark.parametrize("act", FORMS, ids=str)
def test_form_with_server_down_is_answered(
    client: Client, everything: Everything, settings: LazySettings, part: str, act: Act
) -> None:
    """The form is executed, or the response names the part that is unavailable."""
    comes(client, "owner" if "owner" in act.served else "superuser")
    path = everything.path(act.page)
    with away(part, settings):
        reply = does(client, act, path)
    assert reply.status_code in (200, 201, 302, 503), text_of(reply)
    if reply.status_code == 503:
        assert re.search("does not answer|cannot be|Unable to|again in", text_of(reply)), text_of(reply)
        assert "Retry-After" in reply
        assert SECRET not in reply.content.decode()
