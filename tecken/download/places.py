"""Where a file may be, and asking there only when redis-cache does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from tecken.errors import Absent, CouldNotAsk, Refused, SwitchedOff
from tecken.storage.presence_cache import Fact, Known, Unknown


class Place(NamedTuple):
    """`ask` raises Absent or CouldNotAsk; its answer is one that JSON can hold and `answer` understands."""

    name: str
    """Of the fact in redis-cache; one of `modules.keys`."""
    ask: Callable[[], list[Any]]
    answer: Callable[[list[Any]], Any]


def first(known: Known, places: Sequence[Place], *, fresh: bool) -> Any:
    """The answer of the first place that has it; `fresh` asks all of them again.

    Raises Absent only when every place said so, else CouldNotAsk.
    """
    facts = _forgotten(known, places) if fresh else known.look([place.name for place in places])
    unasked: list[CouldNotAsk] = []
    for place, fact in zip(places, facts, strict=True):
        try:
            found = _asked(known, place) if isinstance(fact, Unknown) else fact
        except CouldNotAsk as error:
            unasked.append(error)
            continue
        if found is not None:
            return place.answer(found)
    if unasked:
        raise unasked[0]
    raise Absent("Symbol Not Found")


def _forgotten(known: Known, places: Sequence[Place]) -> list[Unknown]:
    with suppress(CouldNotAsk):
        known.forget([place.name for place in places])
    return [Unknown()] * len(places)


def _asked(known: Known, place: Place) -> Fact:
    lease = known.lease(place.name)
    fact: Fact = None
    doubtful = False
    try:
        fact = place.ask()
    except Absent as error:
        # A refusal by our own storage may be trouble with its permissions, which ends when it is repaired.
        doubtful = isinstance(error, SwitchedOff | Refused)
    known.settle(place.name, lease, fact, doubtful=doubtful)
    return fact
