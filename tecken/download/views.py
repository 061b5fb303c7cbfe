from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from tecken.download import responses, services
from tecken.download.finder import Found, Ours, Theirs
from tecken.download.protocols.tecken import Wanted, is_expected, is_ignored, wanted
from tecken.errors import Absent, BadModule, CouldNotAsk
from tecken.http.decorators import cors, get_only
from tecken.http.ratelimit import limited
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.miss_counts import Miss
from tecken.symbols.ids import code_id
from tecken.symbols.ids import file_name as valid_name

NOT_FOUND = "Symbol Not Found"
IGNORED = "Symbol Not Found (and ignored)"
METHODS = "GET, HEAD, OPTIONS"
YES = ("1", "true", "yes")
READABLE = (
    "Accept-Ranges, Content-Length, Content-Range, Debug-Time, ETag, RateLimit, RateLimit-Policy, Retry-After"
)


def download(prefix: str = "") -> Callable[..., HttpResponseBase]:
    """The view below `prefix`; with one, files of try builds are looked for too."""

    @csrf_exempt
    @cors(METHODS, expose=READABLE)
    def view(request: HttpRequest, **names: str) -> HttpResponseBase:
        began = time.perf_counter()
        reply = _answered(request, prefix, **names)
        if request.headers.get("Debug", "").strip().lower() in YES:
            reply["Debug-Time"] = f"{time.perf_counter() - began:.6f}"
        return reply

    return view


@limited("download")
@get_only
def _answered(
    request: HttpRequest, prefix: str, debug_file: str, debug_id: str, file_name: str
) -> HttpResponseBase:
    asked = wanted(debug_file, debug_id, file_name)
    if is_ignored(asked.key):
        raise Absent(IGNORED)
    try:
        return _found(request, asked, prefix)
    except Absent:
        if asked.is_symbols and not services.upstreams().some_are_off:
            storage_services.miss_counts().count([_miss(request, asked)])
        expected = is_expected(asked.key, settings.DOWNLOAD_EXTENSIONS)
        raise Absent(NOT_FOUND if expected else IGNORED) from None


def _found(request: HttpRequest, asked: Wanted, prefix: str) -> HttpResponseBase:
    """What is known may not be true any more; then everybody is asked again."""
    find = partial(services.finder().find, asked, with_try=bool(prefix) or "try" in request.GET)
    found = find(fresh="_refresh" in request.GET)
    try:
        return _reply(request, found, prefix)
    except (Absent, CouldNotAsk):
        return _reply(request, find(fresh=True), prefix)


def _reply(request: HttpRequest, found: Found, prefix: str) -> HttpResponseBase:
    now = options()
    if isinstance(found, Ours):
        return responses.own(request, found, now.download_url_seconds, now.symbol_max_bytes)
    if isinstance(found, Theirs):
        return responses.theirs(request, found, services.upstreams(), now.symbol_max_bytes)
    query = request.META.get("QUERY_STRING", "")
    return HttpResponseRedirect(f"{prefix}/{quote(str(found.key))}{query and '?'}{query}")


def _miss(request: HttpRequest, asked: Wanted) -> Miss:
    """Return the miss of a request, with the code file and code id that symbol suppliers add."""
    code_file, some_code_id = _code(request.GET.get("code_file", ""), request.GET.get("code_id", ""))
    if asked.looks_like_debug_id:
        return Miss(asked.key.debug_file, asked.key.debug_id, code_file, some_code_id)
    return Miss("", "", asked.key.debug_file, asked.given_id)


def _code(name: str, some_id: str) -> tuple[str, str]:
    try:
        return valid_name(name), code_id(some_id)
    except BadModule:
        return "", ""
