"""Page that symbolicates a pasted crash report, and reports that users share by a secret address."""

from __future__ import annotations

import secrets
import time
from functools import wraps
from http import HTTPStatus

import redis
import zstandard
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.errors import InvalidInput, NotFound, RateLimited, TooLarge, Unavailable, hide_places
from tecken.http.ratelimit import charge_request
from tecken.http.responses import reply_to
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.redisclient import services as redis_services
from tecken.redisclient.guard import RedisGuard
from tecken.runtimeconfig.current import options
from tecken.symbolication.api.text import check_length, symbolicate_text
from tecken.symbolication.crash_reports.parse import parse_report
from tecken.symbolication.crash_reports.parsed_report import ParsedReport
from tecken.symbolication.symbolicated import SymbolicatedReport, format_json, format_text
from tecken.web.auth import SitePage, View, open_page, render_errors
from tecken.web.excerpts import excerpts_for
from tecken.web.module_facts import list_modules

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
    check_length(text)
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
        paste, report = symbolicate_text(request, text, excerpts_for(request.user))
    except RateLimited:
        raise
    except InvalidInput as error:
        return _render_page(request, text, HTTPStatus.BAD_REQUEST, problem=str(error))
    except Unavailable as error:
        problem = f"{hide_places(str(error))}. Try again in a moment."
        response = _render_page(request, text, HTTPStatus.SERVICE_UNAVAILABLE, problem=problem)
        response["Retry-After"] = reply_to(error, request.path)["Retry-After"]
        return response
    limits_services.usage().count("symbolicate", Cost(frames=paste.count_frames()))
    if request.POST.get("do") == "json":
        content = format_json(paste, report)
        return HttpResponse(content, content_type="application/json", headers=JSON_HEADERS)
    context = {**_describe_report(request, paste, report), "link": link}
    return _render_page(request, text, HTTPStatus.OK, **context)


def _describe_report(
    request: HttpRequest, paste: ParsedReport, report: SymbolicatedReport
) -> dict[str, object]:
    """Return the template's values: threads that crashed, or else the first one, stand before all others."""
    crashed = [thread for thread in report.threads if thread.crashed]
    others = [thread for thread in report.threads if not thread.crashed]
    if not crashed:
        crashed, others = others[:1], others[1:]
    modules = list_modules(report, request.build_absolute_uri("/").rstrip("/"))
    return {
        "paste": paste,
        "report": report,
        "first_threads": crashed,
        "other_threads": others,
        "modules": modules,
        "missing": [row for row in modules if row.use.why],
        "plain": format_text(report.threads),
    }


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
