from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tecken.web.formatting import ago, count, percent, seconds, size
from tests.web.api.people import person

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1234, "1.2 KB"), (34_000_000, "34 MB"), (7.2e15, "7200 TB"), (None, "")],
)
def test_size_formats_bytes(number: float | None, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0123, "12 ms"),
        (1.25, "1.2 s"),
        (42, "42 s"),
        (75, "1 min 15 s"),
        (120, "2 min"),
        (9000, "2 h 30 min"),
        (400_000, "4 days"),
        (None, ""),
    ],
)
def test_seconds_formats_durations(number: float | None, text: str) -> None:
    assert seconds(number) == text


def test_count_and_percent_format_numbers() -> None:
    assert (count(1234567), percent(0.9951), count(None), percent(None)) == ("1,234,567", "99.5 %", "", "")


def test_ago_shows_elapsed_time() -> None:
    assert ">2 min ago</time>" in ago(timezone.now() - timedelta(minutes=2, milliseconds=200))
    assert ago(None) == ""


def menu_of(client: Client) -> str:
    page = client.get("/config/").content.decode() if client.session.keys() else ""
    return page.partition("<nav")[2].partition("</nav>")[0]


@pytest.mark.parametrize(
    ("permissions", "finds", "finds_not"),
    [
        (["runtimeconfig.view_option"], ["Symbolicate", "Tokens", "Store", "Jobs"], ["Uploads"]),
        (
            ["runtimeconfig.view_option", "upload.view_all_uploads"],
            ["Uploads", "Files", "Help"],
            ["Admin"],
        ),
    ],
)
def test_menu_shows_permitted_pages_only(
    client: Client, permissions: list[str], finds: list[str], finds_not: list[str]
) -> None:
    client.force_login(person("somebody@example.com", *permissions))
    menu = menu_of(client)
    assert [title for title in finds if f">{title}</a>" not in menu] == []
    assert [title for title in finds_not if f">{title}</a>" in menu] == []
