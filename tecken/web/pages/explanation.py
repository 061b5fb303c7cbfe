"""Presentation of a module's explanation: the conclusion, the sources, remembered results, near misses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from tecken.errors import Unavailable, hide_places
from tecken.runtimeconfig.current import options
from tecken.storage.lookup_log import Kind, LookupRecord, RecordedResult
from tecken.storage.models import SymbolFile
from tecken.storage.presence_cache import Fact, Remembered, Unknown
from tecken.store.port import Missing
from tecken.symbolication.conversion.status import State
from tecken.symbolication.explain import Cached, Explanation, Marked, Native, OwnStorage, UpstreamResult
from tecken.symbols.ids import GUID_DIGITS, ObjectId
from tecken.symbols.pagefile.file import Header
from tecken.web.formatting import count, size
from tecken.web.identifiers import find_same_guid

# A build may have several files, and may have been uploaded more than once.
MAX_ROWS = 100
MAX_NEAR_MISSES = 5

TRY_FILES = "Uploaded files of try builds"
NATIVE_FILES = "Uploaded native files"
TRY_NATIVE_FILES = "Native files of try builds"
UPSTREAM = "Upstream"
UNSERVED = "Upstream, for symbolication only"
NOT_SEARCHED = "Not searched: an earlier source had the file"
NO_RECENT_SEARCH = "Not searched recently"
SEARCHES_AGAIN = "The next request searches all sources again."
LOOK_AGAIN = "Choose “Look again” to use it now."
PART_FAILED = "A part of the site does not answer."
UNREACHABLE = "Does not answer"

FIXED_RESULTS = {"there": "There", "absent": "Not there", "off": "Was disabled"}
OTHER_RESULTS = {
    "refused": "There, but it cannot be used",
    "too large": "There, but larger than the limit",
    "not asked": "Not asked: it has no such files",
    "throttled": "Limits the rate of requests",
}
# Kinds of results of a source that may have the file, and of one that has it.
UNKNOWN_KINDS = {"unreachable", "throttled"}
THERE_KINDS = {"there", "refused", "too large"}
# Public servers, also those of native files: `symsrv+https:`.
HTTP_NAME = re.compile(r"([a-z]+\+)?https?:")
IS_FOUND = {"there": True, "absent": False, "denied": False}


class NearMisses(NamedTuple):
    """Other stored builds of a debug file.

    `ages` have the same GUID, `builds` another one. `has_builds` is true also if `builds` may not be listed.
    """

    ages: list[ObjectId]
    builds: list[ObjectId]
    has_builds: bool


class Conclusion(NamedTuple):
    """First sentence of the explanation. `kind` is a class of notes in the style sheet, or ""."""

    kind: str
    text: str
    why: str = ""


class SourceState(NamedTuple):
    """Result of one source, in the order of the search. `at` is None for a result of this moment."""

    title: str
    name: str
    kind: Kind | Literal["not asked"]
    result: str
    at: datetime | None
    seconds: float | None

    @property
    def found(self) -> bool | None:
        """Whether the source has the file, None if that is not known."""
        return IS_FOUND.get(self.kind)


class RememberedResult(NamedTuple):
    """Result that a cache or the storage holds; `result` is empty if there is none.

    It holds for so many `seconds` more, or until the event that `until` names.
    """

    what: str
    where: str
    result: str
    seconds: float | None = None
    until: str = ""


class FailedPart(NamedTuple):
    """Part of the site that did not respond."""

    part: str
    why: str


ONLY_TRY = Conclusion("warning", "Only try builds have its symbols.", "Requests with ?try use them.")


def find_near_misses(debug_file: str, debug_id: str, *, shows_ids: bool) -> NearMisses:
    """Return other regular builds of a debug file, the last uploaded first.

    Each query reads at most MAX_ROWS rows of an index. Everyone who knows the id of a file can download it,
    so ids with another GUID are listed only with `shows_ids`. The same GUID counts under any name: a native
    file is found by its id alone.
    """
    guid = debug_id[:GUID_DIGITS]
    other_guid = [
        module for module in _list_modules(debug_file) if not guid or not module.debug_id.startswith(guid)
    ]
    return NearMisses(
        find_same_guid(debug_id)[:MAX_NEAR_MISSES],
        other_guid[:MAX_NEAR_MISSES] if shows_ids else [],
        bool(other_guid),
    )


def _list_modules(debug_file: str) -> list[ObjectId]:
    """Return each regular module with a debug file once, the newest first."""
    stored = SymbolFile.objects.filter(completed_at__isnull=False, try_symbols=False)
    rows: list[tuple[int, str, str, str]] = []
    # Names of Windows in further spellings are not found: no index has them. A query for each spelling has
    # rows in the order of the index; sorting all rows of a name would have no bound.
    for name in {debug_file, ObjectId(debug_file, "").name}:
        of_name = stored.filter(debug_file=name).order_by("debug_id")
        rows += of_name.values_list("pk", "debug_file", "debug_id", "native_id")[:MAX_ROWS]
    # A native file may be stored below another id, such as its code id.
    modules = (ObjectId(name, native_id or debug_id) for _, name, debug_id, native_id in sorted(rows)[::-1])
    return [module for module in dict.fromkeys(modules) if module.debug_id]


def state_of(explanation: Explanation) -> State | None:
    """Return the state of the module's conversion, or None if redis-cache does not respond."""
    return explanation.cache.state if isinstance(explanation.cache, Cached) else None


def is_looking(explanation: Explanation) -> bool:
    """Return whether a worker is converting the module, or a job for it is queued."""
    return state_of(explanation) in ("asked", "started", "scanned")


def decide(explanation: Explanation, sources: Sequence[SourceState]) -> Conclusion:
    """Return the conclusion from the newest of: the conversion's state, stored symbols, the sources."""
    state = state_of(explanation)
    if state in ("started", "scanned"):
        return Conclusion("", "A worker is looking for it now.")
    if state == "asked":
        return Conclusion("", "A job to look for it is queued.", "No worker has started it yet.")
    return _conclude_stored(explanation, sources) or _conclude_not_stored(explanation, state, sources)


def _conclude_stored(explanation: Explanation, sources: Sequence[SourceState]) -> Conclusion | None:
    if isinstance(explanation.page_file, Header):
        text = f"{_describe(explanation.page_file)}{_describe_removal(sources)}"
        return Conclusion("success", "Its symbols are here.", text)
    if isinstance(explanation.store, int):
        text = f"redis-store has them.{_describe_removal(sources)}"
        return Conclusion("success", "Its symbols are here.", text)
    return None


def _conclude_not_stored(
    explanation: Explanation, state: State | None, sources: Sequence[SourceState]
) -> Conclusion:
    missing = explanation.store.missing if isinstance(explanation.store, Marked) else state
    others = [source for source in sources if source.title not in (TRY_FILES, TRY_NATIVE_FILES)]
    is_refused = isinstance(missing, Missing) and missing.kind != "absent"
    if _is_only_in_try(sources, others) and not is_refused:
        return ONLY_TRY
    if isinstance(missing, Missing):
        return _conclude_missing(missing, others)
    return _conclude_unknown(explanation, others)


def _is_only_in_try(sources: Sequence[SourceState], others: Sequence[SourceState]) -> bool:
    return any(source.found for source in sources) and not any(source.found for source in others)


def _describe_removal(sources: Sequence[SourceState]) -> str:
    """Return the reason why no source has a file whose symbols are here."""
    # An unknown result (None) does not count: the file may still be there.
    if all(source.found is False for source in sources):
        return " Its symbol file has been removed from all sources."
    return ""


def _conclude_missing(missing: Missing, sources: Sequence[SourceState]) -> Conclusion:
    """Return the conclusion from a remembered failure, which the sources may contradict by now."""
    kinds = {source.kind for source in sources}
    if missing.kind == "malformed":
        return Conclusion("error", "Its symbol file cannot be used.", hide_places(missing.reason))
    if "there" in kinds:
        return Conclusion("warning", "Its symbol file is here, but remembered as missing.", LOOK_AGAIN)
    if missing.kind == "unreachable":
        text = "The next attempt follows soon."
        return Conclusion("error", "Not all sources could be searched.", text)
    if kinds & UNKNOWN_KINDS:
        return Conclusion("warning", "In the last search no source had its symbols.", PART_FAILED)
    return Conclusion("warning", "No source has its symbols.")


def _conclude_unknown(explanation: Explanation, sources: Sequence[SourceState]) -> Conclusion:
    """Return the conclusion if no result is remembered, except that of the last search."""
    present = {source.kind for source in sources if source.at is None}
    last = {source.kind for source in sources if source.at is not None}
    if "there" in present:
        return Conclusion("", "Its symbol file is here.", "The first request converts it.")
    if failed_parts(explanation, shows_names=False):
        return Conclusion("error", "Its state is not known now.", PART_FAILED)
    if not last:
        return Conclusion("", "It was not requested recently.", "So there is no result of a search.")
    if last & UNKNOWN_KINDS:
        return Conclusion("error", "In the last search not all sources could be searched.", SEARCHES_AGAIN)
    if last & THERE_KINDS:
        return Conclusion("", "In the last search a source had its symbols.", SEARCHES_AGAIN)
    return Conclusion("warning", "In the last search no source had its symbols.", SEARCHES_AGAIN)


def _describe(header: Header) -> str:
    pages, symbols = header.page_count, header.metadata.symbols
    paged = f"{count(pages)} page{'s' if pages != 1 else ''}"
    # Of a native file, the generator is the engine that has converted it.
    generator = header.metadata.generator
    written = f" Its symbol file was written by {generator}." if generator else ""
    counted = f"{count(symbols)} symbol{'s' if symbols != 1 else ''} in {paged}"
    return f"{counted}, {size(_file_size(header))}.{written}"


def _file_size(header: Header) -> int:
    """Return the bytes of the whole page file."""
    return header.span(header.page_count - 1)[1] if header.page_count else len(header.raw)


def list_sources(explanation: Explanation, *, shows_names: bool) -> Iterator[SourceState]:
    """Yield the result of each source in the order of the search, with `shows_names` its address too."""
    yield _storage_state("Uploaded files", explanation.regular, shows_names)
    if native := native_state(NATIVE_FILES, explanation.native, shows_names=shows_names):
        yield native
    yield _storage_state(TRY_FILES, explanation.of_try, shows_names)
    if native := native_state(TRY_NATIVE_FILES, explanation.try_native, shows_names=shows_names):
        yield native
    for upstream in explanation.upstreams:
        yield _upstream_state(upstream, explanation.cache, shows_names)


def _storage_state(title: str, storage: OwnStorage, shows_names: bool) -> SourceState:
    name = storage.name if shows_names else ""
    if isinstance(storage.now, Unavailable):
        error = str(storage.now) if shows_names else UNREACHABLE
        return SourceState(title, name, "unreachable", error, None, None)
    if storage.now is None:
        return SourceState(title, name, "absent", "Not there", None, None)
    return SourceState(title, name, "there", f"There, {size(storage.now.size)}", None, None)


def native_state(title: str, native: Native | Unavailable | None, *, shows_names: bool) -> SourceState | None:
    """Return the state of native files, which are a source only where they are converted and known."""
    if native is None:
        return None
    if isinstance(native, Unavailable):
        return SourceState(title, "", "unreachable", UNREACHABLE, None, None)
    result = " ".join(["There.", *native.missing])
    name = ", ".join(native.paths) if shows_names else ""
    return SourceState(title, name, "there", result, None, None)


def _upstream_state(upstream: UpstreamResult, cache: Cached | Unavailable, shows_names: bool) -> SourceState:
    title = UPSTREAM if upstream.is_served else UNSERVED
    # Addresses of public servers are no secret; those of buckets and directories are.
    is_public = HTTP_NAME.match(upstream.name) is not None
    name = upstream.name if shows_names or is_public else ""
    look: LookupRecord | None = cache.look if isinstance(cache, Cached) else None
    if upstream.is_off:
        return SourceState(title, name, "off", "Disabled by an operator", None, None)
    if look is None:
        return SourceState(title, name, "not asked", NO_RECENT_SEARCH, None, None)
    for answer in look.results:
        if answer.source == upstream.name:
            result = _describe_result(answer, shows_names, is_public=is_public)
            return SourceState(title, name, answer.kind, result, look.at, answer.seconds)
    return SourceState(title, name, "not asked", NOT_SEARCHED, look.at, None)


def _describe_result(answer: RecordedResult, shows_names: bool, *, is_public: bool) -> str:
    if answer.kind in FIXED_RESULTS:
        return FIXED_RESULTS[answer.kind]
    # What a public server sends, or why it is not asked, is no secret.
    if shows_names or (is_public and answer.kind in ("refused", "too large", "not asked")):
        return answer.text
    if answer.kind == "denied":
        return f"Refused: {answer.text.rpartition('refused: ')[2]}"
    return OTHER_RESULTS.get(answer.kind, UNREACHABLE)


def list_remembered(
    explanation: Explanation, *, shows_names: bool, fetched: bool
) -> Iterator[RememberedResult]:
    """Yield the results that are stored, for which requests do not search the sources.

    `fetched`: its symbols came from an upstream.
    """
    if not isinstance(explanation.page_file, Unavailable):
        yield _page_file_result(explanation.page_file, fetched=fetched)
    if not isinstance(explanation.store, Unavailable):
        yield _store_result(explanation.store, shows_names)
    if isinstance(explanation.cache, Cached):
        yield from _download_results(explanation.cache)


def _page_file_result(header: Header | None, *, fetched: bool) -> RememberedResult:
    if header is None:
        return RememberedResult("Page file", "storage", "")
    text = "until other symbols are uploaded"
    if fetched:
        text = f"for {options().keep_fetched_days} days after it was fetched, then fetched again"
    return RememberedResult("Page file", "storage", _describe(header), until=text)


def _store_result(entry: int | Marked | None, shows_names: bool) -> RememberedResult:
    if isinstance(entry, int):
        return RememberedResult(
            "For symbolication",
            "redis-store",
            f"There: a header, {size(entry)}",
            until="until it is evicted",
        )
    if entry is None:
        return RememberedResult("For symbolication", "redis-store", "")
    kind, reason = entry.missing
    shows_reason = shows_names or kind == "malformed"
    reason = reason if shows_names else hide_places(reason)
    result = f"{kind.capitalize()}: {reason}" if shows_reason else kind.capitalize()
    return RememberedResult("For symbolication", "redis-store", result, entry.seconds)


def _download_results(cache: Cached) -> Iterator[RememberedResult]:
    for title, entry in (
        ("uploaded files", cache.regular),
        ("files of try builds", cache.of_try),
        ("upstreams", cache.upstream),
    ):
        yield RememberedResult(f"For downloads: {title}", "redis-cache", _presence(entry), entry.seconds)


def _presence(entry: Remembered) -> str:
    fact: Fact | Unknown = entry.fact
    if isinstance(fact, Unknown):
        return ""
    return "Not there" if fact is None else "There"


def failed_parts(explanation: Explanation, *, shows_names: bool) -> list[FailedPart]:
    """Return the parts that did not respond, with `shows_names` the errors too."""
    parts = {
        "storage": explanation.page_file,
        "redis-store": explanation.store,
        "redis-cache": explanation.cache,
    }
    return [
        FailedPart(part, str(error) if shows_names else "")
        for part, error in parts.items()
        if isinstance(error, Unavailable)
    ]
