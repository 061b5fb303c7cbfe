"""Who has a file: we, regular or from a try build; an upstream; or another name of the same module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tecken.download import codes
from tecken.download.names import Wanted
from tecken.download.places import Place, first
from tecken.download.upstreams import Upstreams
from tecken.storage import keys
from tecken.storage.port import FileKey, OwnFiles, Stored, symbol_file
from tecken.storage.presence_cache import Known
from tecken.symbols.ids import ModuleKey, is_windows_name


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
        lambda fact: Renamed(symbol_file(ModuleKey(*fact))),
    )


def _redirect(place: Place, key: FileKey) -> Place:
    return place._replace(answer=lambda _fact: Renamed(key))


def _other_case(name: Callable[[FileKey], str], files: OwnFiles, key: FileKey) -> Place:
    return Place(
        keys.other_case(name(key)),
        lambda: list(files.other_case(key)),
        lambda fact: Renamed(FileKey(*fact)),
    )
