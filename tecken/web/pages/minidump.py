"""Page of a minidump's result, and the form that sends a minidump without a script."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import orjson
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from tecken.errors import Unavailable, hide_places
from tecken.http.decorators import accept_body, raise_refusal
from tecken.http.ratelimit import caller_of, charge_request
from tecken.runtimeconfig.current import options
from tecken.symbolication.api.minidump import (
    BODY_SECONDS,
    admit_dump,
    max_dump_bytes,
    receive_dump,
    submit,
)
from tecken.symbolication.api.views import client_of
from tecken.symbolication.crash_dumps import services as crash_dump_services
from tecken.web.auth import SitePage, accept_streamed_form, open_page, render_errors
from tecken.web.dump_results import describe_form, describe_result
from tecken.web.pages import symbolicate
from tecken.web.pages.symbolicate import charge_post

# Seconds for which the first look at a result waits, and then pauses between two looks of the browser.
WAIT: Final = 2.0
REFRESH: Final = 2


@contextmanager
def explain_outage(what: str) -> Iterator[None]:
    """Raise Unavailable with a text for people. That of a storage has its address and the path of a file."""
    try:
        yield
    except Unavailable as error:
        is_public = hide_places(str(error)) == str(error)
        text = f"{what} now: {error if is_public else 'the storage does not answer'}"
        raise Unavailable(text, error.retry_after) from error


@charge_post
@accept_streamed_form
@open_page
@require_POST
@accept_body(max_dump_bytes, BODY_SECONDS)
def send_minidump(request: HttpRequest) -> HttpResponse:
    """Take the minidump of a form, and redirect to its result. Scripts get the address as JSON."""
    raise_refusal(request)
    with receive_dump(request) as file, explain_outage("The minidump cannot be taken"):
        name = submit(request, file)
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        # A script that follows a redirect would request the page twice.
        return JsonResponse({"url": reverse("minidump", kwargs={"name": name})}, status=HTTPStatus.CREATED)
    return redirect("minidump", name=name)


send_minidump.admit = admit_dump  # type: ignore[attr-defined]


@render_errors
@charge_post
@open_page
@require_http_methods(["GET", "HEAD", "POST"])
def show_minidump(request: HttpRequest, name: str) -> HttpResponse:
    """Show the result of a minidump, or its state until the result is there. A POST processes it again."""
    desk = crash_dump_services.dump_desk()
    if request.method == "POST":
        with explain_outage("The minidump cannot be processed"):
            desk.process_again(name, client_of(request), caller_of(request))
        return redirect("minidump", name=name)
    charge_request(request)
    with explain_outage("The result cannot be read"):
        status = desk.wait(name, WAIT)
        can_repeat = status.state == "done" or status.kind == "Unavailable"
        is_kept = can_repeat and options().minidump_keep_dumps and desk.is_kept(name)
    values: dict[str, object] = {**describe_form(), "is_kept": is_kept}
    code = HTTPStatus.OK
    if status.state == "done":
        site = request.build_absolute_uri("/").rstrip("/")
        values |= describe_result(orjson.loads(status.report), site) | {"json": f"/process/minidump/{name}"}
    elif status.state == "failed":
        values["problem"], code = status.error, HTTPStatus.BAD_REQUEST
    else:
        values["state"] = status.state
    response = render(request, "minidump/page.html", values, status=code)
    if "state" in values:
        response["Refresh"] = str(REFRESH)
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response


PAGE = SitePage(
    title="Minidump",
    part_of=symbolicate.PAGE,
    urls=[
        path("symbolicate/minidump/", send_minidump, name="minidump-send"),
        path("symbolicate/minidump/<str:name>/", show_minidump, name="minidump"),
    ],
)
