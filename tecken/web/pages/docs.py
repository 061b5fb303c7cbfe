"""Documentation: Markdown documents from docs/help, the HTTP reference docs/api.md, and the API page.

The API page shows every operation, from the OpenAPI document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

from tecken.errors import NotFound
from tecken.web.api.site import api
from tecken.web.auth import SitePage, open_page

# Address of the site in the documents.
EXAMPLE = "https://symbols.example.com"
NAMES = (
    *("symbolicate", "upload", "tecken-upload", "sym_upload", "tokens"),
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
    return f"/help/{name}/" if name in NAMES else None


def _first_sentence(markdown: str) -> str:
    text = re.sub(r"\[([^][]*)\]\([^)(]*\)", r"\1", markdown).replace("`", "")
    return f"{text.replace(chr(10), ' ').removesuffix('.').partition('. ')[0]}."


HELP_PAGE = SitePage(
    title="Help",
    about="Set up uploads from CI, debuggers and profilers.",
    urls=[
        path("help/", show_index, name="help"),
        path("help/<str:name>/", show_topic, name="help-topic"),
    ],
)


# API page

JsonSchema = Mapping[str, Any]

BOUNDS = {"minimum": "at least", "maximum": "at most", "minLength": "at least", "maxLength": "at most"}
LENGTH_BOUNDS = ("minLength", "maxLength")
TYPE_NAMES = {"string": "text", "boolean": "true or false", "object": "object", "null": "null"}
FORMAT_NAMES = {"date-time": "time", "date": "date"}
PLACEHOLDERS = {"integer": 1, "string": "...", "boolean": True, "array": []}
MAX_DEPTH = 5


class Parameter(NamedTuple):
    """Value in a request. `place` is `path`, `query` or `body`."""

    name: str
    place: str
    kind: str
    required: bool
    about: SafeString


class Operation(NamedTuple):
    """Operation of the API.

    `response` is the shape of its JSON, "" if there is none. `is_link`: a browser can open the path.
    """

    name: str
    method: str
    path: str
    summary: str
    about: SafeString
    is_public: bool
    parameters: tuple[Parameter, ...]
    curl: str
    status: int
    response: str
    is_link: bool


class OperationGroup(NamedTuple):
    """Operations with the same tag."""

    name: str
    operations: tuple[Operation, ...]


@open_page
@require_safe
def show_api_docs(request: HttpRequest) -> HttpResponse:
    """Show all operations of the API."""
    site = site_address(request)
    return render(request, "api/page.html", {"site": site, "groups": _load_groups(site)})


@lru_cache(maxsize=4)
def _load_groups(site: str) -> tuple[OperationGroup, ...]:
    return Description(api.get_openapi_schema(), site).groups()


class Description:
    """Description of the API for readers, made from the OpenAPI document.

    Args:
        document: OpenAPI document.
        site: Address of the site, for the curl commands.
    """

    def __init__(self, document: JsonSchema, site: str) -> None:
        self._document, self._site = document, site

    def groups(self) -> tuple[OperationGroup, ...]:
        """Return all operations by tag, in the order of the document."""
        groups: dict[str, list[Operation]] = {}
        for url_path, methods in self._document["paths"].items():
            for method, description in methods.items():
                operation = self._operation(url_path, method.upper(), description)
                groups.setdefault(description["tags"][0], []).append(operation)
        return tuple(OperationGroup(name, tuple(operations)) for name, operations in groups.items())

    def _operation(self, url_path: str, method: str, description: JsonSchema) -> Operation:
        body = _json_schema(description.get("requestBody", {}))
        status, response = next(iter(description["responses"].items()))
        schema = _json_schema(response)
        return Operation(
            description["operationId"].removeprefix("tecken_web_api_"),
            method,
            url_path,
            description["summary"],
            _mark_code(description.get("description", "")),
            "security" not in description,
            (*self._parameters(description), *(self._body_fields(body) if body else ())),
            self._curl(url_path, method, body, "security" in description),
            int(status),
            self._shape(schema) if schema else "",
            method == "GET" and "{" not in url_path,
        )

    def _parameters(self, description: JsonSchema) -> Iterator[Parameter]:
        for parameter in description.get("parameters", ()):
            required, schema = bool(parameter.get("required")), parameter["schema"]
            kind, about = self._kind(schema), self._about(schema)
            yield Parameter(parameter["name"], parameter["in"], kind, required, about)

    def _body_fields(self, schema: JsonSchema) -> Iterator[Parameter]:
        resolved = self._resolve(schema)
        for name, field in resolved["properties"].items():
            required = name in resolved.get("required", ())
            yield Parameter(name, "body", self._kind(field), required, self._about(field))

    def _resolve(self, schema: JsonSchema) -> JsonSchema:
        """Return the schema that a reference names, and the first alternative that is not null."""
        if "$ref" in schema:
            return self._resolve(self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        for alternative in schema.get("anyOf", schema.get("allOf", ())):
            if alternative.get("type") != "null":
                return self._resolve(alternative)
        return schema

    def _kind(self, schema: JsonSchema) -> str:
        resolved = self._resolve(schema)
        if "const" in resolved or "enum" in resolved:
            return " or ".join(json.dumps(value) for value in resolved.get("enum", [resolved.get("const")]))
        if resolved.get("type") == "array":
            return f"list of {self._kind(resolved.get('items', {}))}"
        kind = FORMAT_NAMES.get(resolved.get("format", "")) or str(resolved.get("type", "anything"))
        return TYPE_NAMES.get(kind, kind)

    def _about(self, schema: JsonSchema) -> SafeString:
        merged = {**self._resolve(schema), **schema}
        parts = [merged.get("description", "")]
        for bound, word in BOUNDS.items():
            if bound in merged:
                parts.append(f"{word} {merged[bound]}{' characters' if bound in LENGTH_BOUNDS else ''}")
        if merged.get("default") is not None and merged["default"] != "":
            parts.append(f"default `{json.dumps(merged['default'])}`")
        if merged.get("examples"):
            parts.append(f"such as `{_unquote(merged['examples'][0])}`")
        return _mark_code("; ".join(filter(None, parts)))

    def _shape(self, schema: JsonSchema, depth: int = 0) -> str:
        """Return JSON with the type of each value in its place and its description as a comment."""
        resolved = self._resolve(schema)
        if resolved.get("type") == "array":
            return f"[{self._shape(resolved.get('items', {}), depth)}, ...]"
        if "properties" not in resolved:
            return self._kind(schema)
        if depth > MAX_DEPTH:
            return "{...}"
        indent = "  " * (depth + 1)
        lines = [
            f'{indent}"{name}": {self._shape(field, depth + 1)}{_or_null(field)},{_comment(field)}'
            for name, field in resolved["properties"].items()
        ]
        return "\n".join(["{", *lines, f"{'  ' * depth}}}"])

    def _curl(self, url_path: str, method: str, body: JsonSchema | None, needs_token: bool) -> str:
        words = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), url_path)
        parts = [f"curl {'' if method == 'GET' else f'-X {method} '}{self._site}{words}"]
        if needs_token:
            parts.append('-H "Auth-Token: $TECKEN_TOKEN"')
        if body:
            parts.append(f"-d '{json.dumps(self._example(self._resolve(body)))}'")
        return " \\\n  ".join(parts)

    def _example(self, schema: JsonSchema) -> dict[str, Any]:
        """Return a body that has each required field, and other fields that have an example or a default."""
        required, example = schema.get("required", ()), {}
        for name, field in schema["properties"].items():
            merged = {**self._resolve(field), **field}
            if merged.get("examples"):
                example[name] = merged["examples"][0]
            elif merged.get("default"):
                example[name] = merged["default"]
            elif name in required:
                placeholder = PLACEHOLDERS.get(str(merged.get("type")), {})
                example[name] = next(iter(merged.get("enum", ())), placeholder)
        return example


def _json_schema(content: JsonSchema) -> JsonSchema | None:
    schema: JsonSchema | None = content.get("content", {}).get("application/json", {}).get("schema")
    return schema


def _or_null(schema: JsonSchema) -> str:
    has_null = any(alternative.get("type") == "null" for alternative in schema.get("anyOf", ()))
    return " or null" if has_null else ""


def _comment(schema: JsonSchema) -> str:
    return f"  # {schema['description']}" if "description" in schema else ""


def _unquote(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _mark_code(text: str) -> SafeString:
    """Return a text as HTML, with the parts between backticks as code."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))  # noqa: S308 - is escaped


API_PAGE = SitePage(
    title="API",
    about="See each operation for programs.",
    urls=[path("api/docs", show_api_docs, name="api-docs")],
)
