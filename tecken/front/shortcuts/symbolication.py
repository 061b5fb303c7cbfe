"""Answers to warm symbolication requests, from the memory of this process.

They need no thread: they are bounded by MAX_BODY_BYTES, MAX_FRAMES and MAX_ANSWER_BYTES. Frames that are not
rendered yet are searched in the pages of the engine's cache for SEARCH_SECONDS. The view is in
`tecken.symbolication.api.views`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from time import perf_counter
from typing import Final, NamedTuple, NoReturn

from django.http import HttpRequest

from tecken.errors import TeckenError
from tecken.front.bridge import HeaderList, Response, Scope
from tecken.front.shortcuts.middleware import (
    LeftToDjango,
    closing_headers,
    encode_headers,
    identity_headers,
    is_secure,
    is_usual,
    request_id,
)
from tecken.http import responses
from tecken.http.ratelimit import limits_in_force
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.metrics import REQUESTS, count_request, labelled
from tecken.monitoring import degraded
from tecken.runtimeconfig import current
from tecken.runtimeconfig.snapshot import Subject
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api import views
from tecken.symbolication.api.answer import V4, V5, ApiVersion
from tecken.symbolication.api.schema import Job, RequestLimits, v4_job, v5_jobs
from tecken.symbolication.loader import Headers, Pages
from tecken.symbolication.service import symbolicate
from tecken.symbolication.trace import Trace
from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header

MAX_BODY_BYTES: Final = 16 << 10
MAX_FRAMES: Final = 250
MAX_ANSWER_BYTES: Final = 1 << 20
"""Together they bound the time for which the event loop is busy with one request. A larger request gains
little here: nearly all of its time is in its frames."""

SEARCH_SECONDS: Final = 0.005
"""Time for the search of frames that are not rendered: those of MAX_FRAMES usual functions. A larger function
may take some milliseconds alone, after which the request is left to Django."""

MIN_THREAD_BYTES: Final = 16 << 10
"""Size from which an answer is compressed in a thread. Less takes no longer than the change of threads."""

_compressors = ThreadPoolExecutor(2, "front-compress")


class Endpoint(NamedTuple):
    """Version of the API, and its parser of bodies."""

    version: ApiVersion
    jobs: Callable[[bytes, RequestLimits], Sequence[Job]]


ENDPOINTS: Final = {
    b"/symbolicate/v5": Endpoint(V5(), v5_jobs),
    b"/symbolicate/v4": Endpoint(V4(), lambda content, limits: [v4_job(content, limits)]),
}


class CachedModules:
    """Module source and conversion queue of a request that may read the memory of this process only."""

    def headers(self, modules: Iterable[ObjectId], trace: Trace, most: int | None = None) -> Headers:  # noqa: ARG002
        """Return the headers. Raises LeftToDjango unless all of them are cached."""
        find, found = symbolication_services.header_cache().get, {}
        for module in modules:
            header = find(module)
            if header is None:
                raise LeftToDjango
            found[module] = header
        return {**found}

    def pages(self, wanted: Iterable[tuple[ObjectId, Header, int]], trace: Trace) -> Pages:  # noqa: ARG002
        """Return no pages. Raises LeftToDjango if any are wanted: the engine's cache does not have them."""
        if any(True for _ in wanted):
            raise LeftToDjango
        return Pages({}, set(), {})

    def convert_and_wait(self, *_arguments: object) -> NoReturn:
        """Raise LeftToDjango: a module is cold."""
        raise LeftToDjango

    @property
    def engine_cache(self) -> engine.EngineCache | None:
        """The engine's cache of pages, None without the engine."""
        return symbolication_services.page_cache().of_engine


class SymbolicationShortcut:
    """Function from a request to its response, or to None for a request that is left to Django."""

    def __init__(self) -> None:
        self._cached = CachedModules()
        self._opening = _opening_headers()
        self._closing = {secure: closing_headers("https" if secure else "http") for secure in (False, True)}

    async def __call__(self, scope: Scope, content: bytes) -> Response | None:
        """Return the response to a request whose body is `content`."""
        headers = dict(scope["headers"])
        endpoint = ENDPOINTS.get(scope["raw_path"])
        if endpoint is None or len(content) > MAX_BODY_BYTES or not _is_usual(scope, headers):
            return None
        request, began = request_id(headers), perf_counter()
        try:
            secure = is_secure(scope, headers)
            with current.pinned(Subject(request=request)):
                answer, version = self._symbolicate(endpoint, content), current.version()
        except (LeftToDjango, TeckenError):
            return None
        coding, answer = await _compress(headers, answer)
        length = (b"Content-Length", b"%d" % len(answer))
        head, *more = self._opening
        identity = identity_headers(request, version, degraded.states_text())
        sent = [head, length, *more, *coding, *identity, *self._closing[secure]]
        count_request("symbolicate", HTTPStatus.OK.value, perf_counter() - began)
        return Response(HTTPStatus.OK, sent, [answer])

    def _symbolicate(self, endpoint: Endpoint, content: bytes) -> bytes:
        """Return the answer as JSON, and count the request. Raises LeftToDjango, TeckenError."""
        values = current.options()
        if values.log_requests or values.full_tracing or limits_in_force("symbolicate"):
            raise LeftToDjango
        if len(content) > views.max_body():
            raise LeftToDjango
        jobs = endpoint.jobs(content, views.limits())
        frames = sum([len(stack) for job in jobs for stack in job.stacks])
        if frames > MAX_FRAMES:
            raise LeftToDjango
        parts = views.parts()
        parts = parts._replace(
            modules=self._cached,
            cold=self._cached,
            seconds=0.0,
            lookup_seconds=SEARCH_SECONDS,
            note_late=_leave,
            max_answer_bytes=min(parts.max_answer_bytes, MAX_ANSWER_BYTES),
        )
        answer = symbolicate(parts, endpoint.version, jobs)
        name, usage = endpoint.version.name, limits_services.usage()
        usage.count("symbolicate", Cost(frames=frames))
        usage.count_version(name)
        labelled(REQUESTS, name, HTTPStatus.OK.value).inc()
        return answer


def _leave() -> NoReturn:
    raise LeftToDjango


def _is_usual(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Return whether nothing but the body decides the answer."""
    return scope["method"] == "POST" and not scope["query_string"] and is_usual(scope, headers)


async def _compress(headers: dict[bytes, bytes], answer: bytes) -> tuple[HeaderList, bytes]:
    """Return the headers about the coding, and the encoded answer.

    The compressors work without Python's lock, so that other requests are served meanwhile.
    """
    if len(answer) < responses.SMALLEST_BYTES:
        return [], answer
    vary = (b"Vary", b"Accept-Encoding")
    coding = responses.choose_coding(headers.get(b"accept-encoding", b"").decode("latin-1"))
    if coding is None:
        return [vary], answer
    if len(answer) < MIN_THREAD_BYTES:
        encoded = responses.encode(answer, coding)
    else:
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(_compressors, responses.encode, answer, coding)
    return [vary, (b"Content-Encoding", coding.encode())], encoded


def _opening_headers() -> HeaderList:
    """Return the headers of the view, apart from Content-Length."""
    return encode_headers(
        views.public(lambda _request: responses.json_reply(b""))(HttpRequest()), b"Content-Length"
    )
