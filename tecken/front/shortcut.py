"""Answers to warm symbolication requests, from memory and without Django.

When this process has everything that a request needs, the way through Django's handler takes longer than the
answer itself. So the event loop answers such a request at once, with the functions that the view, its
decorators and the middleware call. It needs no thread, because it reads memory only and is bounded by
MAX_BODY_BYTES, MAX_FRAMES and MAX_ANSWER_BYTES. Frames that are not rendered yet are searched in the pages of
the engine's cache for SEARCH_SECONDS.

The view (`tecken.symbolication.api.views`) remains the implementation of the endpoint. A request that needs
anything else than memory, or has anything unusual, gets no answer here and is left to it, errors included.
`tests/front/test_shortcut.py` compares the responses of both byte by byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from io import BytesIO
from typing import Final, NamedTuple, NoReturn

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from tecken.errors import TeckenError
from tecken.front.bridge import HeaderList, Response, Scope
from tecken.http import responses
from tecken.http.ratelimit import limits_in_force
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.metrics import REQUESTS, labelled
from tecken.monitoring import degraded
from tecken.monitoring.logs import choose_request_id
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
from tecken.web.middleware import set_policy

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

UNUSUAL: Final = frozenset({b"auth-token", b"content-encoding", b"cookie", b"debug", b"x-config-override"})
"""Headers of requests that are left to Django."""


_compressors = ThreadPoolExecutor(2, "front-compress")


class LeftToDjango(Exception):
    """Reason to give no answer."""


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


class Shortcut:
    """Function from a request to its response, or to None for a request that is left to Django."""

    def __init__(self) -> None:
        self._cached = CachedModules()
        self._opening = _opening_headers()
        self._closing = {secure: _closing_headers("https" if secure else "http") for secure in (False, True)}

    async def __call__(self, scope: Scope, content: bytes) -> Response | None:
        """Return the response to a request whose body is `content`."""
        headers = dict(scope["headers"])
        endpoint = ENDPOINTS.get(scope["raw_path"])
        if endpoint is None or len(content) > MAX_BODY_BYTES or not _is_usual(scope, headers):
            return None
        request_id = choose_request_id(headers.get(b"x-request-id", b"").decode("latin-1"))
        try:
            is_secure = _is_secure(scope, headers)
            with current.pinned(Subject(request=request_id)):
                answer, version = self._symbolicate(endpoint, content), current.version()
        except (LeftToDjango, TeckenError):
            return None
        coding, answer = await _compress(headers, answer)
        identity = [
            (b"X-Request-Id", request_id.encode()),
            (b"X-Config-Version", b"%d" % version),
            (b"X-Tecken-State", degraded.states_text().encode()),
        ]
        length = (b"Content-Length", b"%d" % len(answer))
        head, *more = self._opening
        sent = [head, length, *more, *coding, *identity, *self._closing[is_secure]]
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
    return (
        scope["method"] == "POST"
        and not scope["query_string"]
        and len(headers) == len(scope["headers"])
        and headers.keys().isdisjoint(UNUSUAL)
        and current.maintenance() is None
    )


def _is_secure(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Return whether the client uses HTTPS. Raises LeftToDjango if it is to be redirected there."""
    scheme = scope["scheme"].encode()
    if settings.SECURE_PROXY_SSL_HEADER:
        scheme = headers.get(b"x-forwarded-proto", scheme)
    if scheme == b"https":
        return True
    if scheme != b"http" or settings.SECURE_SSL_REDIRECT:
        raise LeftToDjango
    return False


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
    return _encode_headers(
        views.public(lambda _request: responses.json_reply(b""))(HttpRequest()), b"Content-Length"
    )


def _closing_headers(scheme: str) -> HeaderList:
    """Return the headers that the outer middleware adds, as it adds them to an empty response."""
    request = WSGIRequest({"REQUEST_METHOD": "POST", "wsgi.url_scheme": scheme, "wsgi.input": BytesIO()})
    if settings.SECURE_PROXY_SSL_HEADER:
        request.META[settings.SECURE_PROXY_SSL_HEADER[0]] = scheme
    response = HttpResponse()
    inner = set_policy(lambda _request: response)
    inner(request)
    XFrameOptionsMiddleware(inner).process_response(request, response)
    SecurityMiddleware(inner).process_response(request, response)
    return _encode_headers(response, b"Content-Type")


def _encode_headers(response: HttpResponse, without: bytes) -> HeaderList:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    return [pair for pair in pairs if pair[0] != without]
