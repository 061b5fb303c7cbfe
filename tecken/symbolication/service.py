"""Decides a symbolication request: which modules, which frames are new, what to say of modules that failed.

Knows no Django: what it needs is passed in. A request costs at most three round trips to the store, however
many modules and frames: headers, pages of symbols, pages of names. A cold module's header is asked for again.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import orjson

from tecken.errors import BadModule, CouldNotAsk, Pending
from tecken.store.port import Missing
from tecken.symbolication import request_cost
from tecken.symbolication.api.answer import Failure, Module, Resolved, Version, check_answer
from tecken.symbolication.api.schema import UNKNOWN_MODULE, Job
from tecken.symbolication.frame_cache import FrameCache
from tecken.symbolication.frame_lookup import Terms, look_up
from tecken.symbolication.loader import Cold, Modules
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ModuleKey, in_try, is_zero_debug_id, module_key
from tecken.symbols.lookup import Frame
from tecken.symbols.pagefile.file import Header

Outcome: TypeAlias = Header | Missing | CouldNotAsk
"""What came of asking for a module."""

MISSING_NAMES = {"absent": None, "malformed": "Malformed", "unreachable": "CouldNotAsk"}

LATE = Pending("its frames were not all looked up before the deadline; try again")

LOOKUP_SECONDS = 5.0
"""Least time for looking offsets up, where `seconds` says that no request waits for cold modules."""

TRIES = 2
"""How often one request asks for a module whose page file is replaced under its eyes."""


def _unnoted(_modules: Sequence[ModuleKey]) -> None:
    pass


class Parts(NamedTuple):
    """What outlives a request, and its limits.

    `seconds` is how long a request waits for modules that are not prepared, and then for how long it looks
    offsets up: waiting for one module leaves time for the others.

    `most_cold` bounds its modules that are in no cache, and `client` names who waits for them.
    """

    modules: Modules
    cold: Cold
    frames: FrameCache
    seconds: float
    clock: Callable[[], float] = time.monotonic
    most_cold: int | None = None
    client: str = ""
    with_try: bool = False
    """Whether symbols of try builds answer for modules that are absent otherwise."""
    note_absent: Callable[[Sequence[ModuleKey]], None] = _unnoted
    """Called once per request with the modules that no source has; raises nothing."""
    max_answer_bytes: float = math.inf


def symbolicate(
    parts: Parts, version: Version, jobs: Sequence[Job], *, debug: bool = False, log: bool = False
) -> bytes:
    """Return the answer as JSON, with what it cost when `debug` is set; `log` writes that to the log.

    Raises CouldNotAsk and TooMuch as `resolve` does.
    """
    start = time.perf_counter()
    trace = Trace()
    resolved = resolve(parts, version, jobs, trace)
    request_cost.count(version.name, resolved, trace)
    answer = version.answer(resolved, parts.max_answer_bytes)
    if debug or log:
        spent = request_cost.debug(resolved, trace, time.perf_counter() - start)
        answer += b',"debug":' + orjson.dumps(spent) if debug else b""
        if log:
            request_cost.log(version.name, spent)
    return answer + b"}"


def resolve(parts: Parts, version: Version, jobs: Sequence[Job], trace: Trace) -> list[Resolved]:
    """Return every frame of every job, symbolicated or not.

    Raises CouldNotAsk when modules were referenced and not one of them could be asked for, TooMuch when the
    frames take more bytes than the answer may have.
    """
    asked = [(job, _asked(job)) for job in jobs]
    request = _Request(parts, version, trace, _wanted(asks for _, asks in asked))
    request.run()
    if parts.with_try:
        request.look_in_try()
    request.refuse_if_nothing_answered()
    parts.note_absent(request.absent())
    return [Resolved(job, {index: request.module(ask) for index, ask in asks.items()}) for job, asks in asked]


class _Ask(NamedTuple):
    """One module of one job; `key` is None where there is nothing to ask for."""

    key: ModuleKey | BadModule | None
    offsets: set[int]


class _Request:
    def __init__(
        self, parts: Parts, version: Version, trace: Trace, wanted: Mapping[ModuleKey, set[int]]
    ) -> None:
        self._parts = parts
        self._version = version
        self._trace = trace
        self._wanted = wanted
        self._outcomes: dict[ModuleKey, Outcome] = {}
        self._fragments: dict[ModuleKey, dict[int, bytes]] = {}
        # From the start of the request: reading page files takes of the time to wait for cold modules.
        self._deadline = parts.clock() + parts.seconds
        self._rendered_bytes = 0
        self._late: set[ModuleKey] = set()

    def run(self) -> None:
        left: Iterable[ModuleKey] = self._wanted
        for _ in range(TRIES):
            self._ask(left)
            left = self._render(left)
            if not left:
                break
        self._outcomes |= dict.fromkeys(left, CouldNotAsk("its symbols are being replaced; try again"))
        self._trace.missing |= {
            module: outcome.reason
            for module, outcome in self._outcomes.items()
            if isinstance(outcome, Missing)
        }

    def absent(self) -> list[ModuleKey]:
        return [
            module
            for module, outcome in self._outcomes.items()
            if isinstance(outcome, Missing) and outcome.kind == "absent"
        ]

    def look_in_try(self) -> None:
        """Answer absent modules from symbols of try builds, within the same deadline."""
        absent = self.absent()
        other = _Request(
            self._parts,
            self._version,
            self._trace,
            {in_try(module): self._wanted[module] for module in absent},
        )
        other._deadline, other._rendered_bytes = self._deadline, self._rendered_bytes
        other.run()
        for module in absent:
            self._outcomes[module] = other._outcomes[in_try(module)]
            self._fragments[module] = other._fragments.get(in_try(module), {})
        self._late |= {module for module in absent if in_try(module) in other._late}

    def module(self, ask: _Ask) -> Module:
        """How one module of a job is answered."""
        if ask.key is None:
            return Module(self._plain(ask.offsets))
        if isinstance(ask.key, BadModule):
            return Module(self._plain(ask.offsets), False, _failure(ask.key))
        outcome = self._outcomes[ask.key]
        if isinstance(outcome, Header):
            fragments, code_file = self._fragments[ask.key], outcome.metadata.code_file
            if ask.key in self._late:
                fragments = self._plain(ask.offsets - fragments.keys()) | fragments
                return Module(fragments, False, _failure(LATE), code_file)
            return Module(fragments, True, code_file=code_file)
        return Module(self._plain(ask.offsets), False, _failure(outcome))

    def _plain(self, offsets: Iterable[int]) -> dict[int, bytes]:
        return {offset: self._version.fragment(offset, None) for offset in offsets}

    def _ask(self, modules: Iterable[ModuleKey]) -> None:
        """Fill the outcomes, bringing in what is cold."""
        known = self._parts.modules.headers(modules, self._trace, self._parts.most_cold)
        self._outcomes |= known
        cold = [module for module in modules if module not in known]
        if cold:
            self._outcomes |= self._bring(cold)

    def _bring(self, cold: Sequence[ModuleKey]) -> dict[ModuleKey, Outcome]:
        parts = self._parts
        outcomes: dict[ModuleKey, Outcome] = {**parts.cold.bring(cold, self._deadline, parts.client)}
        ready = [module for module in cold if module not in outcomes]
        if ready:
            outcomes |= dict.fromkeys(ready, Pending("it was prepared and is gone again; try again"))
            outcomes |= parts.modules.headers(ready, self._trace)
        return outcomes

    def _render(self, modules: Iterable[ModuleKey]) -> set[ModuleKey]:
        """Fill the fragments; the answer is the modules to start over with."""
        new: dict[ModuleKey, tuple[Header, set[int]]] = {}
        for module in modules:
            header, offsets = self._outcomes[module], self._wanted[module]
            if isinstance(header, Header):
                known = self._parts.frames.get(self._version.name, header.generation, offsets)
                self._fragments[module] = known
                if len(known) < len(offsets):
                    new[module] = header, offsets.difference(known)
        if not new:
            return set()
        until = self._parts.clock() + max(self._parts.seconds, LOOKUP_SECONDS)
        terms = Terms(self._fragment, lambda: self._parts.clock() > until, self._version.has_places)
        looked = look_up(self._parts.modules, new, self._trace, terms)
        for module, fresh in looked.frames.items():
            self._parts.frames.put(self._version.name, new[module][0].generation, fresh)
            self._fragments[module] |= fresh
        self._outcomes |= looked.failed
        self._late |= looked.late
        return looked.replaced

    def _fragment(self, offset: int, frame: Frame | None) -> bytes:
        """Render a frame. Raises TooMuch once the new frames alone are more than an answer may have."""
        fragment = self._version.fragment(offset, frame)
        self._rendered_bytes += len(fragment)
        check_answer(self._rendered_bytes, self._parts.max_answer_bytes)
        return fragment

    def refuse_if_nothing_answered(self) -> None:
        away = [error for outcome in self._outcomes.values() if (error := _away(outcome))]
        if away and len(away) == len(self._outcomes):
            waits = [error.retry_after for error in away if error.retry_after is not None]
            text = f"None of {len(away)} modules could be asked for: {away[0]}"
            raise CouldNotAsk(text, min(waits, default=None))


def _asked(job: Job) -> dict[int, _Ask]:
    """What the job's stacks ask, by module index."""
    offsets: defaultdict[int, set[int]] = defaultdict(set)
    for stack in job.stacks:
        for index, offset in stack:
            offsets[index].add(offset)
    return {index: _Ask(_key(job, index), where) for index, where in offsets.items()}


def _key(job: Job, index: int) -> ModuleKey | BadModule | None:
    if index == UNKNOWN_MODULE or "" in job.modules[index]:
        return None
    try:
        key = module_key(*job.modules[index])
    except BadModule as error:
        return error
    if is_zero_debug_id(key.debug_id):
        return BadModule("a debug id of zeros is shared by many builds and never looked up")
    return key


def _wanted(jobs: Iterable[Mapping[int, _Ask]]) -> dict[ModuleKey, set[int]]:
    """The same module in two jobs, or in two spellings, is asked for once."""
    wanted: defaultdict[ModuleKey, set[int]] = defaultdict(set)
    for asks in jobs:
        for ask in asks.values():
            if isinstance(ask.key, ModuleKey):
                wanted[ask.key] |= ask.offsets
    return wanted


def _away(outcome: Outcome) -> CouldNotAsk | None:
    if isinstance(outcome, Missing):
        return CouldNotAsk(outcome.reason) if outcome.kind == "unreachable" else None
    return outcome if isinstance(outcome, CouldNotAsk) else None


def _failure(outcome: Missing | CouldNotAsk | BadModule) -> Failure | None:
    """A module that is simply absent is no failure."""
    if isinstance(outcome, Missing):
        name = MISSING_NAMES[outcome.kind]
        return Failure(name, outcome.reason) if name else None
    return Failure(outcome.wire_name, str(outcome))
