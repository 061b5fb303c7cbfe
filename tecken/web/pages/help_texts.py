"""Markdown for people who use the site (docs/help), as pages."""

from __future__ import annotations

import re
from functools import cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.html import escape
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

EXAMPLE = "https://symbols.example.com"
"""What the documents call the site."""
NAMES = (
    *("symbolicate", "upload", "tecken-upload", "sym_upload", "tokens"),
    *("windows", "stackwalk", "profiler", "gdb"),
)
REFERENCE = "api"
LEAD_OF_REFERENCE = "Every address with its answers and errors: symbolication, downloads, uploads, health."


class Topic(NamedTuple):
    """`lead` is its first sentence, `html` what follows the title, with EXAMPLE in it."""

    name: str
    title: str
    lead: str
    html: str

    def at(self, site: str) -> str:
        """The page of the site with this address."""
        return self.html.replace(EXAMPLE, escape(site))


@cache
def topics() -> dict[str, Topic]:
    docs = Path(settings.BASE_DIR) / "docs"
    own = {name: _topic(name, docs / "help" / f"{name}.md") for name in NAMES}
    reference = _topic(REFERENCE, docs / "api.md")
    return {**own, REFERENCE: reference._replace(title="HTTP reference", lead=LEAD_OF_REFERENCE)}


def _topic(name: str, path: Path) -> Topic:
    markdown, parts = _markdown(), list[str]()
    tokens = markdown.parse(path.read_text().replace("http://localhost:8000", EXAMPLE))
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[number + 1].content))
        elif token.type == "th_open":
            _head(tokens[number : number + 3])
        elif token.type == "inline":
            parts.append(token.content)
            token.children = _linked(token.children or [])
    title, lead, *_rest = parts
    return Topic(name, title, _sentence(lead), markdown.renderer.render(tokens[3:], markdown.options, {}))


def _markdown() -> MarkdownIt:
    """HTML in a document would be shown, not used."""
    made, numbers = MarkdownIt("commonmark", {"html": False}).enable("table"), count(1)

    def fence(_self: RendererProtocol, tokens: list[Token], number: int, *_: Any) -> str:
        name = f"code-{next(numbers)}"
        shown = f'<pre id="{name}" tabindex="0"><code>{escape(tokens[number].content)}</code></pre>'
        return (
            f'<div class="code">{shown}<button type="button" hidden data-copy="{name}">Copy</button></div>\n'
        )

    made.add_render_rule("fence", fence)
    made.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    made.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return made


def _head(cell: list[Token]) -> None:
    """An empty one heads nothing."""
    opened, content, closed = cell
    if content.content:
        opened.attrSet("scope", "col")
    else:
        opened.tag = closed.tag = "td"


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _linked(tokens: list[Token]) -> list[Token]:
    """Links to documents that are no page here become text."""
    kept, gone = [], False
    for token in tokens:
        if token.type == "link_open":
            href = _address(str(token.attrGet("href")))
            gone = href is None
            token.attrSet("href", href or "")
        elif token.type == "text" and token.content.endswith(".md"):
            token.content = token.content.removesuffix(".md")
        if not (gone and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept


def _address(href: str) -> str | None:
    if href.startswith(("/", "#", "https://")):
        return href
    file, _, anchor = href.partition("#")
    name = PurePosixPath(file).stem
    if name == REFERENCE:
        return f"/help/{name}/#{anchor}" if anchor else f"/help/{name}/"
    return f"/help/{name}/" if name in NAMES else None


def _sentence(markdown: str) -> str:
    """The first sentence."""
    text = re.sub(r"\[([^][]*)\]\([^)(]*\)", r"\1", markdown).replace("`", "")
    return f"{text.replace(chr(10), ' ').removesuffix('.').partition('. ')[0]}."
