"""`POST /source/v1`: the source file that a frame refers to, as the Firefox Profiler requests it.

The offset is symbolicated first, and only a file of the frame or of its inlined calls is returned. So a
client cannot try out names of other files.

Source: mstange/samply, API.md, "/source/v1".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from tecken.errors import NotFound
from tecken.http.decorators import View, body, check_source_access, post_only
from tecken.http.ratelimit import charge, rate_limited
from tecken.http.responses import json_reply
from tecken.limits.port import Cost
from tecken.storage import services as storage_services
from tecken.storage.source_code import find_source, read_source
from tecken.symbolication.api.answer import V5, check_answer
from tecken.symbolication.api.schema import Job, SourceQuery, source_query
from tecken.symbolication.api.views import charge_before_body, parts, public
from tecken.symbolication.service import Parts, symbolicate
from tecken.symbols.ids import debug_ids_of_code_id

MAX_BODY_BYTES: Final = 64 << 10


def check_access_before_body(view: View) -> View:
    """Raise Forbidden before the body is read unless the caller may read source code."""

    @wraps(view)
    def inner(request: HttpRequest) -> HttpResponse:
        check_source_access(request)
        return view(request)

    return inner


@csrf_exempt
@public
@post_only
@rate_limited("symbolicate", cost=None)
@charge_before_body
@check_access_before_body
@body(lambda: MAX_BODY_BYTES)
def source_v1(request: HttpRequest, content: bytes) -> HttpResponse:
    """Return the text of a source file."""
    query = source_query(content)
    charge(request, "symbolicate", Cost(requests=0, frames=1))
    limits = parts(request)
    if query.file not in _referenced_files(limits, query):
        raise NotFound("The requested path is not present in the symbolication frames")
    debug_id = query.module.debug_id
    found = find_source((debug_id, *debug_ids_of_code_id(debug_id)), query.file, with_try=limits.with_try)
    check_answer(found.size, limits.max_answer_bytes)
    text = read_source(storage_services.select_files(found.is_try), found).decode(errors="replace")
    answer = {"symbolsLastModified": None, "sourceLastModified": None, "file": query.file, "source": text}
    return json_reply(orjson.dumps(answer))


def _referenced_files(parts: Parts, query: SourceQuery) -> set[str]:
    """Return the files of the frame at the offset. Raises NotFound without symbols, and Unavailable."""
    job = Job([(query.module.debug_file, query.module.debug_id)], [[[0, query.offset]]])
    (result,) = orjson.loads(symbolicate(parts, V5(), [job]))["results"]
    if True not in result["found_modules"].values():
        reasons = (error["message"] for errors in result["module_errors"].values() for error in errors)
        raise NotFound(f"No symbols of {query.module}: {next(reasons, 'no source has them')}")
    return set(_files(result["stacks"][0][0]))


def _files(frame: dict[str, Any]) -> Iterator[str]:
    for call in (frame, *frame.get("inlines", ())):
        if "file" in call:
            yield call["file"]
