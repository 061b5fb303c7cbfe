from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tecken.errors import Malformed, TeckenError, Throttled, Unavailable
from tecken.storage.backends.memory import MemoryPageFiles, MemorySymbols
from tecken.storage.services import upstream_for
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.converter import (
    LONGEST_UNREACHABLE,
    Converter,
    EarlyPublisher,
    MissingLifetimes,
)
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbolication.conversion.status import EarlyFrames
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.symbols.pagefile.file import Header, Section
from tests.support.clock import Clock
from tests.symbolication.conversion.memory import (
    MemoryConversionLock,
    MemoryConversionTracker,
    StoreIsAway,
)
from tests.symbolication.samples import (
    MIB,
    header_of,
    of_version_1,
    page_file,
    page_file_of_version_2,
    page_file_of_version_3,
    sym,
)

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
LIFETIMES = MissingLifetimes(absent=600, malformed=86_400, unreachable=5)


class Rig:
    def __init__(self, spool_dir: Path) -> None:
        self.clock = Clock()
        self.source: Any = MemorySymbols({XUL: sym(XUL)})
        self.uploads: Counter[ObjectId] = Counter()
        self.page_files = MemoryPageFiles()
        self.store = MemoryPageStore(MIB, self.clock)
        self.spool_dir = spool_dir
        self.tracker = MemoryConversionTracker()
        self.tracker.states[XUL] = "started"

    def stamp(self, module: ObjectId) -> object:
        return self.uploads[module]

    def prepare(self, module: ObjectId = XUL, store: PageStore | None = None) -> Header | Missing:
        converter = Converter(
            source=self.source,
            stamp=self.stamp,
            page_files=self.page_files,
            store=store or self.store,
            lock=MemoryConversionLock(),
            conversion=Conversion(lambda: MIB, str(self.spool_dir)),
            lifetimes=lambda: LIFETIMES,
            early=EarlyPublisher(self.tracker),
        )
        return converter.convert(module)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def missing(answer: Header | Missing) -> Missing:
    assert isinstance(answer, Missing)
    return answer


def test_prepare_symbol_file_writes_page_file_and_header(rig: Rig) -> None:
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert rig.page_files.files == {XUL: page_file(sym(XUL))}
    assert rig.store.headers([XUL]) == {XUL: answer.raw}
    assert list(rig.spool_dir.iterdir()) == []


def test_prepare_compressed_file_gives_the_same_page_file(rig: Rig) -> None:
    rig.source.files[XUL] = gzip.compress(sym(XUL))
    rig.prepare()
    assert rig.page_files.files == {XUL: page_file(sym(XUL))}


STACK = b"STACK CFI INIT 1000 10 .cfa: $rsp 8 +\n"


def convert(*chunks: bytes) -> Header:
    with Conversion(lambda: 200_000).of(chunks) as made:
        return made.header


def test_prepare_stack_records_are_in_the_page_file(rig: Rig) -> None:
    rig.source.files[XUL] = sym(XUL) + STACK
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert len(answer.pages(Section.CFI)) == 1
    assert answer.metadata.dropped == {}


def test_conversion_frames_are_there_before_the_stack_records_are_read() -> None:
    """A request waits for its frames, and half of a symbol file may be STACK records."""
    scanned: list[object] = []
    seen: list[bool] = []

    def chunks() -> Iterator[bytes]:
        yield sym(XUL)
        for _ in range(1000):
            seen.append(bool(scanned))
            yield STACK * 1000

    with Conversion(lambda: 100 * MIB).of(chunks(), lambda writer, module: scanned.append(module)):
        assert seen[-1]


@pytest.mark.parametrize(
    "chunks", [[gzip.compress(sym(XUL) + STACK * 4000)[:-20]], [sym(XUL) + STACK * 4000, STACK * 4000]]
)
def test_conversion_stack_records_without_end_leave_the_symbols(chunks: list[bytes]) -> None:
    """A page file has all symbols, and the records before the damage or the limit."""
    header = convert(*chunks)
    assert header.metadata.symbols == 3
    assert len(header.pages(Section.CFI)) == 1
    (reason,) = header.metadata.dropped
    assert reason.startswith("rest of the STACK records: ")
    assert header.is_current


def test_conversion_symbols_without_end_raise() -> None:
    with pytest.raises(Malformed):
        convert(gzip.compress(sym(XUL, 2000) + STACK)[:-5000])


def test_prepare_existing_page_file_fetches_nothing(rig: Rig) -> None:
    rig.page_files.files[XUL] = page_file(sym(XUL))
    rig.source.files[XUL] = Unavailable("not to be asked")
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert rig.store.headers([XUL]) == {XUL: answer.raw}


def test_prepare_page_file_of_other_version_converts_again(rig: Rig) -> None:
    rig.page_files.files[XUL] = b"page file of another version" * 10
    assert isinstance(rig.prepare(), Header)
    assert rig.page_files.files == {XUL: page_file(sym(XUL))}


@pytest.mark.parametrize("older", [page_file_of_version_2, page_file_of_version_3])
def test_prepare_older_page_file_is_replaced(rig: Rig, older: Callable[[bytes], bytes]) -> None:
    text = rig.source.files[XUL] = sym(XUL) + STACK
    rig.page_files.files[XUL] = older(text)
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert answer.is_current
    assert rig.page_files.files == {XUL: page_file(text)}
    assert rig.store.headers([XUL]) == {XUL: answer.raw}


@pytest.mark.parametrize("reason", ["absent", "malformed", "unreachable"])
def test_prepare_version_2_page_file_without_symbol_file_stays(rig: Rig, reason: str) -> None:
    old = rig.page_files.files[XUL] = page_file_of_version_2(sym(XUL))
    if reason == "absent":
        del rig.source.files[XUL]
    else:
        rig.source.files[XUL] = b"<html>" if reason == "malformed" else Unavailable("no connection")
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert not answer.is_current
    assert rig.page_files.files == {XUL: old}
    assert rig.store.headers([XUL]) == {XUL: answer.raw}


def test_prepare_version_1_entries_converts_again(rig: Rig) -> None:
    old = page_file(sym(XUL, functions=5))
    rig.page_files.files[XUL] = of_version_1(old)
    rig.store.put_header(XUL, of_version_1(header_of(XUL, 5).raw))
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert rig.page_files.files == {XUL: page_file(sym(XUL))}
    assert rig.store.headers([XUL]) == {XUL: answer.raw}


@pytest.mark.parametrize(
    ("stored", "kind", "reason", "seconds"),
    [
        (None, "absent", "memory has no xul.pdb", 600),
        (b"<html>not found</html>", "malformed", "", 86_400),
        (gzip.compress(sym(XUL))[:-12], "malformed", "", 86_400),
        (sym(XUL, functions=40_000), "malformed", "", 86_400),
        (Unavailable("connection refused"), "unreachable", "connection refused", 5),
        (Throttled("slow down", retry_after=77.2), "unreachable", "slow down", 77),
        (Throttled("slow down", retry_after=0.001), "unreachable", "slow down", 1),
        (Throttled("slow down", retry_after=1e9), "unreachable", "slow down", LONGEST_UNREACHABLE),
    ],
    ids=["absent", "no symbols", "truncated", "too large", "refused", "throttled", "at once", "next year"],
)
def test_prepare_failure_stores_a_marker_for_its_lifetime(
    rig: Rig, stored: bytes | TeckenError | None, kind: str, reason: str, seconds: int
) -> None:
    if stored is None:
        del rig.source.files[XUL]
    else:
        rig.source.files[XUL] = stored
    answer = missing(rig.prepare())
    assert answer.kind == kind
    assert reason in answer.reason
    assert answer.reason
    assert rig.page_files.files == {}
    rig.clock.sleep(seconds - 0.5)
    assert rig.store.headers([XUL]) == {XUL: answer}
    rig.clock.sleep(0.5)
    assert rig.store.headers([XUL]) == {}


def test_prepare_source_available_again_converts(rig: Rig) -> None:
    rig.source.files[XUL] = Unavailable("connection refused")
    assert missing(rig.prepare()).kind == "unreachable"
    rig.source.files[XUL] = sym(XUL)
    assert missing(rig.prepare()).kind == "unreachable"
    rig.clock.sleep(LIFETIMES.unreachable)
    assert isinstance(rig.prepare(), Header)


def test_prepare_module_record_of_32_digits_has_age_0(rig: Rig) -> None:
    without_age = ObjectId("xul.pdb", XUL.debug_id[:32])
    module = ObjectId.parse(*without_age)
    rig.source.files = {module: sym(without_age)}
    assert isinstance(rig.prepare(module), Header)


def test_prepare_file_of_another_build_is_malformed(rig: Rig) -> None:
    rig.source.files[XUL] = sym(ObjectId("xul.pdb", "0" * 33))
    answer = missing(rig.prepare())
    assert answer.kind == "malformed"
    assert "another build" in answer.reason
    assert "0" * 33 in answer.reason
    assert rig.page_files.files == {}


def test_prepare_lower_case_debug_id_is_the_same_build(rig: Rig) -> None:
    rig.source.files[XUL] = sym(ObjectId("xul.pdb", XUL.debug_id.lower()))
    assert isinstance(rig.prepare(), Header)


def test_prepare_renamed_debug_file_is_the_same_build(rig: Rig) -> None:
    rig.source.files[XUL] = sym(ObjectId("xul-stripped.pdb", XUL.debug_id))
    assert isinstance(rig.prepare(), Header)
    assert list(rig.page_files.files) == [XUL]


def test_prepare_unavailable_page_files_skips_the_download(rig: Rig) -> None:
    rig.page_files.outage = Unavailable("storage is away")
    del rig.source.files[XUL]
    assert missing(rig.prepare()) == Missing("unreachable", "storage is away")


def test_prepare_without_the_store_writes_the_page_file(rig: Rig) -> None:
    assert isinstance(rig.prepare(store=StoreIsAway()), Header)
    assert rig.page_files.files == {XUL: page_file(sym(XUL))}
    del rig.source.files[XUL]
    other = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
    assert missing(rig.prepare(other, StoreIsAway())).kind == "absent"


def test_prepare_full_disk_is_not_malformed(rig: Rig, tmp_path: Path) -> None:
    rig.spool_dir = tmp_path / "not mounted"
    answer = missing(rig.prepare())
    assert answer.kind == "unreachable"
    assert "no room to convert in" in answer.reason


def test_prepare_returns_the_header_of_the_page_file(rig: Rig) -> None:
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert answer.generation == header_of(XUL).generation


class Uploading(MemorySymbols):
    """Source during whose reads the next of `uploads` is uploaded."""

    def __init__(self, rig: Rig, uploads: list[bytes | None]) -> None:
        super().__init__({})
        self._rig = rig
        self._uploads = uploads

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        try:
            with super().open(module) as chunks:
                yield chunks
        finally:
            uploaded = self._uploads.pop(0) if self._uploads else None
            if uploaded:
                self.files[module] = uploaded
                self._rig.uploads[module] += 1
                self._rig.page_files.delete(module)
                self._rig.store.forget(module)


@pytest.mark.parametrize("before", [sym(XUL), b"<html>", None], ids=["other symbols", "malformed", "absent"])
def test_prepare_upload_during_conversion_converts_the_new_file(rig: Rig, before: bytes | None) -> None:
    newer = sym(XUL, functions=5)
    rig.source = Uploading(rig, [newer])
    if before:
        rig.source.files[XUL] = before
    answer = rig.prepare()
    assert isinstance(answer, Header)
    assert rig.page_files.files == {XUL: page_file(newer)}
    assert rig.store.headers([XUL]) == {XUL: answer.raw}


def test_prepare_endless_uploads_are_unreachable(rig: Rig) -> None:
    rig.source = Uploading(rig, [sym(XUL, functions=n) for n in range(4, 20)])
    answer = missing(rig.prepare())
    assert answer.kind == "unreachable"
    assert "again and again" in answer.reason
    assert rig.page_files.files == {}


def test_prepare_full_disk_is_unreachable_until_later(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Include a small text that fits into a buffer, so that the disk is written only at the end."""
    rig.source.files = {XUL: sym(XUL)}

    def full_disk(**_: object) -> BinaryIO:
        return open("/dev/full", "r+b")

    with monkeypatch.context() as patched:
        patched.setattr("tecken.symbolication.conversion.page_file_builder.TemporaryFile", full_disk)
        answer = missing(rig.prepare())
    assert answer.kind == "unreachable"
    assert "No space left on device" in answer.reason


HUNGRY = """
from tecken.errors import TooLarge
from tecken.symbolication.conversion.page_file_builder import Conversion

def text(records):
    yield b"MODULE Linux x86_64 A1B2C3D4E5F60718293A4B5C6D7E8F900 x\\n"
    for start in range(0, records, 10_000):
        yield b"".join(b"PUBLIC %x 0 p\\n" % (records - i) for i in range(start, start + 10_000))

conversion = Conversion(lambda: 1 << 30, None, 48 << 20)
for records in (3_000_000, 30_000):
    try:
        with conversion.of(text(records)) as made:
            print(made.header.metadata.symbols)
    except TooLarge as error:
        print(error)
"""


def test_builder_over_memory_raises_and_the_next_works() -> None:
    """Run in another process, so that the limit does not apply to the tests."""
    command = [sys.executable, "-c", HUNGRY]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [
        "symbol file needs more than 48 MiB of memory to be converted",
        "30000",
    ]


def test_prepare_absent_in_one_spelling_looks_for_another_one(rig: Rig, tmp_path: Path) -> None:
    """Upstreams compare names exactly: a wrong spelling must not hide the symbols from the right one."""
    right, wrong = ObjectId("Foo.pdb", XUL.debug_id), ObjectId("FOO.PDB", XUL.debug_id)
    path = tmp_path / "upstream" / str(symbol_file(right))
    path.parent.mkdir(parents=True)
    path.write_bytes(sym(right))
    rig.source = upstream_for((tmp_path / "upstream").as_uri())
    assert missing(rig.prepare(wrong)).kind == "absent"
    assert isinstance(rig.prepare(right), Header)
    assert isinstance(rig.prepare(wrong), Header)
    assert list(rig.page_files.files) == [right]


# Early frames


class Recording(MemoryConversionTracker):
    """Tracker that records at each publication what storage and store have."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self._rig = rig
        self.states[XUL] = "started"
        self.kept: list[object] = []

    def publish_frames(self, module: ObjectId, revision: str, early: EarlyFrames) -> bool:
        self.kept.append((dict(self._rig.page_files.files), self._rig.store.headers([module])))
        return super().publish_frames(module, revision, early)


def test_prepare_wanted_offsets_are_published_before_anything_is_kept(rig: Rig) -> None:
    rig.tracker = tracker = Recording(rig)
    tracker.want({XUL: [0x1000]})
    assert isinstance(rig.prepare(), Header)
    assert tracker.kept == [({}, {})]
    frame = tracker.early[XUL].frames[0x1000]
    assert frame
    assert frame.function == "work0"


@pytest.mark.parametrize(
    "text",
    [
        sym(ObjectId("xul.pdb", "0" * 33)),
        b"<html>",
        gzip.compress(sym(XUL))[:-12],
        sym(XUL, functions=40_000),
    ],
    ids=["another build", "no symbols", "truncated", "too large"],
)
def test_prepare_malformed_file_publishes_no_frames(rig: Rig, text: bytes) -> None:
    rig.source.files[XUL] = text
    rig.tracker.want({XUL: [0x1000]})
    assert missing(rig.prepare()).kind == "malformed"
    assert rig.tracker.early == {}


def test_prepare_upload_before_the_frames_leaves_only_new_ones(rig: Rig) -> None:
    """The upload stores its file and removes what was published while the former text is read."""

    class Replaced(MemorySymbols):
        @contextmanager
        def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
            with super().open(module) as chunks:
                text = b"".join(chunks)
                if not rig.uploads[module]:
                    self.files[module] = sym(XUL, name="newer")
                    rig.uploads[module] += 1
                    rig.tracker.forget(module)
                yield iter([text])

    rig.tracker = tracker = Recording(rig)
    rig.source = Replaced({XUL: sym(XUL)})
    tracker.want({XUL: [0x1000]})
    assert isinstance(rig.prepare(), Header)
    frame = tracker.early[XUL].frames[0x1000]
    assert frame
    assert frame.function == "newer0"
    assert rig.page_files.files == {XUL: page_file(sym(XUL, name="newer"))}


@pytest.mark.parametrize("stamp", [1, Unavailable("storage is away")], ids=["changed", "unknown"])
def test_prepare_other_stamp_after_the_frames_withdraws_them(
    rig: Rig, stamp: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis-cache did not hear of the upload, so only the stamp of the stored file shows it."""
    stamps = [0, stamp, 1, 1]
    withdrawn = []

    def next_stamp(_module: ObjectId) -> object:
        value = stamps.pop(0) if stamps else 1
        if isinstance(value, Unavailable):
            raise value
        return value

    class Watching(MemoryConversionTracker):
        def withdraw_frames(self, module: ObjectId) -> None:
            withdrawn.append(module)
            super().withdraw_frames(module)

    rig.tracker = Watching()
    rig.tracker.states[XUL] = "started"
    rig.tracker.want({XUL: [0x1000]})
    monkeypatch.setattr(rig, "stamp", next_stamp)
    rig.prepare()
    assert withdrawn[0] == XUL
