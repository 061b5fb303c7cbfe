"""Page that symbolicates a pasted crash report, and reports that users share by a secret address."""

from __future__ import annotations

import secrets
import time
from functools import wraps
from http import HTTPStatus

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
from tecken.symbolication.api.views import parts
from tecken.symbolication.crash_reports.parse import parse_report
from tecken.symbolication.crash_reports.parsed_report import ParsedReport
from tecken.web.auth import SitePage, View, open_page, render_errors
from tecken.web.pages.symbolicated_report import SymbolicatedReport, format_text, symbolicate_report

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
    try:
        report = symbolicate_report(parts(request), paste)
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
