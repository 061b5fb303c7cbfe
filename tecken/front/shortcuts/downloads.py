"""Answers to downloads, from what redis-cache knows about the file.

Two kinds of requests are answered: for a file that no place has, and for a small native file that a view of
this process read a moment ago (`OwnFiles.recall`). All others, such as those with ranges or conditions, are
left to the views in `tecken.download.views`, which also find out what is not known yet.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from cachetools import LRUCache
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from tecken.download import views
from tecken.errors import NotFound, TeckenError
from tecken.front.bridge import HeaderList, Response, Scope
from tecken.front.shortcuts.facts import FactReader, Facts
from tecken.front.shortcuts.middleware import (
    Headers,
    LeftToDjango,
    closing_headers,
    encode_headers,
    identity_headers,
    is_secure,
    is_usual,
    request_id,
)
from tecken.http.ratelimit import limits_in_force
from tecken.http.responses import SMALLEST_BYTES, reply_to
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.metrics import SERVED, labelled
from tecken.monitoring import degraded
from tecken.runtimeconfig import current
from tecken.runtimeconfig.current import ValuesInForce
from tecken.runtimeconfig.options import Options
from tecken.runtimeconfig.snapshot import Subject
from tecken.storage import services as storage_services
from tecken.storage.miss_counts import Requester, is_counted, miss_field
from tecken.storage.port import BuildIdRequest, FileRequest
from tecken.storage.presence_cache import Fact, Unknown
from tecken.storage.search_places import OwnFile, SearchPlace
from tecken.symbols.ids import WHOLE_BUILD_ID
from tecken.symbols.layouts import FileType

logger = logging.getLogger(__name__)

UNUSUAL: Final = frozenset(
    {
        *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range"),
        *(b"x-debuginfod-maxsize", b"content-length", b"transfer-encoding"),
    }
)
"""Headers of downloads that are left to Django."""

PLAIN_PATH: Final = re.compile(rb"(/[A-Za-z0-9._+~@=,:-]+){3,6}")
MAX_PATH_BYTES: Final = 512
MAX_PLANS: Final = 2048
"""URLs for which this process keeps the plan. Django's resolver, which finds the view of a new one, takes
longer than all the rest."""

WITH_HTML: Final = b"text/html"


class Head(NamedTuple):
    """Headers of a response that its view makes, and the body."""

    headers: HeaderList
    body: bytes


class Plan(NamedTuple):
    """What a URL requests: the places of the file, and what is counted and sent if none has it."""

    wanted: FileRequest | BuildIdRequest
    places: tuple[SearchPlace[Any], ...]
    names: tuple[str, ...]
    miss: tuple[bytes, Requester] | None
    absent: Head


class Known(NamedTuple):
    """Response with a small file, without its body, and the fact from which it was made."""

    fact: Fact
    found: OwnFile
    headers: HeaderList


class Taken(NamedTuple):
    """Request that waits for its facts. `send` takes the response, or None to leave it to Django."""

    scope: Scope
    headers: Headers
    plan: Plan
    send: Callable[[Response | None], None]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the facts."""
        return self.plan.names


class DownloadShortcut:
    """Responses to requests without a body, apart from those that are left to Django."""

    def __init__(self) -> None:
        self._facts = FactReader(_read, self._settle)
        self._plans: LRUCache[tuple[bytes, bytes], Plan | None] = LRUCache(MAX_PLANS)
        self._known: LRUCache[str, Known] = LRUCache(MAX_PLANS)
        self._closing = {secure: closing_headers("https" if secure else "http") for secure in (False, True)}

    def take(self, scope: Scope, send: Callable[[Response | None], None]) -> bool:
        """Return whether a request is taken. `send` is called later, with None for one that is left."""
        headers = dict(scope["headers"])
        if not _is_usual(scope, headers):
            return False
        plan = self._plan(scope["raw_path"], scope["query_string"])
        if plan is None:
            return False
        self._facts.add(Taken(scope, headers, plan, send))
        return True

    def _settle(self, batch: Sequence[tuple[Taken, Facts]]) -> None:
        """Send each response. What is the same for all of them is found once."""
        values: ValuesInForce | None = None
        states, answered = "", 0
        for taken, facts in batch:
            response = None
            try:
                request = request_id(taken.headers)
                if values is None or not values.are_for_all:
                    values, states = current.values_for(Subject(request=request)), degraded.states_text()
                identity = identity_headers(request, values.version, states)
                response = self._respond(taken, facts, values.options, identity)
                labelled(SERVED, "download", response.status).inc()
                answered += 1
            except LeftToDjango:
                pass
            except Exception:
                logger.exception("Cannot answer %s at once; its view does", taken.scope["path"])
            taken.send(response)
        if answered:
            limits_services.usage().count("download", Cost(requests=answered))

    def _respond(self, taken: Taken, facts: Facts, values: Options, identity: HeaderList) -> Response:
        """Return the response. Raises LeftToDjango."""
        if _is_watched(values):
            raise LeftToDjango
        closing = self._closing[is_secure(taken.scope, taken.headers)]
        status, head = self._find(taken.plan, facts)
        body = b"" if status == HTTPStatus.OK and taken.scope["method"] == "HEAD" else head.body
        return Response(status, [*head.headers, *identity, *closing], [body])

    def _plan(self, path: bytes, query: bytes) -> Plan | None:
        """Return what a URL requests; None for one that is left to Django. Raises nothing."""
        key = path, query
        plan: Plan | None = self._plans.get(key)
        if plan is None and key not in self._plans and _is_plain(path, query):
            try:
                plan = make_plan(path.decode(), query)
            except (LeftToDjango, TeckenError, Resolver404):
                pass
            except Exception:
                logger.exception("Cannot find out what %r requests; its view does", path)
            self._plans[key] = plan
        return plan

    def _find(self, plan: Plan, facts: Facts) -> tuple[HTTPStatus, Head]:
        """Return the response to what is known. Raises LeftToDjango."""
        for place, fact in zip(plan.places, facts, strict=True):
            if isinstance(fact, Unknown):
                raise LeftToDjango
            if fact is not None:
                return HTTPStatus.OK, self._send(plan, place, fact)
        if storage_services.search().has_disabled_upstream:
            raise LeftToDjango
        if plan.miss:
            storage_services.miss_batch().count(*plan.miss)
        return HTTPStatus.NOT_FOUND, plan.absent

    def _send(self, plan: Plan, place: SearchPlace[Any], fact: list[Any]) -> Head:
        """Return the response with a small file in memory. Raises LeftToDjango."""
        if isinstance(plan.wanted, BuildIdRequest) and plan.wanted.section:
            # The fact is about the file that may have the section.
            raise LeftToDjango
        known = self._known.get(place.presence_key)
        if known is None or known.fact != fact:
            known = self._known[place.presence_key] = _make_known(plan, place, fact)
        body = known.found.files.recall(known.found.key, known.found.stored)
        if body is None:
            raise LeftToDjango
        return Head(known.headers, body)


def _make_known(plan: Plan, place: SearchPlace[Any], fact: list[Any]) -> Known:
    """Return the response with a file, whose headers are those for all requests. Raises LeftToDjango."""
    found = place.result(fact)
    # The type of a PDB is in its first bytes, and it depends on what the client accepts.
    if not isinstance(found, OwnFile) or found.key.file_type is FileType.PDB:
        raise LeftToDjango
    return Known(fact, found, _encode(views.small_response(plan.wanted, found)))


def make_plan(path: str, query: bytes) -> Plan:
    """Return what a URL requests. Raises Resolver404, TeckenError, LeftToDjango."""
    view, _, names = resolve(path)
    parse = getattr(view, "parse", None)
    arguments = QueryDict(query)
    if parse is None or "_refresh" in arguments:
        raise LeftToDjango
    wanted = parse(arguments, **names)
    is_ignored = False
    if isinstance(wanted, FileRequest):
        # Source code needs a permission, and a new build id is kept for symbolication.
        is_new = len(views.build_id_to_keep(wanted)) == WHOLE_BUILD_ID
        if wanted.key.file_type is FileType.SOURCES or is_new:
            raise LeftToDjango
        is_ignored = views.is_ignored(wanted.key)
    places = () if is_ignored else tuple(storage_services.search().places(wanted))
    return Plan(
        wanted, places, tuple(place.presence_key for place in places), _miss(wanted), _absent(wanted, path)
    )


def _miss(wanted: FileRequest | BuildIdRequest) -> tuple[bytes, Requester] | None:
    missing = views.missing_file(wanted)
    if missing is None or not is_counted(missing.miss):
        return None
    return miss_field(*missing), missing.requester


def _absent(wanted: FileRequest | BuildIdRequest, path: str) -> Head:
    """Return the 404. Raises LeftToDjango for one that is compressed for some clients."""
    reply = reply_to(NotFound(views.text_of_missing(wanted)), path)
    if len(reply.content) >= SMALLEST_BYTES:
        raise LeftToDjango
    return Head(_encode(reply), reply.content)


def _encode(response: HttpResponseBase) -> HeaderList:
    """Return the headers of the view."""
    return encode_headers(views.public(lambda _request: response)(HttpRequest()))


def _read(names: Sequence[str]) -> Facts:
    """Return the facts under these names."""
    return storage_services.presence_cache().get(names) if names else []


def _is_plain(path: bytes, query: bytes) -> bool:
    """Return whether a URL may be one of a file, and can be looked up without a wait."""
    # The first request for a file builds the search, which may read files and take long.
    is_built = storage_services.search.cache_info().currsize > 0
    return is_built and len(path) + len(query) <= MAX_PATH_BYTES and bool(PLAIN_PATH.fullmatch(path))


def _is_usual(scope: Scope, headers: Headers) -> bool:
    """Return whether nothing but the URL and the method decides the answer."""
    return (
        scope["method"] in ("GET", "HEAD")
        and headers.keys().isdisjoint(UNUSUAL)
        and WITH_HTML not in headers.get(b"accept", b"")
        and is_usual(scope, headers)
        and not _is_watched(current.options())
    )


def _is_watched(values: Options) -> bool:
    """Return whether an option has each request logged, traced or limited."""
    return values.log_requests or values.full_tracing or bool(limits_in_force("download", values))
