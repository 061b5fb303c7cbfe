"""Symbolication of one request: from jobs to resolved jobs and the JSON of the response.

This module does not import Django; everything it needs is an argument. A request costs at most three round
trips to the store, whatever the number of modules and frames: headers, pages of symbols, pages of names. The
header of a module that was cold costs another one.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias

import orjson

from tecken.errors import BadModule, Pending, Unavailable, hide_places
from tecken.store.port import Missing
from tecken.symbolication.api.answer import ApiVersion, Failure, JobModule, Resolved, check_answer
from tecken.symbolication.api.schema import UNKNOWN_MODULE, Job, parse_key
from tecken.symbolication.conversion.status import EarlyFrames
from tecken.symbolication.frame_lookup import EngineTerms, ModuleSearch, Terms, look_up
from tecken.symbolication.loader import ConversionQueue, ModuleSource
from tecken.symbolication.memory_cache import FrameCache, merge_frames
from tecken.symbolication.trace import Trace, count_request, describe_cost, log_cost
from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame
from tecken.symbols.pagefile.file import OFFSET_END, Header

Outcome: TypeAlias = Header | EarlyFrames | Missing | Unavailable
"""Result of loading a module's header; a module that was cold may have frames before it has a header."""

MISSING_NAMES = {"absent": None, "malformed": "Malformed", "unreachable": "CouldNotAsk"}
"""Names of missing markers in `module_errors`."""

LATE = Pending("its frames were not all looked up before the deadline; try again")

LOOKUP_SECONDS = 5.0
"""Usual minimum time for the lookup of offsets, also where `Parts.seconds` is 0 and no request waits."""

TRIES = 2
"""Number of times that one request loads a module whose page file is replaced meanwhile."""


def _ignore_modules(_modules: Sequence[ObjectId]) -> None:
    pass


def _ignore_late() -> None:
    pass


class Parts(NamedTuple):
    """Objects that outlive a request, and the request's limits.

    `seconds` is the time to wait for cold modules and, after that, the time for the lookup of offsets. The
    two are separate, so that waiting for one cold module does not take the time to look up the others.

    `most_cold` bounds the modules that are in no cache. `client` names the client that waits for them.
    """

    modules: ModuleSource
    cold: ConversionQueue
    frames: FrameCache
    seconds: float
    clock: Callable[[], float] = time.monotonic
    most_cold: int | None = None
    client: str = ""
    with_try: bool = False
    """Whether absent modules are looked for among try symbols."""
    note_absent: Callable[[Sequence[ObjectId]], None] = _ignore_modules
    """Called once per request with the modules that no source has. Must not raise."""
    note_early: Callable[[Sequence[ObjectId]], None] = _ignore_modules
    """Called with the modules of a request whose frames came before their page file. Must not raise."""
    max_answer_bytes: float = math.inf
    lookup_seconds: float = LOOKUP_SECONDS
    """Minimum time for the lookup of offsets."""
    note_late: Callable[[], None] = _ignore_late
    """Called when the time for the lookup has ended it. What it raises ends the request."""


def symbolicate(
    parts: Parts, version: ApiVersion, jobs: Sequence[Job], *, debug: bool = False, log: bool = False
) -> bytes:
    """Return the response as JSON.

    With `debug` the response has the cost of the request; with `log` the log has it.

    Raises:
        Unavailable: Modules were referenced, and not one of them could be looked up.
        TooLarge: The response would be larger than `parts.max_answer_bytes`.
    """
    start = time.perf_counter()
    trace = Trace()
    resolved = resolve(parts, version, jobs, trace)
    pieces = version.answer(resolved, parts.max_answer_bytes)
    # Last: a request that fails before is not counted, and the front may have it answered by another way.
    count_request(version.name, resolved, trace)
    if debug or log:
        cost = describe_cost(resolved, trace, time.perf_counter() - start)
        if debug:
            pieces += (b',"debug":', orjson.dumps(cost))
        if log:
            log_cost(version.name, cost)
    return b"".join((*pieces, b"}"))


def resolve(parts: Parts, version: ApiVersion, jobs: Sequence[Job], trace: Trace) -> list[Resolved]:
    """Return every frame of every job, symbolicated or not.

    Raises:
        Unavailable: Modules were referenced, and not one of them could be looked up.
        TooLarge: The frames take more bytes than the response may have.
    """
    references = [(job, _references(job)) for job in jobs]
    request = _Request(parts, version, trace, _merge_offsets(by_index for _, by_index in references))
    request.run()
    if parts.with_try:
        request.search_try_symbols()
    request.raise_if_all_failed()
    parts.note_absent(request.absent_modules())
    if early := request.early_modules():
        parts.note_early(early)
    return [
        Resolved(job, {index: request.module(reference) for index, reference in by_index.items()})
        for job, by_index in references
    ]


def load_headers(
    parts: Parts, wanted: Mapping[ObjectId, Collection[int]], deadline: float, trace: Trace
) -> dict[ObjectId, Outcome]:
    """Return the outcome of each module, and have cold ones converted until `deadline`.

    The outcome of a cold module may be the frames of all its wanted offsets; without offsets it has a header.
    """
    outcomes: dict[ObjectId, Outcome] = {**parts.modules.headers(wanted, trace, parts.most_cold)}
    cold = [module for module in wanted if module not in outcomes]
    if not cold:
        return outcomes
    offsets = {module: _possible(wanted[module]) for module in cold}
    outcomes |= parts.cold.convert_and_wait(cold, deadline, parts.client, offsets)
    ready = [module for module in cold if module not in outcomes]
    if ready:
        outcomes |= dict.fromkeys(ready, Pending("it was prepared and is gone again; try again"))
        outcomes |= parts.modules.headers(ready, trace)
    return outcomes


class _Reference(NamedTuple):
    """Offsets that one job has in one of its modules.

    `key` is None where a module is not looked up: it has no name or no id, or the address is in no module.
    """

    key: ObjectId | BadModule | None
    offsets: set[int]


class _Request:
    """Modules of one request, their outcomes, and the rendered frames of those with symbols."""

    def __init__(
        self, parts: Parts, version: ApiVersion, trace: Trace, wanted: Mapping[ObjectId, set[int]]
    ) -> None:
        self._parts = parts
        self._version = version
        self._trace = trace
        self._wanted = wanted
        self._outcomes: dict[ObjectId, Outcome] = {}
        self._fragments: dict[ObjectId, Mapping[int, bytes]] = {}
        # Counted from the start of the request, so that slow reads of headers do not extend the time in which
        # the client waits.
        self._deadline = parts.clock() + parts.seconds
        self._rendered_bytes = 0
        self._late: set[ObjectId] = set()

    def run(self) -> None:
        """Load every module and render its frames."""
        remaining: Iterable[ObjectId] = self._wanted
        # An upload may replace a page file between the reads of its header and of its pages. One retry with
        # the new header is enough; more would let a stream of uploads hold the request.
        for _ in range(TRIES):
            self._load_headers(remaining)
            remaining = self._render(remaining)
            if not remaining:
                break
        self._outcomes |= dict.fromkeys(remaining, Unavailable("its symbols are being replaced; try again"))
        self._trace.missing |= {
            module: hide_places(outcome.reason)
            for module, outcome in self._outcomes.items()
            if isinstance(outcome, Missing)
        }

    def absent_modules(self) -> list[ObjectId]:
        """Return the modules that no source has."""
        return [
            module
            for module, outcome in self._outcomes.items()
            if isinstance(outcome, Missing) and outcome.kind == "absent"
        ]

    def early_modules(self) -> list[ObjectId]:
        """Return the modules with early frames; none of their pages was looked up."""
        return [module for module, outcome in self._outcomes.items() if isinstance(outcome, EarlyFrames)]

    def search_try_symbols(self) -> None:
        """Resolve absent modules from try symbols, within the same deadline."""
        absent = self.absent_modules()
        wanted: dict[ObjectId, set[int]] = {module.in_try(): self._wanted[module] for module in absent}
        other = _Request(self._parts, self._version, self._trace, wanted)
        other._deadline, other._rendered_bytes = self._deadline, self._rendered_bytes
        other.run()
        for module in absent:
            self._outcomes[module] = other._outcomes[module.in_try()]
            self._fragments[module] = other._fragments.get(module.in_try(), {})
        self._late |= {module for module in absent if module.in_try() in other._late}

    def module(self, reference: _Reference) -> JobModule:
        """Return one module of a job with its rendered frames."""
        key, offsets = reference
        if key is None:
            return JobModule(self._render_plain(offsets))
        if isinstance(key, BadModule):
            return JobModule(self._render_plain(offsets), False, _failure(key))
        outcome = self._outcomes[key]
        if isinstance(outcome, EarlyFrames):
            return JobModule(self._fragments[key], True, code_file=outcome.code_file)
        if isinstance(outcome, Header):
            fragments, code_file = self._fragments[key], outcome.metadata.code_file
            if key in self._late:
                fragments = {**self._render_plain(offsets.difference(fragments)), **fragments}
                return JobModule(fragments, False, _failure(LATE), code_file)
            return JobModule(fragments, True, code_file=code_file)
        return JobModule(self._render_plain(offsets), False, _failure(outcome))

    def _render_plain(self, offsets: Iterable[int]) -> dict[int, bytes]:
        """Render frames without symbols."""
        return {offset: self._version.fragment(offset, None) for offset in offsets}

    def _load_headers(self, modules: Iterable[ObjectId]) -> None:
        """Fill the outcomes, and have cold modules converted."""
        wanted = {module: self._wanted[module] for module in modules}
        self._outcomes |= load_headers(self._parts, wanted, self._deadline, self._trace)

    def _render(self, modules: Iterable[ObjectId]) -> set[ObjectId]:
        """Fill the fragments and return the modules whose page file was replaced meanwhile."""
        new: dict[ObjectId, tuple[Header, set[int]]] = {}
        # A warm request ends here: one lookup in the frame cache per module, under one lock each, and nothing
        # is rendered (bench/throughput.py).
        for module in modules:
            header, offsets = self._outcomes[module], self._wanted[module]
            if isinstance(header, EarlyFrames):
                self._fragments[module] = self._render_early(header, offsets)
            elif isinstance(header, Header):
                cached = self._parts.frames.get(self._version.name, header.generation, offsets)
                self._fragments[module] = cached
                if len(cached) < len(offsets):
                    new[module] = header, offsets.difference(cached)
        if not new:
            return set()
        end = self._parts.clock() + max(self._parts.seconds, self._parts.lookup_seconds)
        lookup = look_up(self._parts.modules, new, self._trace, self._search(end))
        for module, frames in lookup.frames.items():
            self._parts.frames.put(self._version.name, new[module][0].generation, frames)
            self._fragments[module] = merge_frames(self._fragments[module], frames)
        self._outcomes |= lookup.failed
        if lookup.late:
            self._parts.note_late()
            self._late |= lookup.late
        return lookup.replaced

    def _search(self, end: float) -> Callable[[Header, Set[int]], ModuleSearch[bytes]]:
        """Return what searches a module until `end`: the engine, or Python where that is not built."""
        clock, version = self._parts.clock, self._version
        if engine.MODULE is None:
            return Terms(self._render_frame, lambda: clock() > end, version.has_places).search
        return EngineTerms(
            version.name,
            version.has_places,
            clock,
            end,
            lambda offset: self._render_frame(offset, None),
            lambda: self._parts.max_answer_bytes - self._rendered_bytes,
            self._count_rendered,
            self._parts.modules.engine_cache,
        ).search

    def _render_early(self, early: EarlyFrames, offsets: Iterable[int]) -> dict[int, bytes]:
        """Render early frames. They have no generation, so they are not cached."""
        rendered = {offset: self._render_frame(offset, early.frames.get(offset)) for offset in offsets}
        self._trace.rendered += len(rendered)
        return rendered

    def _render_frame(self, offset: int, frame: Frame | None) -> bytes:
        """Render a frame. Raises TooLarge once the new frames alone are larger than a response may be."""
        fragment = self._version.fragment(offset, frame)
        self._count_rendered(len(fragment))
        return fragment

    def _count_rendered(self, size: int) -> None:
        # Checked while frames are rendered: a request with many frames of long inlined calls would otherwise
        # fill the process's memory before the size of its response is known.
        self._rendered_bytes += size
        check_answer(self._rendered_bytes, self._parts.max_answer_bytes)

    def raise_if_all_failed(self) -> None:
        """Raise Unavailable if modules were looked up and none of them has a definite result.

        A response without a single symbol would look like "these modules have no symbols".
        """
        errors = [error for outcome in self._outcomes.values() if (error := _unavailability(outcome))]
        if errors and len(errors) == len(self._outcomes):
            waits = [error.retry_after for error in errors if error.retry_after is not None]
            text = f"None of {len(errors)} modules could be read: {errors[0]}"
            raise Unavailable(text, min(waits, default=None))


def _possible(offsets: Iterable[int]) -> list[int]:
    """Return the offsets that a symbol file can have."""
    return [offset for offset in offsets if 0 <= offset < OFFSET_END]


def _references(job: Job) -> dict[int, _Reference]:
    """Return the distinct offsets of the job's stacks by module index."""
    offsets: defaultdict[int, set[int]] = defaultdict(set)
    for stack in job.stacks:
        for index, offset in stack:
            offsets[index].add(offset)
    return {
        index: _Reference(None if index == UNKNOWN_MODULE else parse_key(job.modules[index]), where)
        for index, where in offsets.items()
    }


def _merge_offsets(jobs: Iterable[Mapping[int, _Reference]]) -> dict[ObjectId, set[int]]:
    """Return all offsets by module, so that a module of two jobs, or of two spellings, is loaded once."""
    merged: defaultdict[ObjectId, set[int]] = defaultdict(set)
    for references in jobs:
        for reference in references.values():
            if isinstance(reference.key, ObjectId):
                merged[reference.key] |= reference.offsets
    return merged


def _unavailability(outcome: Outcome) -> Unavailable | None:
    """Return the error of a module whose result is unknown, None for a definite result."""
    if isinstance(outcome, Missing):
        return Unavailable(outcome.reason) if outcome.kind == "unreachable" else None
    return outcome if isinstance(outcome, Unavailable) else None


def _failure(outcome: Missing | Unavailable | BadModule) -> Failure | None:
    """Return the entry for `module_errors`; None for a module that is absent, which is no error.

    Everyone may read it, so it has no addresses of buckets and directories.
    """
    if isinstance(outcome, Missing):
        name = MISSING_NAMES[outcome.kind]
        return Failure(name, hide_places(outcome.reason)) if name else None
    return Failure(outcome.wire_name, hide_places(str(outcome)))
