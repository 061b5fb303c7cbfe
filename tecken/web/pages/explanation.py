"""Near misses of a module: other builds of its debug file that are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from django.db.models import QuerySet

from tecken.errors import CouldNotAsk
from tecken.storage.lookup_log import Answer, Kind, Look
from tecken.storage.models import SymbolFile
from tecken.storage.presence_cache import Fact, Remembered, Unknown
from tecken.store.port import Missing
from tecken.symbolication.conversion.status import State
from tecken.symbolication.explain import Cached, Explanation, Marked, Own, Upstream
from tecken.symbols.ids import ModuleKey
from tecken.symbols.pagefile.file import Header
from tecken.web.templatetags.site import count, size

GUID_DIGITS = 32
# A build may have several files, and may have been uploaded more than once.
ROWS = 100
SHOWN = 5


class NearMisses(NamedTuple):
    """`ages` have the same GUID, `builds` another one; `has_builds` tells of unlisted ones, too."""

    ages: list[ModuleKey]
    builds: list[ModuleKey]
    has_builds: bool


def near_misses(debug_file: str, debug_id: str, *, names: bool) -> NearMisses:
    """Find regular builds in two queries of at most ROWS rows of an index, the last uploaded first.

    Files are public for those who know their id, so ids with another GUID are listed with `names` only.
    """
    files = SymbolFile.objects.filter(debug_file=debug_file, completed_at__isnull=False, try_symbols=False)
    guid = debug_id[:GUID_DIGITS]
    # Behind the GUID there are hex digits, all of which come before a G.
    ages = files.filter(debug_id__gte=guid, debug_id__lt=f"{guid}G") if guid else files.none()
    same = _modules(debug_file, ages)
    others = [
        module for module in _modules(debug_file, files) if not guid or not module.debug_id.startswith(guid)
    ]
    return NearMisses(
        [module for module in same if module.debug_id != debug_id][:SHOWN],
        others[:SHOWN] if names else [],
        bool(others),
    )


def _modules(debug_file: str, files: QuerySet[SymbolFile]) -> list[ModuleKey]:
    """Each once, the newest first of the first ROWS: to sort all rows of a file would have no bound."""
    rows = sorted(files.order_by("debug_id").values_list("pk", "debug_id")[:ROWS], reverse=True)
    return [ModuleKey(debug_file, debug_id) for debug_id in dict.fromkeys(row[1] for row in rows) if debug_id]


OF_TRY = "Uploaded files of try builds"
NOT_ASKED = "Not asked: an earlier one had it"
LATELY = "Not asked lately"
ANEW = "The next request asks all of them again."
NOT_YET = "Look again to use it now."
UNKNOWN = "A part of the site does not answer."

FOUND = {"there": True, "absent": False, "denied": False}


class Verdict(NamedTuple):
    """`kind` is one of the style sheet's."""

    kind: str
    text: str
    why: str = ""


class Place(NamedTuple):
    """A place where symbol files are, in the order in which they are asked. `at` None: this very moment."""

    title: str
    name: str
    kind: Kind | Literal["not asked"]
    answer: str
    at: datetime | None
    seconds: float | None

    @property
    def found(self) -> bool | None:
        return FOUND.get(self.kind)


class Memory(NamedTuple):
    """`answer` is empty where nothing is; `seconds` are left of it, else it lasts until what `until` says."""

    what: str
    where: str
    answer: str
    seconds: float | None = None
    until: str = ""


class Away(NamedTuple):
    part: str
    why: str


ONLY_TRY = Verdict("warning", "Only try builds have its symbols.", "They answer requests with ?try.")


def state_of(told: Explanation) -> State | None:
    return told.cache.state if isinstance(told.cache, Cached) else None


def is_looking(told: Explanation) -> bool:
    return state_of(told) in ("asked", "started")


def verdict(told: Explanation, places: Sequence[Place]) -> Verdict:
    """Decide from what the page shows below: the newest of a worker's state, the symbols, the places."""
    state = state_of(told)
    if state == "started":
        return Verdict("", "A worker is looking for it now.")
    if state == "asked":
        return Verdict("", "A worker has been asked to look for it.", "None has started yet.")
    if isinstance(told.page_file, Header):
        return Verdict("success", "Its symbols are here.", f"{_contents(told.page_file)}{_gone(places)}")
    if isinstance(told.store, int):
        return Verdict("success", "Its symbols are here.", f"redis-store has them.{_gone(places)}")
    no = told.store.missing if isinstance(told.store, Marked) else state
    others = [place for place in places if place.title != OF_TRY]
    if _only_in_try(places, others) and not (isinstance(no, Missing) and no.kind != "absent"):
        return ONLY_TRY
    return _no(no, others) if isinstance(no, Missing) else _open(told, others)


def _only_in_try(places: Sequence[Place], others: Sequence[Place]) -> bool:
    return any(place.found for place in places) and not any(place.found for place in others)


def _gone(places: Sequence[Place]) -> str:
    """Why no place below has it although its symbols are here."""
    if all(place.found is False for place in places):
        return " No place has its symbol file any more."
    return ""


def _no(missing: Missing, places: Sequence[Place]) -> Verdict:
    """A remembered "no", which the places may contradict by now."""
    kinds = {place.kind for place in places}
    if missing.kind == "malformed":
        return Verdict("error", "Its symbol file cannot be used.", missing.reason)
    if "there" in kinds:
        return Verdict("warning", "Its symbol file is here, and its absence is still remembered.", NOT_YET)
    if missing.kind == "unreachable":
        return Verdict("error", "It could not be looked for everywhere.", "It is soon tried again.")
    if "unreachable" in kinds:
        return Verdict("warning", "No place had its symbols, the last time.", UNKNOWN)
    return Verdict("warning", "No place has its symbols.")


def _open(told: Explanation, places: Sequence[Place]) -> Verdict:
    """No answer is remembered; at most what was said when it was last looked for."""
    now = {place.kind for place in places if place.at is None}
    then = {place.kind for place in places if place.at is not None}
    if "there" in now:
        return Verdict("", "Its symbol file is here.", "It is converted at the first request.")
    if away(told, names=False):
        return Verdict("error", "It cannot be told now.", UNKNOWN)
    if not then:
        return Verdict("", "There was no request for it lately.", "So nothing is known of it.")
    if "unreachable" in then:
        return Verdict("error", "It could not be looked for everywhere, the last time.", ANEW)
    if "there" in then or "refused" in then:
        return Verdict("", "A place had its symbols, the last time.", ANEW)
    return Verdict("warning", "No place had its symbols, the last time.", ANEW)


def _contents(header: Header) -> str:
    pages, said = header.page_count, header.metadata
    paged = f"{count(pages)} page{'s' if pages != 1 else ''}"
    symbols = f"{count(said.symbols)} symbol{'s' if said.symbols != 1 else ''}"
    return f"{symbols} in {paged}, {size(_size(header))}."


def _size(header: Header) -> int:
    """Bytes of the whole page file."""
    return header.span(header.page_count - 1)[1] if header.page_count else len(header.raw)


def asked(told: Explanation, *, names: bool) -> Iterator[Place]:
    """`names` tells storages' addresses too."""
    yield _own("Uploaded files", told.regular, names)
    yield _own(OF_TRY, told.of_try, names)
    look = told.cache.look if isinstance(told.cache, Cached) else None
    for upstream in told.upstreams:
        yield _upstream(upstream, look, told.cache, names)


def _own(title: str, own: Own, names: bool) -> Place:
    name = own.name if names else ""
    if isinstance(own.now, CouldNotAsk):
        return Place(title, name, "unreachable", _error(own.now, names), None, None)
    if own.now is None:
        return Place(title, name, "absent", "Not there", None, None)
    return Place(title, name, "there", f"There, {size(own.now.size)}", None, None)


def _upstream(upstream: Upstream, look: Look | None, cache: Cached | CouldNotAsk, names: bool) -> Place:
    name = upstream.name if names or upstream.name.startswith(("http:", "https:")) else ""
    if upstream.is_off:
        return Place("Upstream", name, "off", "Switched off by an operator", None, None)
    if isinstance(cache, CouldNotAsk) or look is None:
        return Place("Upstream", name, "not asked", LATELY, None, None)
    for answer in look.answers:
        if answer.source == upstream.name:
            return Place("Upstream", name, answer.kind, _said(answer, names), look.at, answer.seconds)
    return Place("Upstream", name, "not asked", NOT_ASKED, look.at, None)


def _said(answer: Answer, names: bool) -> str:
    match answer.kind:
        case "there":
            return "There"
        case "absent":
            return "Not there"
        case "denied":
            return answer.text if names else f"Refused: {answer.text.rpartition('refused: ')[2]}"
        case "off":
            return "Was switched off"
        case "refused":
            return answer.text if names else "There, but too large"
    return answer.text if names else "Could not be asked"


def _error(error: CouldNotAsk, names: bool) -> str:
    return str(error) if names else "Could not be asked"


def memories(told: Explanation, *, names: bool) -> Iterator[Memory]:
    """What is remembered, so that nobody needs to be asked."""
    if not isinstance(told.page_file, CouldNotAsk):
        yield _page_file(told.page_file)
    if not isinstance(told.store, CouldNotAsk):
        yield _in_store(told.store, names)
    if isinstance(told.cache, Cached):
        yield from _of_downloads(told.cache)


def _page_file(header: Header | None) -> Memory:
    if header is None:
        return Memory("Page file", "storage", "")
    return Memory("Page file", "storage", _contents(header), until="until other symbols are uploaded")


def _in_store(found: int | Marked | None, names: bool) -> Memory:
    if isinstance(found, int):
        return Memory(
            "For symbolication",
            "redis-store",
            f"There: a header, {size(found)}",
            until="until memory is needed",
        )
    if found is None:
        return Memory("For symbolication", "redis-store", "")
    kind, reason = found.missing
    answer = f"{kind.capitalize()}: {reason}" if names or kind == "malformed" else kind.capitalize()
    return Memory("For symbolication", "redis-store", answer, found.seconds)


def _of_downloads(cache: Cached) -> Iterator[Memory]:
    for title, one in (
        ("uploaded files", cache.regular),
        ("files of try builds", cache.of_try),
        ("upstreams", cache.upstream),
    ):
        yield Memory(f"For downloads: {title}", "redis-cache", _fact(one), one.seconds)


def _fact(one: Remembered) -> str:
    fact: Fact | Unknown = one.fact
    if isinstance(fact, Unknown):
        return ""
    return "Not there" if fact is None else "There"


def away(told: Explanation, *, names: bool) -> list[Away]:
    """Parts that did not answer."""
    parts = {"storage": told.page_file, "redis-store": told.store, "redis-cache": told.cache}
    return [
        Away(part, str(error) if names else "")
        for part, error in parts.items()
        if isinstance(error, CouldNotAsk)
    ]
