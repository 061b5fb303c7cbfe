"""Guided tour: what this site does with a sample crash, each step with its result and its command.

The steps are the crash, its functions and inlined calls, the symbol files behind them, the hit curve of the
store, and a missing module with its cause. All results are those of this site. `/` is the tour for users who
are not logged in, until they hide it; a site in production, or without the sample, has no tour.

Each step degrades alone: a step whose part does not answer shows that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
import redis
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken import services
from tecken.errors import NotFound, Unavailable
from tecken.monitoring.health.measurements import load_sizing
from tecken.monitoring.health.status import take_snapshot
from tecken.monitoring.preflight.rules import STORE, Facts
from tecken.redisclient import services as redis_services
from tecken.storage.models import SymbolFile
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.answer import V5
from tecken.symbolication.api.schema import Job
from tecken.symbolication.api.views import parts
from tecken.symbolication.service import symbolicate
from tecken.symbolication.symbolicated import explanation_address
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header
from tecken.web.auth import Group, SitePage, open_page
from tecken.web.charts import ActivityCurve, load_activity
from tecken.web.pages.docs import site_address
from tecken.web.pages.explanation import Conclusion, SourceState, decide, list_sources
from tecken.web.pages.store import MissRatioChart, draw_curve

T = TypeVar("T")

# tests/data/samples: `make run` and the demo mode store the symbols of all modules but the last.
MODULES = (
    ObjectId.parse("libcrash-rs.so", "0CA52D10ECCE1CA78288F3A5C4DD0AB40"),
    ObjectId.parse("libcrash-cpp.so", "273D63DBA9E83361F8EC5DEE35148BFF0"),
    ObjectId.parse("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0"),
    ObjectId.parse("libc.so.6", "EC61AC938E5A39B16F9FBD350E3169A50"),
)
STACK = (
    *((0, 5665), (0, 5880), (0, 5896), (0, 5871), (1, 6493), (2, 4613)),
    *((3, 260848), (3, 260544), (3, 261429), (3, 262103), (2, 4688), (2, 4314)),
)
*STORED, MISSING = MODULES
SAMPLE, SAMPLE_OFFSET = MODULES[1], 6493

# Each browser with the page open reloads a part of it every ten seconds.
SAMPLE_SECONDS = 30.0
STEP_SECONDS = 5.0
# Parts of the path of a source file that are shown.
PATH_PARTS = 2


class TourCall(NamedTuple):
    """Function with its place in the source, such as `src/crash.cpp:12`, or ""."""

    function: str
    place: str


class TourFrame(NamedTuple):
    """Frame of the sample. `inlines` are the calls inlined into `call`, the innermost first."""

    module: str
    offset: str
    call: TourCall | None
    inlines: tuple[TourCall, ...]


class SampleResult(NamedTuple):
    """Sample as this site symbolicates it. `pages` are the pages of symbols by the place that had them."""

    frames: tuple[TourFrame, ...]
    seconds: float
    pages: dict[str, int]

    @property
    def functions(self) -> int:
        """Return the number of frames that have a function."""
        return sum(frame.call is not None for frame in self.frames)

    @property
    def inlined(self) -> int:
        """Return the number of inlined calls."""
        return sum(len(frame.inlines) for frame in self.frames)


class StoredModule(NamedTuple):
    """Module of the sample. `header` is None if its symbols cannot be read."""

    module: ObjectId
    header: Header | None


class StoreState(NamedTuple):
    """Facts of redis-store, its hit ratio in the last hour, and by the size of memory. None: not known."""

    facts: Facts | None
    hits: ActivityCurve | None
    curve: MissRatioChart | None


class Cause(NamedTuple):
    """Reason why the last module of the sample has no symbols, and the result of each source."""

    conclusion: Conclusion
    sources: Sequence[SourceState]


class Kept(Generic[T]):
    """Value that is loaded again when it is older than some seconds."""

    def __init__(self, load: Callable[[], T], seconds: float) -> None:
        self._load, self._seconds = load, seconds
        self._value: T | None = None
        self._until = 0.0

    def get(self) -> T:
        """Return the value."""
        now = time.monotonic()
        if self._value is None or now >= self._until:
            self._value, self._until = self._load(), now + self._seconds
        return self._value


def load_header(module: ObjectId) -> object:
    """Return the header of a module from memory, the store or its page file. Nothing is converted."""
    return symbolication_services.symbol_loader().headers([module], Trace()).get(module)


@services.per_process
def sample_check() -> Kept[bool]:
    """Return whether this site has the sample."""
    return Kept(lambda: isinstance(load_header(SAMPLE), Header), SAMPLE_SECONDS)


@services.per_process
def steps() -> Kept[dict[str, object]]:
    """Return the results of all steps. They are kept, so that readers do not cost a symbolication each."""
    return Kept(load_steps, STEP_SECONDS)


def load_steps() -> dict[str, object]:
    """Return the result of each step, with None for one whose part does not answer."""
    return {
        "result": symbolicate_sample(),
        "stored": list(_stored_modules()),
        "upload": _find_upload(),
        "store": _load_store(),
        "cause": _find_cause(),
    }


def symbolicate_sample() -> SampleResult | None:
    """Return the symbolicated sample, or None if no module can be looked up."""
    # Nothing is waited for: a module that is cold is asked for, and is there when the page is opened again.
    # The missing module was counted when `make run` symbolicated the sample.
    used = parts()._replace(seconds=0, note_absent=lambda _modules: None)
    job = Job([(m.debug_file, m.debug_id) for m in MODULES], [[list(frame) for frame in STACK]])
    try:
        response = orjson.loads(symbolicate(used, V5(), [job], debug=True))
    except Unavailable:
        return None
    [frames], debug = response["results"][0]["stacks"], response["debug"]
    return SampleResult(tuple(map(_frame, frames)), debug["time"], debug["pages"])


def _frame(frame: dict[str, Any]) -> TourFrame:
    call = _call(frame) if "function" in frame else None
    inlines = tuple(map(_call, frame.get("inlines", ())))
    return TourFrame(frame["module"], frame["module_offset"], call, inlines)


def _call(call: dict[str, Any]) -> TourCall:
    file = "/".join(call.get("file", "").split("/")[-PATH_PARTS:])
    return TourCall(call["function"], f"{file}:{call.get('line', 0)}" if file else "")


def _stored_modules() -> Iterator[StoredModule]:
    headers = symbolication_services.symbol_loader().headers(STORED, Trace())
    for module in STORED:
        header = headers.get(module)
        yield StoredModule(module, header if isinstance(header, Header) else None)


def _find_upload() -> tuple[int, datetime] | None:
    """Return number and time of the newest upload of the sample; `make run` stores it without one."""
    files = SymbolFile.objects.filter(debug_id__in=[module.debug_id for module in STORED])
    uploaded = files.exclude(upload=None).exclude(completed_at=None).filter(try_symbols=False)
    try:
        return uploaded.order_by("-pk").values_list("upload_id", "created_at").first()
    except DatabaseError:
        return None


def _load_store() -> StoreState:
    server = take_snapshot().server(STORE)
    facts = server.facts if server else None
    try:
        activity = load_activity()
        sizing = load_sizing(redis_services.counters_client())
    except redis.RedisError:
        return StoreState(facts, None, None)
    is_drawn = sizing is not None and sizing.enough
    curve = draw_curve(sizing, facts.maxmemory if facts else None) if sizing and is_drawn else None
    return StoreState(facts, activity.hits if activity else None, curve)


def _find_cause() -> Cause:
    explanation = symbolication_services.explainer().explain(MISSING)
    sources = list(list_sources(explanation, shows_names=False))
    return Cause(decide(explanation, sources), sources)


# Page

COOKIE, HIDDEN = "tour", "hidden"
HIDDEN_SECONDS = 365 * 86_400
NO_SAMPLE = "This site has no tour: it shows a sample crash, which `make run` stores in a development site."


def is_offered() -> bool:
    """Return whether this site has a tour."""
    return settings.ENVIRONMENT != "production" and sample_check().get()


def is_first_page(request: HttpRequest) -> bool:
    """Return whether the tour takes the place of the home page for the user of the request."""
    is_hidden = request.COOKIES.get(COOKIE) == HIDDEN
    return not is_hidden and not request.user.is_authenticated and is_offered()


@open_page
@require_http_methods(["GET", "HEAD", "POST"])
def show_tour(request: HttpRequest) -> HttpResponse:
    """Show the tour, or hide it in this browser."""
    if request.method == "POST":
        response = redirect("home")
        response.set_cookie(
            COOKIE, HIDDEN, HIDDEN_SECONDS, secure=settings.SECURE_COOKIES, httponly=True, samesite="Lax"
        )
        return response
    if not is_offered():
        raise NotFound(NO_SAMPLE)
    return render_tour(request)


def render_tour(request: HttpRequest) -> HttpResponse:
    """Return the page of the tour."""
    memory_map = [[module.debug_file, module.debug_id] for module in MODULES]
    context = {
        "site": site_address(request),
        "frames": [(MODULES[index].debug_file, hex(offset)) for index, offset in STACK],
        "text": json.dumps({"memoryMap": memory_map, "stacks": [STACK]}),
        "missing": MISSING,
        "explain": explanation_address(MISSING.debug_file, MISSING.debug_id),
        **steps().get(),
    }
    return render(request, "tour/page.html", context)


PAGE = SitePage(
    title="Tour",
    about="Follow a sample crash through this site.",
    group=Group.HELP,
    urls=[path("tour/", show_tour, name="tour")],
    is_in_menu=False,
)
