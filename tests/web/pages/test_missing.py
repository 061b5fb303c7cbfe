"""Tests of the page of missing symbols."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from hashlib import md5

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tecken.download.models import MissingSymbol
from tecken.web import lists

ID = "44E4EC8C2F41492B9369D6B9A059577C2"
pytestmark = pytest.mark.django_db


def missing(debug_file: str, count: int, days: int = 0, **columns: str | int) -> None:
    MissingSymbol.objects.create(
        digest=md5(f"{debug_file} {columns}".encode(), usedforsecurity=False).hexdigest(),
        count=count,
        last_seen=timezone.now() - timedelta(days=days),
        **{"debug_file": debug_file, "debug_id": ID, **columns},
    )


def shown(client: Client, query: str = "", status: int = 200) -> str:
    reply = client.get(f"/missing/{query}")
    assert reply.status_code == status, reply.content
    return reply.content.decode()


def rows(client: Client, query: str = "") -> list[list[str]]:
    reply = client.get(f"/missing/?format=csv{query}")
    assert reply["Content-Type"] == "text/csv; charset=utf-8"
    assert reply["Content-Disposition"] == 'attachment; filename="missing.csv"'
    return list(csv.reader(io.StringIO(reply.content.decode())))[1:]


def test_missing_empty_shows_text(client: Client) -> None:
    assert "No missing file has been requested yet." in shown(client)


def test_missing_sorts_by_count_or_time(client: Client) -> None:
    missing("rare.pdb", 1, days=0)
    missing("wanted.pdb", 1_234_567, days=3)
    page = shown(client)
    assert page.index("wanted.pdb") < page.index("rare.pdb")
    assert "1,234,567" in page
    assert f'href="/explain/wanted.pdb/{ID}/"' in page
    assert '<a href="?sort=count&amp;reverse=true" aria-current="page">Most requested</a>' in page
    latest = shown(client, "?sort=last_seen&reverse=true")
    assert latest.index("rare.pdb") < latest.index("wanted.pdb")
    assert '<a href="?sort=last_seen&amp;reverse=true" aria-current="page">Latest</a>' in latest


def test_missing_filters_select_rows(client: Client) -> None:
    missing("a.pdb", 1, days=0)
    missing("b.pdb", 10, days=3)
    assert "b.pdb" not in shown(client, "?debug_file=a.pdb").partition("<tbody")[2]
    assert "a.pdb" not in shown(client, "?count=%3E%3D10").partition("<tbody")[2]
    assert "b.pdb" not in shown(client, "?last_seen=today").partition("<tbody")[2]
    assert "No missing file matches these filters." in shown(client, "?debug_file=c.pdb")


def test_missing_by_code_id_links_explanation(client: Client) -> None:
    missing("", 5, debug_id="", code_file="xul.dll", code_id="5AB380779000")
    assert 'href="/explain/?code_file=xul.dll&amp;code_id=5AB380779000"' in shown(client)


def test_missing_has_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PAGE_ROWS", 2)
    for number in range(3):
        missing(f"{number}.pdb", number)
    assert "?page=2" in shown(client)
    page = shown(client, "?page=2")
    assert "0.pdb" in page
    assert "2.pdb" not in page


@pytest.mark.parametrize("query", ["?count=many", "?last_seen=soon", "?page=0", "?sort=digest", "?after=x"])
def test_missing_invalid_filter_is_400(client: Client, query: str) -> None:
    assert 'role="alert"' in shown(client, query, 400)
    assert 'role="alert"' in shown(client, f"{query}&format=csv", 400)


def test_missing_csv_keeps_order_and_filters(client: Client) -> None:
    missing("a.pdb", 1, code_file="a.dll")
    missing("b.pdb", 10)
    missing("c.pdb", 100)
    found = rows(client, "&count=%3E1")
    assert [row[:5] for row in found] == [["c.pdb", ID, "", "", "100"], ["b.pdb", ID, "", "", "10"]]
    assert [row[0] for row in rows(client, "&sort=count")] == ["a.pdb", "b.pdb", "c.pdb"]


def test_missing_shows_requests_of_debuggers(client: Client) -> None:
    missing("", 7, debug_id="", code_id="AB" * 20, debuginfod=6, symsrv=1)
    missing("a.pdb", 1)
    page = shown(client, "?debuginfod=%3E0")
    assert "no name" in page
    assert "AB" * 20 in page
    assert "a.pdb</bdi>" not in page
    assert [row[4:5] + row[6:] for row in rows(client, "&symsrv=1")] == [["7", "0", "6", "1"]]


def test_missing_csv_defuses_formulas(client: Client) -> None:
    missing("=HYPERLINK(1)", 1)
    assert [row[0] for row in rows(client)] == ["'=HYPERLINK(1)"]


def test_missing_escapes_names(client: Client) -> None:
    missing("<script>alert(1)</script>\u202egnp.exe", 1, code_file='"><img src=x>')
    page = shown(client)
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in page


def test_missing_has_few_queries(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        missing(f"{number}.pdb", number)
    with django_assert_max_num_queries(4):
        shown(client)
