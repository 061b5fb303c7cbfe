"""Source lines around the frames on the page /symbolicate/."""

from __future__ import annotations

import html
import io
import json
import re

import pytest
from django.test import Client

from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tecken.web import excerpts
from tests.support.options import Override
from tests.support.source_bundles import bundle
from tests.upload.natives import ELF_ID, convert, send_bytes
from tests.upload.uploaders import Makes, Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db
SYM = f"""MODULE Linux x86_64 {ELF_ID} app
FILE 0 /src/outer.c
FILE 1 /src/deep.h
INLINE_ORIGIN 0 deep
FUNC 10 20 0 outer
INLINE 0 7 0 0 10 8
10 8 2 1
18 10 9 0
FUNC 30 8 0 late
30 8 99 0
"""
OUTER = "".join(f"line {number} of outer\n" for number in range(1, 11))
DEEP = "first\n\t<script>alert(1)</script>\x0c\u202e\r\nthird" + "x" * 400


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    """Of a module with its source bundle."""
    builder = uploader()
    send_bytes(builder, FileKey("app", ELF_ID, "app.sym"), SYM.encode())
    file = io.BytesIO(
        bundle(ELF_ID, {"/src/outer.c": OUTER.encode(), "/src/deep.h": DEEP.encode()}, name="app")
    )
    file.name = "sources.zip"
    assert builder.client.post("/upload/", {"sources.zip": file}).status_code == 201
    convert(ObjectId("app", ELF_ID))
    return builder


@pytest.fixture
def reader(builder: Uploader, uploader: Makes, client: Client) -> Client:
    """Person who is logged in and may read source code."""
    user = uploader("view_sources", "reader@example.com").user
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def post(client: Client, *offsets: str, **more: str) -> str:
    text = "\n".join(f"app {ELF_ID} {offset}" for offset in offsets)
    reply = client.post("/symbolicate/", {"text": text, **more})
    assert reply.status_code == 200, reply.content
    return reply.content.decode()


def shown(page: str) -> list[list[str]]:
    """Return the lines of each excerpt, the current one with an arrow."""
    found = []
    for details in re.findall(r'<details class="source".*?</details>', page, re.DOTALL):
        text = details.replace('<span class="current">', ">").partition("</summary>")[2]
        found.append(html.unescape(re.sub(r"<[^>]+>", "", text)).rstrip("\n").split("\n"))
    return found


def test_lines_around_a_frame_are_shown_to_readers(reader: Client) -> None:
    (lines,) = shown(post(reader, "0x1a"))
    before = [f"{number} line {number} of outer" for number in (6, 7, 8)]
    assert lines == [*before, ">9 line 9 of outer", "10 line 10 of outer"]


def test_lines_of_inlined_calls_are_shown_and_escaped(reader: Client) -> None:
    page = post(reader, "0x12")
    deep, outer = sorted(shown(page))
    assert outer[3] == ">7 line 7 of outer"
    assert deep[0] == "1 first"
    assert deep[1].startswith(">2     <script>alert(1)</script>")
    assert deep[2].startswith("3 thirdx")
    assert len(deep[2]) == 302
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_line_that_the_file_does_not_have_shows_nothing(reader: Client) -> None:
    assert shown(post(reader, "0x32")) == []


@pytest.mark.parametrize("who", ["anonymous", "uploader"])
def test_others_see_no_source(builder: Uploader, client: Client, who: str) -> None:
    if who == "uploader":
        client.force_login(builder.user, "django.contrib.auth.backends.ModelBackend")
    page = post(client, "0x1a")
    assert "outer" in page
    assert "of outer" not in page
    assert "of outer" not in post(client, "0x1a", do="json")


def test_everyone_sees_public_source_code(
    builder: Uploader, client: Client, runtime_options: Override
) -> None:
    runtime_options(source_code_public=True)
    assert len(shown(post(client, "0x1a"))) == 1


def test_json_has_the_lines(reader: Client) -> None:
    call = json.loads(post(reader, "0x1a", do="json"))["threads"][0]["rows"][0]["call"]
    assert call["source"][3] == {"number": 9, "text": "line 9 of outer", "is_current": True}


@pytest.mark.parametrize(("bound", "value"), [("MAX_FILES", 0), ("MAX_BYTES", 10), ("MAX_SECONDS", -1.0)])
def test_beyond_a_bound_frames_have_no_lines(
    reader: Client, monkeypatch: pytest.MonkeyPatch, bound: str, value: float
) -> None:
    monkeypatch.setattr(excerpts, bound, value)
    assert shown(post(reader, "0x1a")) == []
