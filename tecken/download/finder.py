"""Where a file may be, and asking there only when redis-cache does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tecken.download import codes
from tecken.download.protocols.tecken import Wanted
from tecken.download.upstreams import Upstreams
from tecken.errors import Absent, CouldNotAsk, Refused, SwitchedOff
from tecken.storage import keys
from tecken.storage.port import OwnFiles, Stored
from tecken.storage.presence_cache import Fact, Known, Unknown
from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey, symbol_file


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


class Ours(NamedTuple):
    files: OwnFiles
    key: FileKey
    stored: Stored


class Theirs(NamedTuple):
    """`upstream` is a name among the upstreams."""

    upstream: str
    key: FileKey


class Renamed(NamedTuple):
    """The request named it by its code id or build id, or in another case."""

    key: FileKey


Found = Ours | Theirs | Renamed


class Finder:
    def __init__(self, known: Known, regular: OwnFiles, of_try: OwnFiles, upstreams: Upstreams) -> None:
        self._known = known
        self._regular = regular
        self._of_try = of_try
        self._upstreams = upstreams

    def find(self, wanted: Wanted, *, with_try: bool, fresh: bool) -> Found:
        """One round trip to redis-cache when all is known. Raises Absent or CouldNotAsk."""
        # Try symbols answer only for what is nowhere else, upstreams included. `sorted` is stable.
        places = sorted(self._places(wanted, with_try), key=lambda place: keys.is_of_try(place.name))
        found: Found = first(self._known, places, fresh=fresh)
        return found

    def _places(self, wanted: Wanted, with_try: bool) -> Iterator[Place]:
        for key in wanted.keys:
            yield _own(keys.regular_file(key), self._regular, key)
        for key in wanted.keys if with_try else ():
            yield _own(keys.try_file(key), self._of_try, key)
        if wanted.may_be_code_id:
            yield _code(wanted.key.debug_file, wanted.given_id, with_try)
        for key in wanted.build_id_keys:
            yield _redirect(_own(keys.regular_file(key), self._regular, key), key)
            if with_try:
                yield _redirect(_own(keys.try_file(key), self._of_try, key), key)
        if is_windows_name(wanted.key.debug_file):
            yield _other_case(keys.regular_file, self._regular, wanted.key)
            if with_try:
                yield _other_case(keys.try_file, self._of_try, wanted.key)
        if self._upstreams and wanted.is_symbol_file:
            yield self._upstream(wanted.key)

    def _upstream(self, key: FileKey) -> Place:
        return Place(
            keys.upstream_file(key),
            lambda: [self._upstreams.which(key)],
            lambda fact: Theirs(fact[0], key),
        )


def _own(name: str, files: OwnFiles, key: FileKey) -> Place:
    def ask() -> list[Any]:
        stored = files.stat(key)
        return [stored.size, stored.etag, stored.modified.timestamp()]

    def answer(fact: list[Any]) -> Ours:
        size, etag, modified = fact
        return Ours(files, key, Stored(size, etag, datetime.fromtimestamp(modified, UTC)))

    return Place(name, ask, answer)


def _code(code_file: str, code_id: str, with_try: bool) -> Place:
    return Place(
        keys.code_file(code_file, code_id, with_try=with_try),
        lambda: list(codes.module_of(code_file, code_id, with_try=with_try)),
        lambda fact: Renamed(symbol_file(ObjectId(*fact))),
    )


def _redirect(place: Place, key: FileKey) -> Place:
    return place._replace(answer=lambda _fact: Renamed(key))


def _other_case(name: Callable[[FileKey], str], files: OwnFiles, key: FileKey) -> Place:
    return Place(
        keys.other_case(name(key)),
        lambda: list(files.other_case(key)),
        lambda fact: Renamed(FileKey(*fact)),
    )
