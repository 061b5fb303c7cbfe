"""Page that symbolicates a pasted crash report, and the page of a shared report."""

from __future__ import annotations

from functools import wraps
from http import HTTPStatus

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.errors import InvalidInput, TooLarge, Unavailable
from tecken.http.ratelimit import charge, charge_request
from tecken.http.responses import reply_to
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig.current import options
from tecken.symbolication.api.views import parts
from tecken.symbolication.crash_reports.parse import read
from tecken.symbolication.crash_reports.parsed_report import Paste
from tecken.web.auth import View, open_page, render_errors
from tecken.web.pages.shared_reports import load_report, share_report
from tecken.web.pages.symbolicated_report import SymbolicatedReport, format_text, symbolicate_report
from tecken.web.registration import SitePage

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
        read(text, options().symbolicate_max_frames)
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
        paste = read(text, options().symbolicate_max_frames)
    except InvalidInput as error:
        return _render_page(request, text, HTTPStatus.BAD_REQUEST, problem=str(error))
    frames = sum(len(thread.frames) for thread in paste.threads)
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


def _format_json(paste: Paste, report: SymbolicatedReport) -> bytes:
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
