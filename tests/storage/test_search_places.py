"""The order of places, and what the presence cache has to do with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tecken.errors import NotFound, SourceDisabled, Throttled, Unavailable
from tecken.redisclient import client
from tecken.redisclient.guard import RedisGuard
from tecken.storage.backends.memory import MemoryFiles, MemorySymbols
from tecken.storage.port import BuildIdRequest, ElfPart, FileRequest, parse_names
from tecken.storage.presence_cache import PresenceCache, PresenceLifetimes
from tecken.storage.search import Search
from tecken.storage.search_places import ConvertedSymbols, Found, OtherName, OwnFile, UpstreamFile
from tecken.storage.source_chain import SwitchableSource
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file

CODE_ID = "5AB38077A000"
MODULE = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
KEY = symbol_file(MODULE)
OTHER_CASE = FileKey("XUL.pdb", KEY.debug_id, "XUL.sym")
REQUEST = parse_names(*KEY)
TRY_REQUEST = REQUEST._replace(with_try=True)


class Places:
    """A search whose places a test fills."""

    def __init__(self, connection: redis.Redis) -> None:
        self.regular, self.try_files = MemoryFiles("regular"), MemoryFiles("try")
        self.first, self.second = MemorySymbols(name="first"), MemorySymbols(name="second")
        self.code_ids: dict[str, ObjectId] = {}
        self.elf_files: dict[tuple[str, ElfPart], FileKey] = {}
        self.off: list[str] = []
        self.search = Search(
            regular=self.regular,
            try_files=self.try_files,
            upstreams=[
                SwitchableSource(each, each.name, lambda: self.off) for each in (self.first, self.second)
            ],
            presence=PresenceCache(
                connection, RedisGuard("redis-cache"), lambda: PresenceLifetimes(100, 50, 1)
            ),
            find_by_code_id=self._find,
            find_by_build_id=self._find_elf,
        )

    def _find(self, code_file: str, code_id: str, *, with_try: bool) -> ObjectId:
        if code_id not in self.code_ids:
            raise NotFound(f"no {code_file}/{code_id}, with try files: {with_try}")
        return self.code_ids[code_id]

    def _find_elf(self, build_id: str, part: ElfPart, *, try_symbols: bool) -> FileKey:
        if try_symbols or (build_id, part) not in self.elf_files:
            raise NotFound(f"no {part.value} of {build_id}")
        return self.elf_files[build_id, part]

    def find(self, request: FileRequest = REQUEST) -> Found:
        return self.search.find(request, fresh=True)


@pytest.fixture
def places() -> Iterator[Places]:
    with client(f"{os.environ['REDIS_URL']}/0", timeout=5, connect_timeout=5) as connected:
        connected.flushdb()
        yield Places(connected)


def source_of(found: Found) -> str:
    match found:
        case OwnFile():
            return found.files.name
        case UpstreamFile():
            return found.upstream
        case ConvertedSymbols():
            return str(found.module)
    return str(found.key)


def test_find_file_in_every_place_regular_upstreams_try_is_the_order(places: Places) -> None:
    for files in (places.regular, places.try_files):
        files.put(KEY, [b"text"])
    for upstream in (places.first, places.second):
        upstream.files[MODULE] = b"text"
    order = [source_of(places.find(TRY_REQUEST))]
    places.regular.delete(KEY)
    order.append(source_of(places.find(TRY_REQUEST)))
    del places.first.files[MODULE]
    order.append(source_of(places.find(TRY_REQUEST)))
    del places.second.files[MODULE]
    order.append(source_of(places.find(TRY_REQUEST)))
    assert order == ["regular", "first", "second", "try"]


def test_find_other_names_of_regular_files_precede_upstreams(places: Places) -> None:
    places.regular.put(OTHER_CASE, [b"text"])
    places.first.files[MODULE] = b"text"
    assert places.find() == OtherName(OTHER_CASE)


def test_find_code_id_leads_to_the_module(places: Places) -> None:
    places.code_ids[CODE_ID] = MODULE
    assert places.find(parse_names("xul.dll", CODE_ID, "xul.sym")) == OtherName(KEY)


def test_find_try_file_without_try_in_the_request_is_absent(places: Places) -> None:
    places.try_files.put(KEY, [b"text"])
    with pytest.raises(NotFound):
        places.find()


def test_find_cached_file_searches_no_place(places: Places) -> None:
    places.regular.put(KEY, [b"text"])
    places.find()
    places.regular.outage = Unavailable("not mounted")
    assert source_of(places.search.find(REQUEST)) == "regular"


def test_find_unavailable_place_and_no_file_elsewhere_is_unavailable(places: Places) -> None:
    places.regular.outage = Unavailable("not mounted")
    with pytest.raises(Unavailable, match="not mounted"):
        places.find()
    places.second.files[MODULE] = b"text"
    assert source_of(places.find()) == "second"


def test_find_every_upstream_throttled_has_the_shortest_wait(places: Places) -> None:
    places.first.files[MODULE] = Throttled("first: 429", retry_after=60)
    places.second.files[MODULE] = Throttled("second: 429", retry_after=20)
    with pytest.raises(Throttled) as raised:
        places.find()
    assert raised.value.retry_after == 20


def test_upstream_disabled_or_removed_is_absent(places: Places) -> None:
    assert places.search.upstream("first").name == "first"
    assert not places.search.has_disabled_upstream
    places.off.append("first")
    assert places.search.has_disabled_upstream
    with pytest.raises(SourceDisabled):
        places.search.upstream("first")
    with pytest.raises(NotFound, match="no upstream"):
        places.search.upstream("third")


# By build id

BUILD_ID = "2170740035ee5228259b8189628eb7ac26e4b705"
DEBUG = FileKey("frames.debug", BUILD_ID, "frames.debug")
EXECUTABLE = FileKey("frames.so", BUILD_ID, "frames.so")
DATA = Path(__file__).parents[1] / "data" / "native"


def section(name: str) -> BuildIdRequest:
    return BuildIdRequest(BUILD_ID, ElfPart.DEBUG_INFO, name)


def elf(places: Places, part: ElfPart, key: FileKey) -> bytes:
    content = (DATA / key.file_name).read_bytes()
    places.regular.put(key, [content])
    places.elf_files[BUILD_ID, part] = key
    return content


def find_section(places: Places, name: str) -> OwnFile:
    found = places.search.find_by_build_id(section(name))
    assert isinstance(found, OwnFile)
    return found


def test_find_by_build_id_section_without_bytes_is_that_of_the_executable(places: Places) -> None:
    debug = elf(places, ElfPart.DEBUG_INFO, DEBUG)
    code = elf(places, ElfPart.EXECUTABLE, EXECUTABLE)
    line = find_section(places, ".debug_line")
    # The offsets and sizes are those of `readelf -S`.
    assert (line.key, line.span) == (DEBUG, (0x475, 0x86))
    text = find_section(places, ".text")
    assert (text.key, text.span) == (EXECUTABLE, (0x3C0, 0x38))
    assert line.etag != text.etag
    assert debug != code


def test_find_by_build_id_section_is_found_without_the_executable(places: Places) -> None:
    elf(places, ElfPart.DEBUG_INFO, DEBUG)
    assert find_section(places, ".symtab").key == DEBUG
    for name in (".text", ".absent"):
        with pytest.raises(NotFound):
            places.search.find_by_build_id(section(name))


def test_find_by_build_id_cached_section_needs_no_place(places: Places) -> None:
    elf(places, ElfPart.DEBUG_INFO, DEBUG)
    first = find_section(places, ".debug_line")
    places.regular.outage = Unavailable("not mounted")
    assert find_section(places, ".debug_line") == first
    with pytest.raises(Unavailable, match="not mounted"):
        places.search.find_by_build_id(section(".debug_info"))


def test_find_by_build_id_unreachable_debug_file_is_not_absent(places: Places) -> None:
    elf(places, ElfPart.DEBUG_INFO, DEBUG)
    elf(places, ElfPart.EXECUTABLE, EXECUTABLE)
    places.regular.outage = Unavailable("not mounted")
    with pytest.raises(Unavailable, match="not mounted"):
        find_section(places, ".text")


def test_find_by_build_id_file_whose_sections_cannot_be_read_has_none(places: Places) -> None:
    content = bytearray((DATA / "frames.debug").read_bytes())
    content[0x28:0x30] = (1 << 40).to_bytes(8, "little")
    places.regular.put(DEBUG, [bytes(content)])
    places.elf_files[BUILD_ID, ElfPart.DEBUG_INFO] = DEBUG
    with pytest.raises(NotFound):
        find_section(places, ".debug_line")
