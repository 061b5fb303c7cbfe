"""Paste a stack in any of its forms, and read functions."""

from __future__ import annotations

from functools import wraps
from http import HTTPStatus

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from tecken.errors import BadInput, CouldNotAsk, TooMuch
from tecken.http.ratelimit import charge_request, spend
from tecken.http.responses import reply_to
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.redisclient import services as redis_services
from tecken.runtimeconfig.current import options
from tecken.symbolication.api.views import parts
from tecken.symbolication.crash_reports.parse import read
from tecken.symbolication.crash_reports.parsed_report import Paste
from tecken.web.auth import View, open_page, told
from tecken.web.pages.shared_reports import share, shared
from tecken.web.pages.symbolicated_report import Answer, as_text, symbolicated

PLACE = {"section": "symbolicate"}


# Some ten times a long crash report. A text takes time in proportion to its length: about 0.3 s at this one.
MOST_CHARACTERS = 1024 * 1024


def charged(view: View) -> View:
    """Charge what is posted before it is read: the form, and with it the text, is parsed for its token."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method == "POST":
            charge_request(request)
        return view(request, *args, **kwargs)

    return inner


@told
@charged
@open_page
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _form(request, "")
    text = request.POST.get("text", "")
    if len(text) > MOST_CHARACTERS:
        raise TooMuch(
            f"The text is longer than {MOST_CHARACTERS} characters: paste the stacks and the modules only"
        )
    if request.POST.get("do") == "share":
        read(text, options().symbolicate_max_frames)
        return redirect(
            "shared", name=share(redis_services.counters_client(), redis_services.cache_guard(), text)
        )
    return _answered(request, text)


@open_page
@require_http_methods(["GET", "HEAD"])
def of_share(request: HttpRequest, name: str) -> HttpResponse:
    charge_request(request)
    return _answered(
        request,
        shared(redis_services.counters_client(), redis_services.cache_guard(), name),
        link=request.build_absolute_uri(request.path),
    )


def _answered(request: HttpRequest, text: str, link: str = "") -> HttpResponse:
    try:
        paste = read(text, options().symbolicate_max_frames)
    except BadInput as error:
        return _form(request, text, HTTPStatus.BAD_REQUEST, problem=str(error))
    frames = sum(len(thread.frames) for thread in paste.threads)
    spend(request, "symbolicate", Cost(requests=0, frames=frames))
    limits_services.usage().count("symbolicate", Cost(frames=frames))
    try:
        answer = symbolicated(parts(request), paste)
    except CouldNotAsk as error:
        reply = _form(
            request, text, HTTPStatus.SERVICE_UNAVAILABLE, problem=f"{error}. Try again in a moment."
        )
        reply["Retry-After"] = reply_to(error, request.path)["Retry-After"]
        return reply
    if request.POST.get("do") == "json":
        return HttpResponse(_json(paste, answer), content_type="application/json", headers=DOWNLOAD)
    return _form(request, text, paste=paste, answer=answer, plain=as_text(answer.threads), link=link)


DOWNLOAD = {"Content-Disposition": 'attachment; filename="stack.json"'}


def _json(paste: Paste, answer: Answer) -> bytes:
    told = {
        "kind": paste.kind,
        "reason": paste.reason,
        "threads": [_dict(thread) for thread in answer.threads],
        "modules": [
            {"debug_file": one.module.debug_file, "debug_id": one.module.debug_id, "why_not": one.why}
            for one in answer.modules
        ],
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2)


def _dict(value: object) -> object:
    """Named tuples as JSON has them."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _dict(part) for name, part in value._asdict().items()}
    return [_dict(part) for part in value] if isinstance(value, tuple) else value


def _form(
    request: HttpRequest, text: str, status: HTTPStatus = HTTPStatus.OK, **more: object
) -> HttpResponse:
    return render(request, "symbolicate/page.html", {**PLACE, "text": text, **more}, status=status)
