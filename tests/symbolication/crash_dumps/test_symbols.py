"""Symbols of a dump's modules, from modules in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import pytest

from tecken.errors import NotFound, Pending, Unavailable
from tecken.store.port import Missing
from tecken.symbolication.conversion.status import NO_OFFSETS, Offsets
from tecken.symbolication.crash_dumps.symbols import LoadedSymbols, ModuleNames, base_name
from tecken.symbolication.memory_cache import FrameCache
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbolication.service import Parts
from tecken.symbols.frame import Frame
from tecken.symbols.ids import ObjectId
from tests.symbolication.memory import CPP, MIB, RUST, C, MemoryModules, page_file, sample

WIN = ObjectId("win.pdb", "11111111111111111111111111111111A")
WIN_TEXT = f"MODULE windows x86 {WIN.debug_id} win.pdb\n" + (
    "FILE 0 a.c\nFUNC 1000 20 8 f\n1000 20 3 0\nSTACK WIN 4 1000 20 0 0 c 0 0 0 1 $eip .raSearch =\n"
)
LIB = ObjectId("lib.so", "22222222222222222222222222222222A")
LIB_TEXT = (
    f"MODULE Linux x86_64 {LIB.debug_id} lib.so\nFUNC 1000 20 0 g\nSTACK CFI INIT 1000 20 .cfa: $rsp 8 +\n"
)
LOADED, UNUSED = ModuleState("loaded"), ModuleState("unused")


class Queue:
    """Conversion that has results, and makes the modules in `ready` warm."""

    def __init__(self, modules: MemoryModules) -> None:
        self.modules = modules
        self.results: dict[ObjectId, Missing | Unavailable] = {}
        self.asked: list[list[ObjectId]] = []

    def convert_and_wait(
        self, modules: Sequence[ObjectId], deadline: float, client: str = "", offsets: Offsets = NO_OFFSETS
    ) -> Mapping[ObjectId, Missing | Unavailable]:
        self.asked.append(list(modules))
        ready = [module for module in modules if module not in self.results]
        self.modules.files |= {module: page_file(sample(module)) for module in ready}
        return {module: self.results[module] for module in modules if module in self.results}


@pytest.fixture
def modules() -> MemoryModules:
    texts = {C: sample(C), WIN: WIN_TEXT.encode(), LIB: LIB_TEXT.encode()}
    return MemoryModules({module: page_file(text) for module, text in texts.items()})


@pytest.fixture
def queue(modules: MemoryModules) -> Queue:
    return Queue(modules)


def find_nothing(code_file: str, code_id: str) -> ObjectId:
    raise NotFound(f"no {code_file} {code_id}")


def names(module: ObjectId, directory: str = "/opt/lib/") -> ModuleNames:
    return ModuleNames(directory + module.debug_file, module.debug_id, directory + module.debug_file, "")


def opened(queue: Queue, *rows: ModuleNames) -> LoadedSymbols:
    parts = Parts(queue.modules, queue, FrameCache(MIB), 0, most_cold=3)
    return LoadedSymbols(parts, rows, time.monotonic() + 60, find_nothing)


def test_frames_of_several_modules_cost_two_reads_of_pages(queue: Queue) -> None:
    symbols = opened(queue, names(C), names(WIN, "C:\\build\\"), names(CPP))
    frames = symbols.frames([ModulePlace(0, 0x1205), ModulePlace(1, 0x1004), ModulePlace(1, 0x9000)])
    assert frames[0] is not None
    assert frames[0]._replace(size=0, inlines=()) == Frame("by_price", 0x11E0, "/build/crash/src/crash.c", 25)
    assert [call.function for call in frames[0].inlines] == ["per_person"]
    assert frames[1:] == [Frame("f", 0x1000, "a.c", 3, (), 0x20), None]
    assert queue.modules.trips.count("pages") == 2
    assert symbols.states() == [LOADED, LOADED, UNUSED]


def test_functions_are_told_from_other_places(queue: Queue) -> None:
    symbols = opened(queue, names(C), names(WIN), names(RUST))
    queue.results[RUST] = Missing("absent", "nowhere")
    places = [ModulePlace(1, 0x101F), ModulePlace(1, 0x1020), ModulePlace(2, 0x10), ModulePlace(0, 1 << 40)]
    assert symbols.are_functions(places) == [True, False, None, False]


def test_unwind_info_of_all_places_costs_one_read_of_pages(queue: Queue) -> None:
    symbols = opened(queue, names(LIB), names(WIN))
    places = [ModulePlace(1, 0x1004), ModulePlace(0, 0x1004), ModulePlace(1, 0x5000), ModulePlace(0, 1 << 40)]
    win, cfi, outside, far = symbols.unwind_info(places)
    assert win == UnwindInfo("STACK WIN 4 1000 20 0 0 c 0 0 0 1 $eip .raSearch =", (), 12)
    assert cfi == UnwindInfo("", ("STACK CFI INIT 1000 20 .cfa: $rsp 8 +",), 0)
    assert outside == far == UnwindInfo("", (), 0)
    assert queue.modules.trips.count("pages") == 1


def test_cold_modules_are_converted_together_and_once(queue: Queue) -> None:
    symbols = opened(queue, names(CPP), names(RUST), names(C), names(CPP, "/other/"))
    symbols.prepare([0, 1, 2, 3])
    symbols.frames([ModulePlace(0, 0x10), ModulePlace(1, 0x10), ModulePlace(3, 0x10)])
    assert queue.asked == [[CPP, RUST]]
    assert symbols.states() == [LOADED] * 4


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (
            Missing("absent", "file:///data has no symbols"),
            ModuleState("missing", "no source has its symbols"),
        ),
        (Missing("malformed", "no MODULE record"), ModuleState("corrupt", "no MODULE record")),
        (Missing("unreachable", "timeout"), ModuleState("unavailable", "timeout")),
        (Pending("conversion is going on"), ModuleState("unavailable", "conversion is going on")),
    ],
)
def test_module_without_symbols_has_a_state_and_no_frames(
    queue: Queue, result: Missing | Unavailable, state: ModuleState
) -> None:
    queue.results[CPP] = result
    symbols = opened(queue, names(CPP), names(C))
    place = ModulePlace(0, 0x10)
    assert symbols.frames([place, ModulePlace(1, 0x1205)])[0] is None
    assert symbols.unwind_info([place]) == [None]
    assert symbols.are_functions([place]) == [None]
    assert symbols.states() == [state, LOADED]
    is_absent = isinstance(result, Missing) and result.kind == "absent"
    assert symbols.absent_modules() == ([CPP] if is_absent else [])
    assert len(queue.asked) == 1


def test_module_without_frames_is_not_among_the_absent_ones(queue: Queue) -> None:
    queue.results |= {CPP: Missing("absent", "nowhere"), RUST: Missing("absent", "nowhere")}
    symbols = opened(queue, names(CPP), names(RUST))
    symbols.prepare([0, 1])
    assert symbols.are_functions([ModulePlace(0, 0x10)]) == [None]
    assert symbols.frames([ModulePlace(1, 0x10)]) == [None]
    assert symbols.absent_modules() == [RUST]


def test_more_cold_modules_than_allowed_are_unavailable(queue: Queue) -> None:
    several = [ObjectId(f"lib{n}.so", C.debug_id) for n in range(5)]
    for module in several:
        queue.modules.missing[module] = Missing("absent", "")
    symbols = opened(queue, *map(names, several))
    symbols.prepare(range(5))
    assert {state.state for state in symbols.states()} == {"missing"}


@pytest.mark.parametrize("debug_id", ["", "0" * 33, "nonsense"])
def test_module_without_id_is_missing(queue: Queue, debug_id: str) -> None:
    symbols = opened(queue, ModuleNames("a.so", debug_id, "a.so", ""))
    assert symbols.frames([ModulePlace(0, 0x10)]) == [None]
    (state,) = symbols.states()
    assert state.state == "missing"
    assert "debug id" in state.reason
    assert symbols.absent_modules() == []


def test_module_without_debug_id_is_found_by_its_binary(queue: Queue) -> None:
    parts = Parts(queue.modules, queue, FrameCache(MIB), 0)
    asked = []

    def find(code_file: str, code_id: str) -> ObjectId:
        asked.append((code_file, code_id))
        return WIN

    row = ModuleNames("", "", "C:\\bin\\win.exe", "5f0c1234a000")
    symbols = LoadedSymbols(parts, [row], math.inf, find)
    (frame,) = symbols.frames([ModulePlace(0, 0x1000)])
    assert frame is not None
    assert asked == [("win.exe", "5F0C1234A000")]


def test_module_whose_database_does_not_answer_is_unavailable(queue: Queue) -> None:
    def find(code_file: str, code_id: str) -> ObjectId:
        raise Unavailable("the database does not answer")

    parts = Parts(queue.modules, queue, FrameCache(MIB), 0)
    symbols = LoadedSymbols(parts, [ModuleNames("", "", "win.exe", "5F0C")], math.inf, find)
    symbols.prepare([0])
    assert symbols.states() == [ModuleState("unavailable", "the database does not answer")]


def test_module_whose_pages_are_unreachable_is_unavailable(queue: Queue) -> None:
    queue.modules.unreadable[LIB] = Missing("unreachable", "the disk is gone")
    symbols = opened(queue, names(LIB), names(WIN))
    assert symbols.unwind_info([ModulePlace(0, 0x1000)]) == [None]
    assert symbols.frames([ModulePlace(0, 0x1000), ModulePlace(1, 0x1000)])[0] is None
    assert symbols.states() == [ModuleState("unavailable", "the disk is gone"), LOADED]


def test_module_whose_pages_fail_in_the_lookup_is_unavailable(queue: Queue) -> None:
    symbols = opened(queue, names(C), names(WIN))
    symbols.prepare([0])
    queue.modules.unreadable[C] = Missing("unreachable", "the disk is gone")
    frames = symbols.frames([ModulePlace(0, 0x1205), ModulePlace(1, 0x1000)])
    assert frames[0] is None
    assert frames[1] is not None
    assert symbols.states()[0].state == "unavailable"
    assert symbols.frames([ModulePlace(0, 0x1206)]) == [None]


@pytest.mark.parametrize("path", ["/usr/lib/a.so", "C:\\lib\\a.so", "a.so", "\\\\host/x\\a.so"])
def test_base_name_of_a_path_of_any_system(path: str) -> None:
    assert base_name(path) == "a.so"
