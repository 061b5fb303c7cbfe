"""Conversion of native files for a name: all names of a debug id share one page file and one text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from gzip import decompress
from pathlib import Path

import pytest

from tecken.errors import Unavailable
from tecken.storage.backends.memory import MemoryFiles, MemoryPageFiles, MemorySymbols
from tecken.storage.port import NativeStamp
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing
from tecken.symbolication.conversion.converter import Converter, EarlyPublisher, NativeModules
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
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
        self.texts = MemoryFiles()
        self.tracker = MemoryConversionTracker()
        self.registered: list[ObjectId] = []
        self.converter = Converter(
            source=self.source,
            stamp=self.stamp,
            page_files=self.page_files,
            store=self.store,
            lock=MemoryConversionLock(),
            conversion=Conversion(lambda: MIB, str(spool_dir)),
            lifetimes=lambda: LIFETIMES,
            native=NativeModules(self.texts, self.register),
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


def test_names_share_the_page_file_and_the_text_of_their_id(rig: Rig) -> None:
    first, second = rig.converter.convert(XUL), rig.converter.convert(OTHER)
    assert isinstance(first, Header)
    assert first == second or first.raw == getattr(second, "raw", b"")
    assert rig.source.opened == 1
    assert rig.registered == [XUL, OTHER]
    assert rig.page_files.files[NAMELESS].startswith(first.raw)
    assert rig.page_files.files[XUL] == rig.page_files.files[OTHER] == first.raw
    assert decompress(rig.texts.files[symbol_file(NAMELESS)]) == rig.source.files[NAMELESS]


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


def test_text_that_cannot_be_stored_leaves_no_page_file(rig: Rig) -> None:
    rig.texts.outage = Unavailable("the storage does not answer")
    answer = rig.converter.convert(XUL)
    assert isinstance(answer, Missing)
    assert answer.kind == "unreachable"
    assert rig.page_files.files == {}


def test_files_of_another_build_are_malformed(rig: Rig) -> None:
    rig.source.files[NAMELESS] = sym(ObjectId("x", "B" * 33))
    answer = rig.converter.convert(XUL)
    assert isinstance(answer, Missing)
    assert "another build" in answer.reason


def test_files_without_an_id_have_that_of_their_path(rig: Rig) -> None:
    rig.source.files[NAMELESS] = sym(ObjectId("x", "0" * 33))
    assert isinstance(rig.converter.convert(XUL), Header)
