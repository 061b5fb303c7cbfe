"""What is promised of all pages: few questions to the database, little weight, links that lead somewhere."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from tests.web.acts import PAGES, Act, does
from tests.web.everything import Everything, comes

pytest_plugins = ["tests.web.site"]
pytestmark = pytest.mark.django_db

MOST_QUERIES = 10
MOST_BYTES = 150_000
MOST_LINKS = 60
LINK = re.compile(r'<a\b[^>]*\bhref="([/?][^"#]*)')
FILE = ".sym"
"""There are rows of it and nothing in storage."""


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_page_has_few_queries_and_bytes(
    client: Client, everything: Everything, django_assert_max_num_queries: DjangoAssertNumQueries, act: Act
) -> None:
    for who in ("nobody", "owner", "superuser"):
        comes(client, who)
        with django_assert_max_num_queries(MOST_QUERIES):
            reply = does(client, act, everything.path(act.page))
        assert len(reply.content) < MOST_BYTES


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_page_has_one_title_and_ordered_headings(client: Client, everything: Everything, act: Act) -> None:
    comes(client, "superuser")
    page = does(client, act, everything.path(act.page)).content.decode()
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", page)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(deeper <= level + 1 for level, deeper in pairwise(levels)), levels


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_page_links_resolve(client: Client, everything: Everything, act: Act) -> None:
    comes(client, "superuser")
    path = everything.path(act.page)
    page = does(client, act, path).content.decode()
    links = {found.replace("&amp;", "&") for found in LINK.findall(page) if not found.endswith(FILE)}
    for link in sorted(links)[:MOST_LINKS]:
        reply = client.get(link if link.startswith("/") else path + link, headers={"Accept": "text/html"})
        assert (link, reply.status_code in (200, 302)) == (link, True), reply.status_code


@pytest.mark.parametrize("act", PAGES, ids=str)
def test_page_scrolls_with_the_keyboard(client: Client, everything: Everything, act: Act) -> None:
    """A phone shows a part of a wide table. axe detects that only where the table is wide enough."""
    comes(client, "superuser")
    page = does(client, act, everything.path(act.page)).content.decode()
    regions = re.findall(r'<div class="scroll"[^>]*>', page)
    assert [region for region in regions if 'tabindex="0"' not in region] == []
