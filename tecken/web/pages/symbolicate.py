"""Page that symbolicates a pasted crash report, and reports that users share by a secret address."""

from __future__ import annotations

from functools import wraps
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.errors import InvalidInput, RateLimited, Unavailable, hide_places
from tecken.http.ratelimit import charge_request
from tecken.http.responses import reply_to
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.redisclient import services as redis_services
from tecken.symbolication.api.text import check_length, symbolicate_text
from tecken.symbolication.crash_reports.parsed_report import ParsedReport
from tecken.symbolication.symbolicated import SymbolicatedReport, format_json, format_text
from tecken.web.auth import SitePage, View, open_page, render_errors
from tecken.web.dump_results import describe_form
from tecken.web.excerpts import excerpts_for
from tecken.web.module_facts import list_modules, load_times
from tecken.web.shared_reports import (
    SharedReport,
    SharedState,
    find_arrival,
    load_report,
    share_report,
    state_of,
)

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
        client, guard = redis_services.counters_client(), redis_services.cache_guard()
        return redirect("shared", name=share_report(client, guard, text, _find_state(request, text)))
    return _symbolicate(request, text)


def _find_state(request: HttpRequest, text: str) -> SharedState | None:
    """Return how far a text can be symbolicated now, None if no module could be looked up.

    Raises the errors of `symbolicate_text` for a text without stacks, so that the site cannot be used to
    store other texts.
    """
    try:
        return state_of(symbolicate_text(request, text)[1])
    except Unavailable:
        return None


@open_page
@require_http_methods(["GET", "HEAD"])
def show_shared(request: HttpRequest, name: str) -> HttpResponse:
    """Symbolicate a shared report again, with the symbols that are stored by now."""
    charge_request(request)
    shared = load_report(redis_services.counters_client(), redis_services.cache_guard(), name)
    return _symbolicate(request, shared.text, shared)


def _symbolicate(request: HttpRequest, text: str, shared: SharedReport | None = None) -> HttpResponse:
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
    context = _describe_report(request, paste, report)
    if shared:
        context["link"] = request.build_absolute_uri(request.path)
        context["arrival"] = find_arrival(shared.state, report, load_times)
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
    context = {"text": text, **describe_form(), **context}
    return render(request, "symbolicate/page.html", context, status=status)


PAGE = SitePage(
    title="Symbolicate",
    about="Paste a crash report or drop a minidump or core file, and read functions, files and lines.",
    urls=[
        path("symbolicate/", show_symbolicate, name="symbolicate"),
        path("shared/<str:name>/", show_shared, name="shared"),
    ],
)
