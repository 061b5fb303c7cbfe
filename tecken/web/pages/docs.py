"""Help: the Markdown documents of docs/help, and the HTTP reference docs/api.md."""

from __future__ import annotations

import re
from functools import cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import escape
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

from tecken.errors import NotFound
from tecken.web.auth import Group, SitePage, open_page

# Address of the site in the documents.
EXAMPLE = "https://symbols.example.com"
NAMES = (
    *("symbolicate", "minidumps", "upload", "tecken-upload", "sym_upload", "tokens"),
    *("windows", "visual-studio", "rider", "dotnet-symbol"),
    *("gdb", "lldb", "valgrind", "perf", "stackwalk", "profiler"),
)
REFERENCE = "api"
REFERENCE_LEAD = "All addresses with their responses and errors: symbolication, downloads, uploads, health."


class Topic(NamedTuple):
    """Help page. `lead` is its first sentence, `html` the text below the title, with EXAMPLE in it."""

    name: str
    title: str
    lead: str
    html: str

    def render_for(self, site: str) -> str:
        """Return the HTML with the address of this site."""
        return self.html.replace(EXAMPLE, escape(site))


@open_page
@require_safe
def show_index(request: HttpRequest) -> HttpResponse:
    """Show the list of help pages."""
    return render(request, "help/index.html", {"topics": topics().values()})


@open_page
@require_safe
def show_topic(request: HttpRequest, name: str) -> HttpResponse:
    """Show one help page.

    Raises:
        NotFound: There is no page of this name.
    """
    if name not in topics():
        raise NotFound("There is no such help page")
    topic = topics()[name]
    html = topic.render_for(site_address(request))
    return render(request, "help/topic.html", {"topic": topic, "html": html, "topics": topics().values()})


def site_address(request: HttpRequest) -> str:
    """Return the address of the site as the browser uses it, without a slash at the end."""
    return request.build_absolute_uri("/").rstrip("/")


@cache
def topics() -> dict[str, Topic]:
    """Return all help pages by name, in the order of the list."""
    docs = Path(settings.BASE_DIR) / "docs"
    guides = {name: _read_topic(name, docs / "help" / f"{name}.md") for name in NAMES}
    reference = _read_topic(REFERENCE, docs / "api.md")
    return {**guides, REFERENCE: reference._replace(title="HTTP reference", lead=REFERENCE_LEAD)}


def _read_topic(name: str, file: Path) -> Topic:
    markdown, texts = _make_parser(), list[str]()
    tokens = markdown.parse(file.read_text().replace("http://localhost:8000", EXAMPLE))
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[number + 1].content))
        elif token.type == "th_open":
            _convert_header_cell(tokens[number : number + 3])
        elif token.type == "inline":
            texts.append(token.content)
            token.children = _convert_links(token.children or [])
    title, lead, *_rest = texts
    # The first three tokens are the title, which the template shows.
    html = markdown.renderer.render(tokens[3:], markdown.options, {})
    return Topic(name, title, _first_sentence(lead), html)


def _make_parser() -> MarkdownIt:
    """Return a parser that escapes HTML in a document, and adds a button to copy to each code block."""
    parser, numbers = MarkdownIt("commonmark", {"html": False}).enable("table"), count(1)

    def render_fence(_self: RendererProtocol, tokens: list[Token], number: int, *_: Any) -> str:
        name = f"code-{next(numbers)}"
        code = f'<pre id="{name}" tabindex="0"><code>{escape(tokens[number].content)}</code></pre>'
        return (
            f'<div class="code">{code}<button type="button" hidden data-copy="{name}">Copy</button></div>\n'
        )

    parser.add_render_rule("fence", render_fence)
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


def _convert_header_cell(cell: list[Token]) -> None:
    """Give a header cell its scope. An empty one becomes a data cell, which is not announced."""
    start, content, end = cell
    if content.content:
        start.attrSet("scope", "col")
    else:
        start.tag = end.tag = "td"


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading, so that links work there and here."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _convert_links(tokens: list[Token]) -> list[Token]:
    """Point links at pages of the site; a link to another document becomes text."""
    converted, is_unlinked = [], False
    for token in tokens:
        if token.type == "link_open":
            href = _page_address(str(token.attrGet("href")))
            is_unlinked = href is None
            token.attrSet("href", href or "")
        elif token.type == "text" and token.content.endswith(".md"):
            token.content = token.content.removesuffix(".md")
        if not (is_unlinked and token.type in ("link_open", "link_close")):
            converted.append(token)
    return converted


def _page_address(href: str) -> str | None:
    if href.startswith(("/", "#", "https://")):
        return href
    file, _, anchor = href.partition("#")
    name = PurePosixPath(file).stem
    if name == REFERENCE:
        return f"/help/{name}/#{anchor}" if anchor else f"/help/{name}/"
    # A help page may have the name of the document that it leads to, which is no page.
    if file.startswith("../"):
        return None
    return f"/help/{name}/" if name in NAMES else None


def _first_sentence(markdown: str) -> str:
    text = re.sub(r"\[([^][]*)\]\([^)(]*\)", r"\1", markdown).replace("`", "")
    return f"{text.replace(chr(10), ' ').removesuffix('.').partition('. ')[0]}."


PAGE = SitePage(
    title="Help",
    about="Set up uploads from CI, debuggers and profilers.",
    group=Group.HELP,
    urls=[
        path("help/", show_index, name="help"),
        path("help/<str:name>/", show_topic, name="help-topic"),
    ],
)
