"""Conversion of cold modules: by workers, for requests that wait, or in the calling process.

`CeleryConversionQueue` is the web process's side of the queue and `ConversionWorker` the worker's.
"""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from threading import Event, Lock
from typing import Protocol

from tecken.errors import Pending, Unavailable
from tecken.store.port import Missing
from tecken.symbolication.conversion.status import (
    MAX_OFFSETS,
    NO_OFFSETS,
    ClientPlaces,
    ConversionTracker,
    EarlyFrames,
    Offsets,
    Ready,
    State,
)
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header

# Seconds between two polls, where no message of a worker ends the pause. Each pause is half as long again as
# the one before.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25

# Seconds for the Retry-After header of a response with pending modules.
RETRY_AFTER = 5.0

# Conversions of one module that may end with their process.
MAX_ATTEMPTS = 3

# Modules in one poll. Enough to keep a client's places in use, and so few that a request with many modules
# costs redis-cache no more per poll than a usual one.
POLLED = 128

# Page files that one request has renewed: they cost it two round trips.
RENEWED = 64

logger = logging.getLogger(__name__)

Answers = dict[ObjectId, Missing | Unavailable | EarlyFrames]


class ResultSignals:
    """Wake-ups of the requests of one process that wait for modules: an event each, by the modules' keys.

    A worker publishes that a module has something new, the process's subscriber receives the message
    (`symbolication.invalidation`), and the requests that wait for the module poll at once. A lost message
    costs the pause until the next poll.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: defaultdict[str, set[Event]] = defaultdict(set)

    @property
    def watched(self) -> int:
        """Number of modules that requests of this process wait for."""
        return len(self._events)

    @contextmanager
    def watch(self, names: Iterable[str]) -> Iterator[Event]:
        """Give an event that is set whenever one of the modules has something new, by their keys."""
        event = Event()
        keys = set(names)
        with self._lock:
            for key in keys:
                self._events[key].add(event)
        try:
            yield event
        finally:
            with self._lock:
                for key in keys:
                    self._events[key].discard(event)
                    if not self._events[key]:
                        del self._events[key]

    def notify(self, key: str) -> None:
        """Wake the requests that wait for the module with this key."""
        with self._lock:
            for event in self._events.get(key, ()):
                event.set()


class Send(Protocol):
    """Function that puts jobs into the queue."""

    def __call__(self, modules: Sequence[ObjectId], *, first: bool) -> None:
        """Send a job for each module; with `first`, the first one precedes all others. Raises Unavailable."""
        ...


def _no_absent(_modules: Sequence[ObjectId]) -> Mapping[ObjectId, Missing]:
    return {}


@dataclass
class _Wait:
    """Modules of one request that have no result yet, in its order, and the results of the others.

    `wanting` has the modules whose offsets workers know, `read` those whose early frames were read,
    `converted` those that this process has converted.
    """

    states: dict[ObjectId, State]
    results: Answers
    client: str
    offsets: Offsets
    has_claimed: bool = False
    wanting: set[ObjectId] = field(default_factory=set)
    read: set[ObjectId] = field(default_factory=set)
    converted: set[ObjectId] = field(default_factory=set)

    def offsets_of(self, modules: Iterable[ObjectId]) -> Offsets:
        """Return the offsets of modules, without those that have too many for early frames."""
        return {
            module: self.offsets[module]
            for module in modules
            if 0 < len(self.offsets.get(module, ())) <= MAX_OFFSETS
        }


class CeleryConversionQueue:
    """Client of the workers: claims modules, sends their jobs, and waits for the results.

    Of all requests that wait for a module, only the one that claims it sends a job. A claim expires, so a
    lost job is sent again: the next poll finds the module idle and claims it.

    Workers take jobs in the order of the queue. A request with hundreds of modules would therefore delay
    every module that other clients need after it. To prevent this, each client has a number of places, and
    its other modules wait here, not in the queue. Half of the places are reserved for the first module of a
    request, whose job precedes all others: a small request does not wait for a large one, not even for one
    of the same client.

    A request that has offsets tells the workers which ones. When early frames have all of them, they are the
    result. Otherwise the request waits for the page file.

    Args:
        tracker: The shared state of conversions.
        send: Puts the jobs of several modules into the queue in one round trip.
        places: Returns how many modules of one client workers may have at a time.
        absent: Returns the modules that are known to be absent and need no job.
        signals: Ends the pause between two polls when a module has something new.
        convert: Converts a module in this process that no worker has begun, in place of a pause, and
            publishes its result. A worker's process must have it: when all of them waited for modules, none
            would convert one.
        clock: Seconds; replaced in tests.
        wait: Waits for an event, at most for some seconds, and returns whether it is set.
        sleep: Sleeps for some seconds.
    """

    def __init__(
        self,
        tracker: ConversionTracker,
        send: Send,
        places: Callable[[], int],
        absent: Callable[[Sequence[ObjectId]], Mapping[ObjectId, Missing]] = _no_absent,
        signals: ResultSignals | None = None,
        *,
        convert: Callable[[ObjectId], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[Event, float], bool] = Event.wait,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tracker = tracker
        self._send = send
        self._places = places
        self._absent = absent
        self._signals = signals or ResultSignals()
        self._convert = convert
        self._clock = clock
        self._wait = wait
        self._sleep = sleep

    def convert_and_wait(
        self,
        modules: Sequence[ObjectId],
        deadline: float,
        client: str = "",
        offsets: Offsets = NO_OFFSETS,
    ) -> Answers:
        """Have modules converted and wait for them; see `loader.ConversionQueue`.

        Polls once even after the deadline.
        """
        results: Answers = {**self._absent(modules)}
        states: dict[ObjectId, State] = {module: "idle" for module in modules if module not in results}
        wait = _Wait(states, results, client, offsets)
        try:
            with self._signals.watch(module.key for module in states) as signal:
                self._poll_until(wait, signal, deadline)
        except Unavailable as error:
            return results | dict.fromkeys(wait.states, error)
        return results | {module: _pending(module, state) for module, state in wait.states.items()}

    def _poll_until(self, wait: _Wait, signal: Event, deadline: float) -> None:
        """Poll until every module has a result, or until the deadline."""
        pause = FIRST_PAUSE
        while True:
            before = len(wait.states)
            # Before the poll: a message that arrives during the poll may be about what was just read.
            signal.clear()
            self._poll(wait)
            left = deadline - self._clock()
            if not wait.states or left <= 0:
                return
            if self._convert_one(wait):
                continue
            pause = FIRST_PAUSE if len(wait.states) < before else min(pause * 1.5, LONGEST_PAUSE)
            # Spread, so that requests that started together do not poll together.
            is_signaled = self._wait(signal, min(left, pause * random.uniform(0.8, 1.2)))  # noqa: S311
            # A poll of many modules is expensive, and their messages come one by one. So they are collected
            # for as long as a pause of polls without messages would be.
            others = min(len(wait.states), POLLED) - 1
            if is_signaled and others:
                self._sleep(min(left, FIRST_PAUSE * others / POLLED))

    def _convert_one(self, wait: _Wait) -> bool:
        """Convert a module that no worker has begun, the last one, as workers take the first; once each."""
        left = [it for it, state in wait.states.items() if state in ("idle", "asked")]
        module = next((it for it in reversed(left) if it not in wait.converted), None)
        if self._convert is None or module is None:
            return False
        wait.converted.add(module)
        try:
            self._convert(module)
        except Unavailable:
            raise
        except Exception:
            # Its result is published by now; other modules may have symbols.
            logger.exception("%s: its conversion failed; its frames have no symbols", module)
        return True

    def _poll(self, wait: _Wait) -> None:
        """Move modules with a result from `wait.states` to `wait.results`, and claim idle ones."""
        modules = tuple(islice(wait.states, POLLED))
        if not modules:
            return
        for module, state in zip(modules, self._tracker.get(modules), strict=True):
            wait.states[module] = state
            if isinstance(state, (Ready, Missing)):
                del wait.states[module]
            if isinstance(state, Missing):
                wait.results[module] = state
        self._read_early_frames(modules, wait)
        idle = [module for module in modules if wait.states.get(module) == "idle"]
        if idle:
            self._claim(idle, wait)
        self._want(modules, wait)

    def _read_early_frames(self, modules: Sequence[ObjectId], wait: _Wait) -> None:
        """Move modules all of whose offsets have early frames to `wait.results`; each is tried once."""
        scanned = [module for module in modules if wait.states.get(module) == "scanned"]
        offsets = wait.offsets_of(module for module in scanned if module not in wait.read)
        if not offsets:
            return
        wait.read |= offsets.keys()
        for module, early in self._tracker.frames(offsets).items():
            del wait.states[module]
            wait.results[module] = early

    def _want(self, modules: Sequence[ObjectId], wait: _Wait) -> None:
        """Add the offsets of modules that another request has claimed."""
        begun = [module for module in modules if wait.states.get(module) in ("asked", "started")]
        offsets = wait.offsets_of(module for module in begun if module not in wait.wanting)
        if offsets:
            wait.wanting |= offsets.keys()
            self._tracker.want(offsets)

    def _claim(self, modules: Sequence[ObjectId], wait: _Wait) -> None:
        first = self._places()
        most = max(1, first // 2)
        places = ClientPlaces(most, most if wait.has_claimed else first)
        claimed = self._tracker.claim(modules, wait.client, places, wait.offsets_of(modules))
        if not claimed:
            return
        wait.wanting.update(claimed)
        try:
            self._send(claimed, first=not wait.has_claimed)
        except Unavailable:
            # Without a job the claims would make every other request wait until they expire.
            self._tracker.release(claimed)
            raise
        wait.states |= dict.fromkeys(claimed, "asked")
        wait.has_claimed = True


def _pending(module: ObjectId, state: State) -> Pending:
    reason = {
        "started": "conversion is going on",
        "scanned": "conversion is going on",
        "asked": "no worker has taken it up yet",
    }.get(str(state), "workers are busy with other modules of the same client")
    return Pending(f"{module}: {reason}", RETRY_AFTER)


class PageFileRenewal:
    """Renewal of page files of an older format version, in the background.

    Their modules keep answering meanwhile. A job is sent once a day for a module: one whose symbol file was
    deleted keeps its old page file, and each process that loads its header would otherwise send another job.

    Args:
        claim: Returns the modules for which no job was sent lately, and notes that one is sent now.
        send: Sends jobs behind all others.
    """

    def __init__(
        self,
        claim: Callable[[Sequence[ObjectId]], Sequence[ObjectId]],
        send: Callable[[Sequence[ObjectId]], None],
    ) -> None:
        self._claim = claim
        self._send = send

    def renew(self, modules: Sequence[ObjectId]) -> None:
        """Send jobs for some of the modules. Raises nothing: the rest follows when they are loaded again."""
        try:
            if claimed := self._claim(modules[:RENEWED]):
                self._send(claimed)
        except Unavailable as error:
            logger.info("Cannot queue the renewal of page files: %s; it is tried again tomorrow", error)


class ModuleConverter(Protocol):
    """Converter of single modules."""

    def convert(self, module: ObjectId) -> Header | Missing:
        """Convert a module and return its header, or why it is missing. Raises Pending."""
        ...

    def give_up(self, module: ObjectId, reason: str) -> Missing:
        """Mark the module as malformed."""
        ...


class InlineConversionQueue:
    """Conversion in the calling process, one module after the other; none is begun after the deadline.

    `note` is called before each conversion.
    """

    def __init__(
        self,
        converter: ModuleConverter,
        clock: Callable[[], float] = time.monotonic,
        note: Callable[[ObjectId], object] = lambda _module: None,
    ) -> None:
        self._converter = converter
        self._clock = clock
        self._note = note

    def convert_and_wait(
        self,
        modules: Sequence[ObjectId],
        deadline: float,
        client: str = "",  # noqa: ARG002
        offsets: Offsets = NO_OFFSETS,  # noqa: ARG002
    ) -> dict[ObjectId, Missing | Unavailable]:
        """Convert modules; see `loader.ConversionQueue`."""
        results = {module: self._convert(module, deadline) for module in modules}
        return {module: result for module, result in results.items() if not isinstance(result, Header)}

    def _convert(self, module: ObjectId, deadline: float) -> Header | Missing | Unavailable:
        if self._clock() >= deadline:
            return Pending(f"{module}: no time was left to convert it", RETRY_AFTER)
        self._note(module)
        try:
            return self._converter.convert(module)
        except Unavailable as error:
            return error


class ConversionWorker:
    """Worker's side of the queue. A job may run twice, and may end with its process.

    Each conversion is counted before it begins, and the count is removed when it ends. A conversion that
    kills its process leaves its count. After MAX_ATTEMPTS such counts the module is marked as malformed;
    otherwise every request for it would kill another worker.
    """

    def __init__(self, tracker: ConversionTracker, converter: ModuleConverter) -> None:
        self._tracker = tracker
        self._converter = converter

    def work(self, module: ObjectId) -> Header | Missing:
        """Convert a module and publish the result to the requests that wait."""
        attempt = self._tracker.begin(module)
        if attempt > MAX_ATTEMPTS:
            reason = f"conversion failed {MAX_ATTEMPTS} times"
            failure = self._converter.give_up(module, reason)
            self._tracker.finish(module, failure, ended=True)
            return failure
        try:
            result = self._converter.convert(module)
        except Unavailable as error:
            result = Missing("unreachable", str(error))
        except Exception as error:
            # The attempt stays counted: a file that makes the converter fail in an unexpected way is tried a
            # few times only.
            failure = Missing("unreachable", f"conversion failed: {type(error).__name__}")
            self._tracker.finish(module, failure, ended=False)
            raise
        self._tracker.finish(module, result if isinstance(result, Missing) else Ready(), ended=True)
        return result
