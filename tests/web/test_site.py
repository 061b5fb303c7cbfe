from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tecken.web.auth import Group
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


def test_menu_groups_pages(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    menu = menu_of(client)
    assert re.findall(r"<button[^>]*>(.*?)</button>", menu) == [group.value for group in Group if group]
    assert (
        '<button type="button" popovertarget="menu-operation" aria-current="true">Operation</button>' in menu
    )
    operation = menu.partition('id="menu-operation"')[2].partition("</ul>")[0]
    titles = re.findall(r">(\w+)</a>", operation)
    assert titles == ["Store", "Jobs", "Configuration", "Health", "Admin"]
    assert '<a href="/config/" aria-current="true">' in operation


def test_menu_group_of_one_page_is_a_link(client: Client) -> None:
    menu = client.get("/symbolicate/").content.decode().partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r"<button[^>]*>(.*?)</button>", menu) == ["Symbols", "Help"]
    assert '\n<a href="/health/">Health</a>\n' in menu
    assert "/tokens/" not in menu
