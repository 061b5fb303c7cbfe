"""Wake-ups of the requests that wait for modules, in one process.

A worker publishes that a module has something new, the process's subscriber receives the message
(`symbolication.invalidation`), and the requests that wait for the module poll at once. A lost message costs
the pause until the next poll.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Lock

from tecken.symbols.ids import ObjectId


class ResultSignals:
    """Events of waiting requests by the keys of their modules."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: defaultdict[str, set[Event]] = defaultdict(set)

    @property
    def watched(self) -> int:
        """Number of modules that requests of this process wait for."""
        return len(self._events)

    @contextmanager
    def watch(self, modules: Iterable[ObjectId]) -> Iterator[Event]:
        """Give an event that is set whenever one of the modules has something new."""
        event = Event()
        keys = {module.key for module in modules}
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
