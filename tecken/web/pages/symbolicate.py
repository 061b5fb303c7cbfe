"""Page that symbolicates a pasted crash report, and reports that users share by a secret address.

`SymbolicatedReport` is the form in which the page and the downloads show a report.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial, wraps
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import redis
import zstandard
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.errors import InvalidInput, NotFound, TooLarge, Unavailable
from tecken.http.ratelimit import charge, charge_request
from tecken.http.responses import reply_to
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.runtimeconfig.current import options
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.answer import V5
from tecken.symbolication.api.schema import Job
from tecken.symbolication.api.views import parts
from tecken.symbolication.crash_reports.parse import parse_report
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, ReportModule, Thread
from tecken.symbolication.service import Parts, symbolicate
from tecken.web.auth import SitePage, View, open_page, render_errors
from tecken.web.excerpts import Excerpt, Excerpts, excerpts_for
from tecken.web.formatting import explanation_address

NO_SYMBOLS = "No source has its symbols."
NO_DEBUG_ID = "The text does not contain its debug id."

# Builds under version control and Rust write the place of a source file into FILE records:
# `hg:hg.mozilla.org/mozilla-central:dom/File.cpp:0123abc`, `git:github.com/rust-lang/rust:lib.rs:0123abc`.
# Source: Mozilla, toolkit/crashreporter/tools/symbolstore.py.
RUST_PATH = re.compile(r"/rustc/([0-9a-f]{40})/(.+)")
REPOSITORY_PATH = re.compile(r"(hg|git):([\w.-]+(?::\d+)?)/([^:\s]+):([^:]+):([0-9A-Za-z._-]+)")
REPOSITORY_URLS = {
    "hg": "https://{host}/{repository}/file/{revision}/{path}#l{line}",
    "github.com": "https://{host}/{repository}/blob/{revision}/{path}#L{line}",
    "gitlab.com": "https://{host}/{repository}/-/blob/{revision}/{path}#L{line}",
}


class SourceLine(NamedTuple):
    """Line of a source file. `file` is the part that users read; `url` is empty if no repository is known."""

    file: str
    line: int | None
    url: str = ""


class Call(NamedTuple):
    """Function of a frame, or one that was inlined into it, with the source around its line."""

    function: str
    at: SourceLine | None
    source: Excerpt = ()


class StackRow(NamedTuple):
    """Frame of a stack.

    `inlines` are the calls inlined into `call`, the deepest first. If no function was found, `given` is the
    text of the frame in the report, or its address.
    """

    number: int
    module: str
    offset: str
    call: Call | None
    inlines: tuple[Call, ...]
    given: str


class SymbolicatedThread(NamedTuple):
    """Thread with its frames."""

    name: str
    crashed: bool
    rows: tuple[StackRow, ...]


class ModuleUse(NamedTuple):
    """Module of the report. `why` it has no functions, or ""; seconds and bytes are those of this request."""

    module: ReportModule
    frames: int
    why: str
    fetched: float
    bytes: int
    parsed: float
    explain: str


class SymbolicatedReport(NamedTuple):
    """Threads and modules of a crash report, and the time that symbolication took."""

    threads: tuple[SymbolicatedThread, ...]
    modules: tuple[ModuleUse, ...]
    seconds: float


def find_source(file: str, line: int | None) -> SourceLine:
    """Return a line of a source file, with its address in a public repository if the file name has one."""
    if rust := RUST_PATH.fullmatch(file):
        file = f"git:github.com/rust-lang/rust:{rust[2]}:{rust[1]}"
    match = REPOSITORY_PATH.fullmatch(file)
    if match is None:
        return SourceLine(file, line)
    kind, host, repository, path, revision = match.groups()
    url = REPOSITORY_URLS.get("hg" if kind == "hg" else host)
    if url is None:
        return SourceLine(path, line)
    parts = {"host": host, "repository": quote(repository), "revision": quote(revision), "path": quote(path)}
    return SourceLine(path, line, url.format(line=line or 1, **parts))


def symbolicate_report(
    parts: Parts, paste: ParsedReport, excerpts: Excerpts | None = None
) -> SymbolicatedReport:
    """Return a crash report with the functions of its frames, and with source lines from `excerpts`.

    Raises:
        Unavailable: No module could be looked up.
    """
    if not paste.modules:
        threads = (_symbolicated_thread(paste, thread, iter(())) for thread in paste.threads)
        return SymbolicatedReport(tuple(threads), (), 0.0)
    response = orjson.loads(symbolicate(parts, V5(), [_make_job(paste)], debug=True))
    result, debug = response["results"][0], response["debug"]
    stacks = zip(paste.threads, result["stacks"], strict=True)
    return SymbolicatedReport(
        tuple(_symbolicated_thread(paste, thread, iter(frames), excerpts) for thread, frames in stacks),
        tuple(_module_uses(paste, result, debug)),
        debug["time"],
    )


def _make_job(paste: ParsedReport) -> Job:
    """Return a job that has a stack for each thread, without the frames that have no module."""
    return Job(
        [(module.debug_file, module.debug_id) for module in paste.modules],
        [
            [[frame.module, frame.offset] for frame in thread.frames if frame.module is not None]
            for thread in paste.threads
        ],
    )


def _symbolicated_thread(
    paste: ParsedReport,
    thread: Thread,
    results: Iterator[dict[str, Any]],
    excerpts: Excerpts | None = None,
) -> SymbolicatedThread:
    rows = (
        _stack_row(paste, number, frame, next(results) if frame.module is not None else {}, excerpts)
        for number, frame in enumerate(thread.frames)
    )
    return SymbolicatedThread(thread.name, thread.crashed, tuple(rows))


def _stack_row(
    paste: ParsedReport, number: int, frame: ReportFrame, result: dict[str, Any], excerpts: Excerpts | None
) -> StackRow:
    module = paste.modules[frame.module] if frame.module is not None else ReportModule("", "")
    read = partial(_read_call, module, excerpts)
    call = read(result) if "function" in result else None
    inlines = tuple(map(read, result.get("inlines", ())))
    given = frame.given or (hex(frame.offset) if not module.debug_file else "")
    return StackRow(number, module.debug_file, hex(frame.offset), call, inlines, given)


def _read_call(module: ReportModule, excerpts: Excerpts | None, result: dict[str, Any]) -> Call:
    function, file, line = result.get("function") or "?", result.get("file"), result.get("line")
    if not file:
        return Call(function, None)
    source = excerpts.around((module.debug_file, module.debug_id), file, line) if excerpts else ()
    return Call(function, find_source(file, line), source)


def _module_uses(paste: ParsedReport, result: dict[str, Any], debug: dict[str, Any]) -> Iterator[ModuleUse]:
    frames = Counter(frame.module for thread in paste.threads for frame in thread.frames)
    downloads, parse = debug["downloads"], debug["parse_sym"]["time_per_module"]
    for number, module in enumerate(paste.modules):
        key = "/".join(module)
        # The debug part of a response names modules by their normalised ids.
        debug_key = f"{module.debug_file}/{module.debug_id.upper()}"
        explain = explanation_address(module.debug_file, module.debug_id)
        yield ModuleUse(
            module,
            frames[number],
            _why_not(module, result["found_modules"].get(key), result["module_errors"].get(key, ())),
            downloads["time_per_module"].get(debug_key, 0.0),
            downloads["size_per_module"].get(debug_key, 0),
            parse.get(debug_key, 0.0),
            explain if all(module) else "",
        )


def _why_not(module: ReportModule, found: bool | None, errors: Sequence[dict[str, str]]) -> str:
    if errors:
        return f"{errors[0]['name']}: {errors[0]['message']}"
    if not module.debug_id or not module.debug_file:
        return NO_DEBUG_ID
    return "" if found else NO_SYMBOLS


def format_text(threads: Iterable[SymbolicatedThread]) -> str:
    """Return the stacks as plain text for a mail: a line for each call, inlined ones marked."""
    return "\n".join(line for thread in threads for line in (*_text_lines(thread), ""))


def _text_lines(thread: SymbolicatedThread) -> Iterator[str]:
    yield f"{thread.name}{' (crashed)' if thread.crashed else ''}"
    for row in thread.rows:
        for call in row.inlines:
            yield f"{row.number:>3}  {row.module}!{_format_call(call)} (inlined)"
        yield f"{row.number:>3}  {_format_row(row)}"


def _format_row(row: StackRow) -> str:
    if row.call:
        return f"{row.module}!{_format_call(row.call)}"
    place = f"{row.module}+{row.offset}" if row.module else ""
    return "  ".join(filter(None, (place, row.given)))


def _format_call(call: Call) -> str:
    return f"{call.function} [{call.at.file}:{call.at.line or 0}]" if call.at else call.function


# Page

TEXT_PREFIX, INDEX_KEY = "shared:", "shared"
LIFETIME_SECONDS = 30 * 86_400
# redis-cache evicts only keys with an expiry, so these two bound its memory: at most 64 MB.
MAX_REPORTS = 1000
# Compressed; about 500 KB of a crash report.
MAX_BYTES = 64 * 1024
# Bounds the memory that a crafted value can take when it is decompressed.
MAX_TEXT_BYTES = 10 * 1024 * 1024


def share_report(client: redis.Redis, guard: RedisGuard, text: str) -> str:
    """Store a crash report and return its name. The oldest report is removed when there are too many.

    Raises:
        TooLarge: The text is too long.
        Unavailable: redis-cache does not respond.
    """
    raw = zstandard.compress(text.encode(errors="replace"))
    if len(raw) > MAX_BYTES:
        raise TooLarge("This text is too long to be shared; it can be symbolicated all the same")
    # 128 random bits: the name is the only protection of the report.
    name = secrets.token_urlsafe(16)
    try:
        with guard.guarded():
            _store(client, name, raw)
    except Unavailable as error:
        raise Unavailable("It cannot be shared now: redis-cache does not answer") from error.__cause__
    return name


def _store(client: redis.Redis, name: str, raw: bytes) -> None:
    # One transaction: a report without its entry in the index would never count as the oldest.
    with client.pipeline() as pipeline:
        pipeline.set(TEXT_PREFIX + name, raw, ex=LIFETIME_SECONDS)
        pipeline.zadd(INDEX_KEY, {name: time.time()})
        pipeline.zrange(INDEX_KEY, 0, -MAX_REPORTS - 1)
        pipeline.zremrangebyrank(INDEX_KEY, 0, -MAX_REPORTS - 1)
        *_others, oldest, _removed = pipeline.execute()
    if oldest:
        client.unlink(*(TEXT_PREFIX.encode() + old_name for old_name in oldest))


def load_report(client: redis.Redis, guard: RedisGuard, name: str) -> str:
    """Return the text of a shared crash report.

    Raises:
        NotFound: No report has this name, or it has expired.
        Unavailable: redis-cache does not respond.
    """
    try:
        raw = guard.call(client.get, TEXT_PREFIX + name)
    except Unavailable as error:
        raise Unavailable("It cannot be read now: redis-cache does not answer") from error.__cause__
    if raw is None:
        raise NotFound("Nothing is shared here, or no longer: a text is kept for 30 days")
    assert isinstance(raw, bytes)
    return zstandard.ZstdDecompressor().decompress(raw, max_output_size=MAX_TEXT_BYTES).decode()


# About ten times a long crash report. The time to parse a text grows with its length: 0.3 s at this one.
MAX_CHARACTERS = 1024 * 1024
JSON_HEADERS = {"Content-Disposition": 'attachment; filename="stack.json"'}


def charge_post(view: View) -> View:
    """Charge a POST before its body is read: the check of the form token parses the whole form."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method == "POST":
            charge_request(request)
        return view(request, *args, **kwargs)

    return inner


@render_errors
@charge_post
@open_page
@require_http_methods(["GET", "HEAD", "POST"])
def show_symbolicate(request: HttpRequest) -> HttpResponse:
    """Show the form, or symbolicate or share the text in it."""
    if request.method != "POST":
        return _render_page(request, "")
    text = request.POST.get("text", "")
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(
            f"The text is longer than {MAX_CHARACTERS} characters: paste the stacks and the modules only"
        )
    if request.POST.get("do") == "share":
        # Only a text with stacks is shared, so that the site cannot be used to store other texts.
        parse_report(text, options().symbolicate_max_frames)
        client, guard = redis_services.counters_client(), redis_services.cache_guard()
        return redirect("shared", name=share_report(client, guard, text))
    return _symbolicate(request, text)


@open_page
@require_http_methods(["GET", "HEAD"])
def show_shared(request: HttpRequest, name: str) -> HttpResponse:
    """Symbolicate a shared report again, with the symbols that are stored by now."""
    charge_request(request)
    text = load_report(redis_services.counters_client(), redis_services.cache_guard(), name)
    return _symbolicate(request, text, link=request.build_absolute_uri(request.path))


def _symbolicate(request: HttpRequest, text: str, link: str = "") -> HttpResponse:
    try:
        paste = parse_report(text, options().symbolicate_max_frames)
    except InvalidInput as error:
        return _render_page(request, text, HTTPStatus.BAD_REQUEST, problem=str(error))
    frames = sum(len(thread.frames) for thread in paste.threads)
    # The request was charged before its body was read. Its frames are known only now.
    charge(request, "symbolicate", Cost(requests=0, frames=frames))
    limits_services.usage().count("symbolicate", Cost(frames=frames))
    symbolication_services.note_build_ids(paste.build_ids)
    try:
        report = symbolicate_report(parts(request), paste, excerpts_for(request.user))
    except Unavailable as error:
        problem = f"{error}. Try again in a moment."
        response = _render_page(request, text, HTTPStatus.SERVICE_UNAVAILABLE, problem=problem)
        response["Retry-After"] = reply_to(error, request.path)["Retry-After"]
        return response
    if request.POST.get("do") == "json":
        content = _format_json(paste, report)
        return HttpResponse(content, content_type="application/json", headers=JSON_HEADERS)
    plain = format_text(report.threads)
    return _render_page(request, text, paste=paste, report=report, plain=plain, link=link)


def _format_json(paste: ParsedReport, report: SymbolicatedReport) -> bytes:
    document = {
        "kind": paste.kind,
        "reason": paste.reason,
        "threads": [_to_json(thread) for thread in report.threads],
        "modules": [
            {"debug_file": use.module.debug_file, "debug_id": use.module.debug_id, "why_not": use.why}
            for use in report.modules
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _to_json(value: object) -> object:
    """Return named tuples as dictionaries, at any depth."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _to_json(part) for name, part in value._asdict().items()}
    return [_to_json(part) for part in value] if isinstance(value, tuple) else value


def _render_page(
    request: HttpRequest, text: str, status: HTTPStatus = HTTPStatus.OK, **context: object
) -> HttpResponse:
    return render(request, "symbolicate/page.html", {"text": text, **context}, status=status)


PAGE = SitePage(
    title="Symbolicate",
    about="Paste a crash report, and read functions, files and lines.",
    urls=[
        path("symbolicate/", show_symbolicate, name="symbolicate"),
        path("shared/<str:name>/", show_shared, name="shared"),
    ],
)
