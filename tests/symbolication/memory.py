"""In-memory implementations of Modules and Cold, with page files in a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tecken.errors import Unavailable
from tecken.store.port import Missing
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbolication.conversion.status import NO_OFFSETS, EarlyFrames, Offsets
from tecken.symbolication.loader import Pages
from tecken.symbolication.trace import Trace
from tecken.symbols import engine
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header
from tecken.symbols.pagefile.page import KeptPage

SAMPLES = Path(__file__).parent.parent / "data" / "samples"
C = ObjectId("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
CPP = ObjectId("libcrash-cpp.so", "273D63DBA9E83361F8EC5DEE35148BFF0")
RUST = ObjectId("libcrash-rs.so", "0CA52D10ECCE1CA78288F3A5C4DD0AB40")
MIB = 1 << 20


class PageFile(NamedTuple):
    header: Header
    raw: bytes

    def page(self, number: int) -> KeptPage:
        start, end = self.header.span(number)
        (page,) = self.header.load([self.raw[start:end]])
        return page


def sample(module: ObjectId) -> bytes:
    return (SAMPLES / module.debug_file / module.debug_id / f"{module.debug_file}.sym").read_bytes()


def page_file(text: bytes) -> PageFile:
    with Conversion(lambda: MIB).of([text]) as made:
        return PageFile(made.header, b"".join(made.chunks()))


class MemoryModules:
    """Modules in memory. `unreadable` ones lack pages; `replacements` replace page files during reads."""

    def __init__(self, files: dict[ObjectId, PageFile]) -> None:
        self.files = files
        self.missing: dict[ObjectId, Missing] = {}
        self.unreadable: dict[ObjectId, Missing] = {}
        self.replacements: dict[ObjectId, list[PageFile]] = {}
        self.trips: list[str] = []
        self.engine_cache: engine.EngineCache | None = None

    def headers(
        self,
        modules: Iterable[ObjectId],
        trace: Trace,
        most: int | None = None,
    ) -> dict[ObjectId, Header | Missing]:
        self.trips.append("headers")
        found: dict[ObjectId, Header | Missing] = {}
        for module in modules:
            if module in self.files:
                found[module] = self.files[module].header
                trace.headers.store += 1
            elif module in self.missing:
                found[module] = self.missing[module]
        return found

    def pages(self, wanted: Iterable[tuple[ObjectId, Header, int]], trace: Trace) -> Pages:
        self.trips.append("pages")
        pages = Pages({}, set(), {})
        for module, header, number in wanted:
            if self.replacements.get(module):
                self.files[module] = self.replacements[module].pop()
            if module in self.unreadable:
                pages.unreachable[module] = self.unreadable[module]
            elif self.files[module].header.generation != header.generation:
                pages.replaced.add(module)
            else:
                pages.found[header.generation, number] = self.files[module].page(number)
                trace.pages.store += 1
        return pages


class MemoryConversionQueue:
    """Conversion in memory: `brings` are added to `modules` on demand; `answers` has the other results."""

    def __init__(self, modules: MemoryModules) -> None:
        self.modules = modules
        self.brings: dict[ObjectId, PageFile] = {}
        self.answers: dict[ObjectId, Missing | Unavailable | EarlyFrames] = {}
        self.deadlines: list[float] = []
        self.offsets: list[Offsets] = []

    def convert_and_wait(
        self,
        modules: Sequence[ObjectId],
        deadline: float,
        client: str = "",
        offsets: Offsets = NO_OFFSETS,
    ) -> dict[ObjectId, Missing | Unavailable | EarlyFrames]:
        self.deadlines.append(deadline)
        self.offsets.append(offsets)
        self.modules.files |= {module: self.brings[module] for module in modules if module in self.brings}
        return {module: self.answers[module] for module in modules if module in self.answers}
