"""Conversion of native files for a name: all names of a debug id share one page file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tecken.errors import Malformed
from tecken.storage.backends.memory import MemoryPageFiles, MemorySymbols
from tecken.storage.port import NativeStamp, NativeText, SymbolSource
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing
from tecken.symbolication.conversion.converter import Converter, EarlyPublisher
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbolication.conversion.status import EarlyFrames
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header, Section
from tests.support.clock import Clock
from tests.symbolication.conversion.memory import MemoryConversionLock, MemoryConversionTracker
from tests.symbolication.conversion.test_converter import LIFETIMES
from tests.symbolication.samples import MIB, sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
OTHER = ObjectId("other.pdb", XUL.debug_id)
NAMELESS = ObjectId.without_name(XUL.debug_id)
STACK = b"STACK CFI INIT 1000 10 .cfa: $rsp 8 +\n"


class CountedSymbols(MemorySymbols):
    """Source that counts its modules."""

    opened = 0

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        self.opened += 1
        with super().open(module) as chunks:
            yield chunks


class UploadedMeanwhile(MemoryPageFiles):
    """Page files during an upload: `upload` is called once, when the page file of a name is written."""

    upload: Callable[[], object] | None = None

    def write(self, module: ObjectId, chunks: Iterable[bytes]) -> None:
        if module == XUL and self.upload:
            upload, self.upload = self.upload, None
            upload()
        super().write(module, chunks)


class Rig:
    def __init__(self, spool_dir: Path) -> None:
        self.source = CountedSymbols({NAMELESS: sym(NAMELESS) + STACK})
        self.page_files = UploadedMeanwhile()
        self.store = MemoryPageStore(MIB, Clock())
        self.tracker = MemoryConversionTracker()
        self.registered: list[ObjectId] = []
        self.spool_dir = spool_dir
        self.converter = self.make_converter(self.source)

    def make_converter(self, source: SymbolSource) -> Converter:
        return Converter(
            source=source,
            stamp=self.stamp,
            page_files=self.page_files,
            store=self.store,
            lock=MemoryConversionLock(),
            conversion=Conversion(lambda: MIB, str(self.spool_dir)),
            lifetimes=lambda: LIFETIMES,
            register=self.register,
            early=EarlyPublisher(self.tracker),
        )

    def stamp(self, module: ObjectId) -> NativeStamp:
        return NativeStamp(XUL.debug_id, (("file", "etag"),))

    def register(self, module: ObjectId, native_id: str) -> list[ObjectId]:
        assert native_id == XUL.debug_id
        self.registered.append(module)
        return []


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_names_share_the_page_file_of_their_id(rig: Rig) -> None:
    first, second = rig.converter.convert(XUL), rig.converter.convert(OTHER)
    assert isinstance(first, Header)
    assert first == second or first.raw == getattr(second, "raw", b"")
    assert rig.source.opened == 1
    assert rig.registered == [XUL, OTHER]
    assert rig.page_files.files[NAMELESS].startswith(first.raw)
    assert rig.page_files.files[XUL] == rig.page_files.files[OTHER] == first.raw


def test_page_file_of_native_files_has_call_frame_information(rig: Rig) -> None:
    header = rig.converter.convert(XUL)
    assert isinstance(header, Header)
    assert len(header.pages(Section.CFI)) == 1
    assert header.metadata.native_id == XUL.debug_id


def test_early_frames_are_those_of_the_requested_name(rig: Rig) -> None:
    rig.tracker.states[XUL] = "started"
    rig.tracker.want({XUL: [0x1000]})
    rig.converter.convert(XUL)
    assert [*rig.tracker.early] == [XUL]
    frame = rig.tracker.early[XUL].frames[0x1000]
    assert frame is not None
    assert frame.function == "work0"


class PartSymbols(CountedSymbols):
    """Source of a text with parts. `log` has what was read, in order; `broken` is the error of each part."""

    broken: Malformed | None = None

    def __init__(self, files: dict[ObjectId, bytes], part: bytes) -> None:
        super().__init__(files)
        self.log: list[object] = []
        self._part = part

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        with super().open(module) as chunks:
            yield NativeText(self._read(chunks), self._read_part)

    def _read(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        self.log.append("whole")
        yield from chunks

    def _read_part(self, offsets: Iterable[int]) -> Generator[bytes]:
        self.log.append(set(offsets))
        if self.broken:
            raise self.broken
        yield self._part


@pytest.fixture
def source() -> PartSymbols:
    part = sym(NAMELESS).replace(b"work0", b"part0")
    return PartSymbols({NAMELESS: sym(NAMELESS) + STACK}, part)


@pytest.fixture
def publications(monkeypatch: pytest.MonkeyPatch, rig: Rig) -> list[EarlyFrames]:
    """Return a list that gets all early frames."""
    found: list[EarlyFrames] = []
    publish = rig.tracker.publish_frames

    def record(module: ObjectId, revision: str, early: EarlyFrames) -> bool:
        found.append(early)
        return publish(module, revision, early)

    monkeypatch.setattr(rig.tracker, "publish_frames", record)
    return found


def convert_waited_for(rig: Rig, source: PartSymbols) -> Header | Missing:
    rig.converter = rig.make_converter(source)
    rig.tracker.states[XUL] = "started"
    rig.tracker.want({XUL: [0x1000]})
    return rig.converter.convert(XUL)


def functions(publications: list[EarlyFrames]) -> list[list[str]]:
    return [[frame.function for frame in early.frames.values() if frame] for early in publications]


def test_early_frames_of_a_part_come_before_the_whole_text_is_read(
    rig: Rig, source: PartSymbols, publications: list[EarlyFrames]
) -> None:
    assert isinstance(convert_waited_for(rig, source), Header)
    assert source.log == [{0x1000}, "whole"]
    assert functions(publications) == [["part0"], ["work0"]]


def test_part_answers_only_the_offsets_that_it_was_made_for(
    rig: Rig, source: PartSymbols, publications: list[EarlyFrames], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that comes meanwhile could otherwise be told that there is no symbol."""

    def read_part(offsets: Iterable[int]) -> Generator[bytes]:
        rig.tracker.want({XUL: [0x1010]})
        yield sym(NAMELESS)

    monkeypatch.setattr(source, "_read_part", read_part)
    convert_waited_for(rig, source)
    assert [set(early.frames) for early in publications] == [{0x1000}, {0x1000, 0x1010}]


def test_part_that_fails_leaves_the_frames_to_the_whole_text(
    rig: Rig, source: PartSymbols, publications: list[EarlyFrames]
) -> None:
    source.broken = Malformed("ended with signal 9")
    assert isinstance(convert_waited_for(rig, source), Header)
    assert functions(publications) == [["work0"]]


def test_part_is_not_made_when_nobody_waits(rig: Rig, source: PartSymbols) -> None:
    rig.converter = rig.make_converter(source)
    rig.converter.convert(XUL)
    assert source.log == ["whole"]


def test_name_never_keeps_the_header_of_replaced_files(rig: Rig) -> None:
    """An upload removes the page file of the id, then those of the names; this name is written after both."""

    def upload() -> None:
        rig.source.files[NAMELESS] = sym(NAMELESS, name="new")
        rig.page_files.delete(NAMELESS)
        rig.store.forget(NAMELESS)
        rig.page_files.delete(XUL)

    rig.page_files.upload = upload
    header = rig.converter.convert(XUL)
    assert isinstance(header, Header)
    assert rig.source.opened == 2
    assert rig.page_files.files[NAMELESS].startswith(header.raw)
    assert rig.page_files.files[XUL] == header.raw


def test_files_that_cannot_be_converted_are_tried_once_for_all_names(rig: Rig) -> None:
    rig.source.files[NAMELESS] = b"<html>"
    answers = [rig.converter.convert(XUL), rig.converter.convert(OTHER)]
    assert [isinstance(answer, Missing) and answer.kind for answer in answers] == ["malformed"] * 2
    assert rig.source.opened == 1
    assert rig.store.headers([XUL, OTHER]).keys() == {XUL, OTHER}


def test_files_of_another_build_are_malformed(rig: Rig) -> None:
    rig.source.files[NAMELESS] = sym(ObjectId("x", "B" * 33))
    answer = rig.converter.convert(XUL)
    assert isinstance(answer, Missing)
    assert "another build" in answer.reason


def test_files_without_an_id_have_that_of_their_path(rig: Rig) -> None:
    rig.source.files[NAMELESS] = sym(ObjectId("x", "0" * 33))
    assert isinstance(rig.converter.convert(XUL), Header)
