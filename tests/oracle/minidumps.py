"""Reports of minidumps from symbol files in memory, and their differences from minidump-stackwalk's.

The program of rust-minidump is the oracle (`cargo install minidump-stackwalk --version 0.27.0`). Its results
for the dumps in `tests/data/minidumps` are kept in `expected.json.zst` there, so that they are compared
without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import orjson
import zstandard

from tecken.symbolication.minidump.dump import Minidump
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbolication.minidump.read import read_dump as read_any_dump
from tecken.symbolication.minidump.report import write_report
from tecken.symbolication.minidump.unwind import walk
from tecken.symbolication.minidump.unwind_info import read_unwind_info, unwind_pages
from tecken.symbols.lookup import Frame
from tecken.symbols.pagefile.convert import PageFileWriter
from tests.oracle.module import PagedModule

DATA = Path(__file__).parent.parent / "data" / "minidumps"
DUMPS = sorted(path.name.removesuffix(".dmp.zst") for path in DATA.glob("*.dmp.zst"))
EXPECTED = DATA / "expected.json.zst"
# `cargo install --root /opt/NAME` puts it there.
PATH = os.pathsep.join([os.environ["PATH"], *map(str, Path("/opt").glob("*/bin"))])
FRAME_KEYS = (
    "trust", "offset", "module", "module_offset", "function", "function_offset", "file", "line", "inlines",
)  # fmt: skip
MODULE_KEYS = (
    "base_addr", "end_addr", "filename", "debug_file", "debug_id", "code_id", "version", "missing_symbols",
)  # fmt: skip
CRASH_KEYS = (
    "type", "address", "crashing_thread", "adjusted_address", "instruction", "memory_accesses",
    "instruction_pointer_update", "possible_bit_flips", "crash_inconsistencies",
)  # fmt: skip

Report = Mapping[str, Any]
SymbolFiles = Mapping[tuple[str, str], bytes]


class UnwoundModule(PagedModule):
    """A module with the call frame information of its symbol file."""

    def __init__(self, sym: bytes) -> None:
        super().__init__(sym)
        pages = BytesIO()
        writer = PageFileWriter(BytesIO(), pages, cfi=BytesIO())
        writer.feed(sym)
        self.header = writer.finish()
        self._file = self.header.raw + pages.getvalue()

    def unwind_info(self, offset: int) -> UnwindInfo:
        """Return the unwind information at an offset."""
        pages = {number: self._page(number) for number in unwind_pages(self.header, offset)}
        return read_unwind_info(self.header, pages, offset)


class FolderAccess:
    """`SymbolAccess` to symbol files in memory."""

    def __init__(self, dump: Minidump, modules: Mapping[tuple[str, str], UnwoundModule]) -> None:
        keys = [(base_name(module.debug_file), module.debug_id) for module in dump.modules.all]
        self._modules = [modules.get(key) for key in keys]
        self._used: set[int] = set()

    def prepare(self, modules: Sequence[int]) -> None:
        """Do nothing: all symbols are in memory."""

    def unwind_info(self, places: Sequence[ModulePlace]) -> list[UnwindInfo | None]:
        """Return the unwind information of places."""
        return [
            module.unwind_info(offset) if module else None for module, offset in self._with_modules(places)
        ]

    def are_functions(self, places: Sequence[ModulePlace]) -> list[bool | None]:
        """Return which places are in functions."""
        found = self._with_modules(places)
        return [module.frame(offset) is not None if module else None for module, offset in found]

    def frames(self, places: Sequence[ModulePlace]) -> list[Frame | None]:
        """Return the frames of places."""
        return [module.frame(offset) if module else None for module, offset in self._with_modules(places)]

    def states(self) -> list[ModuleState]:
        """Return the states of the modules."""
        return [
            ModuleState("unused" if i not in self._used else "loaded" if module else "missing")
            for i, module in enumerate(self._modules)
        ]

    def _with_modules(self, places: Sequence[ModulePlace]) -> Iterator[tuple[UnwoundModule | None, int]]:
        for place in places:
            self._used.add(place.module)
            yield self._modules[place.module], place.offset


def report_of(content: bytes, modules: Mapping[tuple[str, str], UnwoundModule]) -> Report:
    """Return our report of a dump."""
    dump = read_any_dump(memoryview(content))
    symbols = FolderAccess(dump, modules)
    stacks = walk(dump, symbols)
    places = [
        None
        if frame.module is None
        else ModulePlace(frame.module, frame.instruction - base_of(dump, frame.module))
        for stack in stacks
        for frame in stack.frames
    ]
    known = [place for place in places if place is not None]
    found = dict(zip(known, symbols.frames(known), strict=True))
    frames = iter([None if place is None else found[place] for place in places])
    by_stack = [[next(frames) for _ in stack.frames] for stack in stacks]
    report: Report = orjson.loads(write_report(dump, stacks, by_stack, symbols.states()))
    return report


def base_of(dump: Minidump, module: int) -> int:
    """Return the address of a module."""
    return dump.modules.all[module].base


def base_name(path: str) -> str:
    """Return the last part of a path of any system."""
    return PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name


def read_dump(name: str) -> bytes:
    """Return a dump of `tests/data/minidumps`."""
    return unpack(DATA / f"{name}.dmp.zst")


def read_symbols(folder: Path = DATA / "symbols") -> dict[tuple[str, str], bytes]:
    """Return the symbol files of a folder by debug file and debug id; those that end with .zst unpacked."""
    found = {}
    for path in folder.rglob("*.sym*"):
        found[path.parts[-3], path.parts[-2]] = unpack(path) if path.suffix == ".zst" else path.read_bytes()
    return found


def unpack(path: Path) -> bytes:
    """Return the content of a file that is compressed with zstd."""
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file).read()


def find_stackwalk() -> str | None:
    """Return minidump-stackwalk, None if it is not installed."""
    return shutil.which("minidump-stackwalk", path=PATH)


def write_symbols(symbols: SymbolFiles, folder: Path) -> None:
    """Write symbol files where the program looks for them."""
    for (debug_file, debug_id), sym in symbols.items():
        place = folder / debug_file / debug_id
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{debug_file.removesuffix('.pdb')}.sym").write_bytes(sym)


def run_stackwalk(program: str, content: bytes, folder: Path, seconds: float | None = None) -> Report:
    """Return the program's report; `folder` has the symbols, and gets the dump.

    Raises CalledProcessError and, after some seconds, TimeoutExpired.
    """
    dump = folder / "dump.dmp"
    dump.write_bytes(content)
    command: list[str | Path] = [program, "--json", "--symbols-path", folder, dump]
    done = subprocess.run(command, check=True, capture_output=True, timeout=seconds)
    report: Report = orjson.loads(done.stdout)
    return report


def comparable(report: Report) -> dict[str, Any]:
    """Return the parts of a report that must be equal."""
    crash, crashing = report["crash_info"], report.get("crashing_thread") or {}
    frames = crashing.get("frames") or [{}]
    return {
        "crash": {key: crash.get(key) for key in CRASH_KEYS},
        "system": report["system_info"],
        "registers": frames[0].get("registers"),
        "modules": [{key: module.get(key) for key in MODULE_KEYS} for module in report["modules"]],
        "threads": [
            {
                "id": thread.get("thread_id"),
                "name": thread.get("thread_name"),
                "last_error": thread.get("last_error_value"),
                "frames": [{key: frame.get(key) for key in FRAME_KEYS} for frame in thread["frames"]],
            }
            for thread in report["threads"]
        ],
    } | {key: report.get(key) for key in ("pid", "process_uptime", "linux_memory_map_count", "lsb_release")}


def differences(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    """Yield where two reports differ, as `path: ours, theirs`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours.keys() | theirs.keys():
            yield from differences(ours.get(key), theirs.get(key), f"{place}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(*pair, f"{place}/{i}")
    elif ours != theirs:
        size = (
            f" ({len(ours)} and {len(theirs)})" if isinstance(ours, list) and isinstance(theirs, list) else ""
        )
        yield f"{place}: {str(ours)[:160]!r}, stackwalk {str(theirs)[:160]!r}{size}"
