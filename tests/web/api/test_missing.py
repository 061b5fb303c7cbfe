"""/api/downloads/missing/."""

from __future__ import annotations

from datetime import timedelta
from hashlib import md5

import pytest
from django.test import Client
from django.utils import timezone

from tecken.download.models import MissingSymbol
from tests.web.api.people import key_of, person

pytestmark = pytest.mark.django_db
LONG = "x" * 64


def missing(debug_file: str, count: int, days: int, code_id: str = "") -> None:
    MissingSymbol.objects.create(
        digest=md5(debug_file.encode(), usedforsecurity=False).hexdigest(),
        debug_file=debug_file,
        debug_id="44E4EC8C2F41492B9369D6B9A059577C2",
        code_file="",
        code_id=code_id,
        count=count,
        last_seen=timezone.now() - timedelta(days=days),
    )


def listed(client: Client, **query: str) -> list[str]:
    auth = {"Auth-Token": key_of(person(f"{len(query)}@example.com", "upload.upload_symbols"))}
    reply = client.get("/api/downloads/missing/", query, headers=auth)
    assert reply.status_code == 200, reply.content
    return [row["debug_file"] for row in reply.json()["missing"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["a.pdb", LONG + "1", LONG + "2"]),
        ({"sort": "count", "reverse": "true"}, [LONG + "2", LONG + "1", "a.pdb"]),
        ({"count": ">=2", "sort": "count"}, [LONG + "1", LONG + "2"]),
        ({"debug_file": "a.pdb"}, ["a.pdb"]),
        ({"debug_file": LONG + "2"}, [LONG + "2"]),
        ({"debug_file": LONG}, []),
        ({"code_id": "5c2e"}, ["a.pdb"]),
        ({"last_seen": "today"}, ["a.pdb"]),
        ({"debug_id": "44e4ec8c2f41492b9369d6b9a059577c2", "last_seen": "<today"}, [LONG + "1", LONG + "2"]),
    ],
)
def test_missing_filters_and_sorts_select_rows(
    client: Client, query: dict[str, str], found: list[str]
) -> None:
    missing("a.pdb", count=1, days=0, code_id="5C2E")
    missing(LONG + "1", count=2, days=2)
    missing(LONG + "2", count=3, days=3)
    assert listed(client, **query) == found


def test_missing_is_for_uploaders(client: Client) -> None:
    assert client.get("/api/downloads/missing/").status_code == 403
