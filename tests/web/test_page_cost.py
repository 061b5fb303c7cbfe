"""Cost of each page: bytes for the browser, and work for the database and Redis.

A bound is about a quarter above what the page needs today, for the user who sees most of it, so a page that
doubles fails. Time depends on the machine, and is measured by `python -m bench.pages`.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from redis.connection import AbstractConnection

from tecken.symbolication import services as symbolication_services
from tests.web.acts import PAGES, Act, does
from tests.web.everything import Everything, comes

pytest_plugins = ["tests.web.site"]
pytestmark = pytest.mark.django_db

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
RESOURCE = re.compile(r'<(?:script src|link rel="(?:stylesheet|icon)" href)="/static/([^"]+)"')


class Bound(NamedTuple):
    """Most kilobytes of HTML, style sheet, icon and scripts; most queries and Redis commands.

    The second number of kilobytes is that of all parts compressed by gzip, as the site sends them.
    """

    plain: int
    compressed: int
    queries: int
    commands: int


BOUNDS = {
    "add-to-ci": Bound(45, 11, 8, 4),
    "api-docs": Bound(135, 22, 3, 4),
    "config": Bound(150, 38, 6, 5),
    "config-history": Bound(45, 11, 6, 4),
    "config-version": Bound(40, 10, 6, 4),
    "doctor": Bound(110, 32, 3, 6),
    "explain": Bound(40, 10, 3, 4),
    "explained": Bound(110, 32, 8, 16),
    "fetched": Bound(45, 11, 6, 4),
    "files": Bound(40, 11, 7, 4),
    "health": Bound(115, 33, 3, 5),
    "help": Bound(40, 11, 3, 4),
    "help-topic": Bound(45, 13, 3, 4),
    "home": Bound(110, 33, 6, 6),
    "job": Bound(40, 10, 3, 5),
    "jobs": Bound(115, 33, 3, 38),
    "maintenance": Bound(110, 32, 3, 5),
    "minidump": Bound(60, 14, 6, 8),
    "missing": Bound(40, 10, 5, 4),
    "shared": Bound(45, 12, 3, 7),
    "store": Bound(110, 32, 3, 11),
    "symbolicate": Bound(40, 11, 3, 4),
    "tokens": Bound(45, 11, 8, 4),
    "tour": Bound(120, 35, 3, 4),
    "upload": Bound(105, 32, 8, 5),
    "usage": Bound(50, 13, 12, 6),
    "usage-token": Bound(50, 13, 12, 6),
    "usage-user": Bound(50, 13, 16, 6),
    "uploads": Bound(115, 35, 7, 4),
}


class Weight(NamedTuple):
    plain: int
    compressed: int


def weigh(page: bytes) -> Weight:
    """Return the bytes of a page with everything that a browser loads for it."""
    paths = [finders.find(name) for name in RESOURCE.findall(page.decode())]
    parts = [page, *(Path(str(path)).read_bytes() for path in paths)]
    return Weight(sum(map(len, parts)), sum(len(gzip.compress(part, 6)) for part in parts))


OF_CONNECTIONS = {"AUTH", "CLIENT", "HELLO", "PING", "SELECT"}


@contextmanager
def counted_commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Collect the Redis commands of this process, in all its threads."""
    commands: list[Any] = []
    send: Any = AbstractConnection.send_command
    pack: Any = AbstractConnection.pack_commands

    def send_command(self: Any, *arguments: Any, **options: Any) -> Any:
        commands.append(arguments[0])
        return send(self, *arguments, **options)

    def pack_commands(self: Any, packed: Any) -> Any:
        listed = list(packed)
        commands.extend(command[0] for command in listed)
        return pack(self, listed)

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "send_command", send_command)
        patch.setattr(AbstractConnection, "pack_commands", pack_commands)
        yield commands


def store_samples() -> None:
    for sample in SAMPLES.glob("*/*/*.sym"):
        symbolication_services.importer().import_file(partial(_chunks, sample))


def _chunks(sample: Path) -> Iterator[bytes]:
    yield sample.read_bytes()


def test_each_page_has_a_bound() -> None:
    assert sorted(BOUNDS) == sorted({act.page for act in PAGES})


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_page_costs_no_more_than_its_bound(
    client: Client,
    everything: Everything,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    act: Act,
) -> None:
    if act.page == "tour":
        store_samples()
    bound = BOUNDS[act.page]
    comes(client, "superuser")
    path = everything.path(act.page)
    # The first request fills the caches of the process: health, templates, connections.
    does(client, act, path)
    with django_assert_max_num_queries(bound.queries), counted_commands(monkeypatch) as commands:
        response = does(client, act, path)
    assert response.status_code == 200
    weight = weigh(response.content)
    assert weight.plain <= bound.plain * 1000
    assert weight.compressed <= bound.compressed * 1000
    # A new connection sends some of its own, whenever an earlier test has closed the last one.
    sent = [command for command in commands if command not in OF_CONNECTIONS]
    assert len(sent) <= bound.commands, sent
