"""Linux core files: the parts of an ELF core that a report needs.

The kernel writes a core after the crash of a program, gdb's `gcore` at any time. Its notes have the registers
of each thread, the signal, and the mapped files; its segments have the memory. The build id of a module is in
the first page of its file, which cores have unless `coredump_filter` excludes it.

Sources: the kernel's fs/binfmt_elf.c, and linux/elfcore.h, asm/user.h and asm/ptrace.h of each processor.
"""

from __future__ import annotations

from itertools import islice
from struct import Struct
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbolication.minidump.contexts import REGISTER_NAMES
from tecken.symbolication.minidump.crash_analysis import DISASSEMBLED_CPU, CrashScene, analyze_crash
from tecken.symbolication.minidump.crash_reason import explain_crash
from tecken.symbolication.minidump.dump import (
    CrashInfo,
    DumpModule,
    DumpThread,
    MemoryRegion,
    Minidump,
    Modules,
    SystemInfo,
)
from tecken.symbolication.minidump.dump_bytes import MAX_ALL_TEXT_BYTES, Record, unpack
from tecken.symbolication.minidump.elf_image import (
    ELF32,
    ELF64,
    PT_LOAD,
    PT_NOTE,
    ElfClass,
    read_notes,
    read_segments,
)
from tecken.symbolication.minidump.exception import ExceptionRecord
from tecken.symbolication.minidump.findings import CrashAnalysis
from tecken.symbolication.minidump.memory import MemoryMap
from tecken.symbolication.minidump.module_list import MAX_BUILD_ID_BYTES, MAX_MODULES, base_name, identify_elf
from tecken.symbolication.minidump.protections import MappedRange, Protections
from tecken.symbolication.minidump.signature import ELF
from tecken.symbolication.minidump.thread_list import MAX_THREADS
from tecken.symbolication.minidump.unwind.arch import ARCHITECTURES, SUPPORTED

# A thread has up to ten notes.
MAX_NOTES: Final = 1 << 16
# Program headers of a module, and its notes.
MAX_MODULE_PARTS: Final = 64
# Linux allows a process 65,530 mappings; the note with their files has 4 MiB at most.
MAX_MAPPINGS: Final = 1 << 17
MAX_PATH_BYTES: Final = 4096
# Distances from a stack pointer in the guard pages of a stack that has overflowed to the stack above.
OVERFLOWS: Final = (0, 4 << 10, 64 << 10, 1 << 20)

_GNU_BUILD_ID: Final = 3
_PRSTATUS, _PRPSINFO, _SIGINFO, _FILE = 1, 3, 0x5349_4749, 0x4649_4C45
_SIGNAL: Final = Struct("<12xH")
_PAGE: Final = 4096
# Signals whose si_addr is an address: SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS.
_WITH_ADDRESS: Final = (4, 5, 7, 8, 11, 31)


class _Processor(NamedTuple):
    """Processor of a core. `registers` are those of its elf_gregset_t, in order; "" is not shown."""

    cpu: str
    layout: ElfClass
    registers: tuple[str, ...]


_AMD64: Final = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("", "rip", "", "", "rsp"),
)
_X86: Final = (
    *("ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "", "", "", "", "", "eip", "", "eflags", "esp"),
)
_ARM: Final = (*(f"r{number}" for number in range(11)), "fp", "r12", "sp", "lr", "pc")
# By e_machine.
_PROCESSORS: Final = {
    3: _Processor("x86", ELF32, _X86),
    40: _Processor("arm", ELF32, _ARM),
    62: _Processor("amd64", ELF64, _AMD64),
    183: _Processor("arm64", ELF64, REGISTER_NAMES["arm64"]),
}
_IDENT: Final = Struct("<4xBB10xHH")


class _Core(NamedTuple):
    """Contents of the notes that are used by type, those of each thread, the memory, and the warnings."""

    processor: _Processor
    notes: dict[int, memoryview]
    statuses: list[memoryview]
    memory: MemoryMap
    protections: Protections
    warnings: list[str]


def read_core(data: memoryview) -> Minidump:
    """Return the parts of an ELF core. Nothing of its memory is copied.

    Raises:
        Malformed: The file is no core of Linux on a supported processor, or has no threads. Other parts that
            cannot be read are left out, with a warning.
    """
    core = _open(data.cast("B"))
    threads = tuple(_thread(core, status) for status in core.statuses[:MAX_THREADS])
    if not threads:
        raise Malformed("core file has no threads: it has no complete note NT_PRSTATUS")
    if len(core.statuses) > MAX_THREADS:
        core.warnings.append(f"core file has {len(core.statuses)} threads; the first {MAX_THREADS} are read")
    crash = _crash(core)
    process = core.notes.get(_PRPSINFO)
    layout = core.processor.layout.process_id
    return Minidump(
        system=SystemInfo("Linux", None, core.processor.cpu, None, 0),
        modules=Modules(_modules(core)),
        unloaded=(),
        threads=threads,
        crash=crash,
        # The kernel writes the thread that got the signal first, and gcore the current one.
        requesting_thread=0,
        process_id=unpack(layout, process)[0] if process and len(process) >= layout.size else None,
        uptime_seconds=None,
        facts={},
        warnings=tuple(core.warnings),
        analysis=_analyze(core, crash, threads[0]),
    )


def has_code_in_core(data: memoryview) -> bool:
    """Return whether a core is of a processor whose code is disassembled. Raises Malformed."""
    processor = _PROCESSORS.get(unpack(_IDENT, data)[3])
    return processor is not None and processor.cpu == DISASSEMBLED_CPU


def _open(data: memoryview) -> _Core:
    """Read the headers and the notes. Raises Malformed."""
    width, order, kind, machine = unpack(_IDENT, data)
    if order != 1:
        raise Malformed("core file is big-endian; only little-endian core files are supported")
    if kind != 4:
        raise Malformed(f"ELF file has the type {kind}; only core files (4) are processed")
    processor = _PROCESSORS.get(machine)
    if processor is None or processor.layout.width != 4 * width:
        raise Malformed(f"core file is of the processor {machine} with ELF class {width}; only {SUPPORTED}")
    try:
        segments = list(read_segments(data, processor.layout, 0xFFFE))
    except Malformed as error:
        raise Malformed(f"cannot read the list of memory of the core file: {error}") from None
    warnings = []
    if any(segment.offset + segment.file_size > len(data) for segment in segments):
        warnings.append("core file is cut short: memory is missing")
    parts = [(part, data[part.offset : part.offset + part.file_size]) for part in segments if part.file_size]
    loaded = [MemoryRegion(part.address, content) for part, content in parts if part.kind == PT_LOAD]
    notes: dict[int, memoryview] = {}
    statuses = []
    found = (note for part, content in parts if part.kind == PT_NOTE for note in read_notes(content, 4))
    for name, kind, content in islice(found, MAX_NOTES):
        if name != b"CORE\0":
            continue
        if kind != _PRSTATUS:
            notes.setdefault(kind, content)
        elif len(content) >= processor.layout.registers + processor.layout.width * len(processor.registers):
            statuses.append(content)
    protections = Protections(
        MappedRange(part.address, part.memory_size, _allowed(part.flags))
        for part in segments
        if part.kind == PT_LOAD
    )
    return _Core(processor, notes, statuses, MemoryMap(loaded), protections, warnings)


def _allowed(flags: int) -> str:
    return "".join(letter for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if flags & bit)


def _thread(core: _Core, status: memoryview) -> DumpThread:
    processor = core.processor
    layout, names = processor.layout, processor.registers
    code = "Q" if layout.width == 8 else "I"
    values = Struct(f"<{len(names)}{code}").unpack_from(status, layout.registers)
    found = dict(zip(names, values, strict=True))
    registers = {name: found[name] for name in REGISTER_NAMES[processor.cpu]}
    pointer = registers[ARCHITECTURES[processor.cpu].stack]
    stacks = (core.memory.find(pointer + distance) for distance in OVERFLOWS)
    return DumpThread(unpack(layout.thread_id, status)[0], registers, next(filter(None, stacks), None))


def _crash(core: _Core) -> CrashInfo | None:
    """Return the signal of the first thread; None for a core of a process that has not got one."""
    (signal,) = unpack(_SIGNAL, core.statuses[0])
    if not signal:
        return None
    layout = core.processor.layout.signal_info
    content = core.notes.get(_SIGINFO, memoryview(b""))
    number, code, address = unpack(layout, content) if len(content) >= layout.size else (0, 0, 0)
    if number != signal:
        code = 0
    # A signal that a process has sent has its ids in the place of the address.
    if signal not in _WITH_ADDRESS or not 0 < code < 1 << 31:
        address = 0
    record = ExceptionRecord(0, signal, code, address, 0, (), memoryview(b""))
    return explain_crash(record, "Linux", core.processor.cpu)


def _analyze(core: _Core, crash: CrashInfo | None, thread: DumpThread) -> CrashAnalysis:
    if crash is None:
        return CrashAnalysis()
    scene = CrashScene(
        "Linux", core.processor.cpu, thread.registers, thread.stack, core.memory, core.protections
    )
    return analyze_crash(crash, scene)


def _modules(core: _Core) -> list[DumpModule]:
    """Return the mapped files, with the ids of those whose first page is in the core."""
    content = core.notes.get(_FILE)
    if content is None:
        core.warnings.append("core file has no complete list of mapped files (NT_FILE): it has no modules")
        return []
    try:
        files = _mapped_files(content, core.processor.layout)
    except Malformed as error:
        core.warnings.append(f"cannot read the list of mapped files: {error}")
        return []
    if len(files) > MAX_MODULES:
        core.warnings.append(f"core file has {len(files)} mapped files; the first {MAX_MODULES} are read")
    return [_module(core, name, *files[name]) for name in islice(files, MAX_MODULES)]


def _mapped_files(note: memoryview, layout: ElfClass) -> dict[bytes, tuple[int, int]]:
    """Return the first address of each file, and the end of its last mapping. Raises Malformed."""
    width = layout.width
    (count,) = unpack(layout.word, note)
    names = 2 * width + count * layout.mapping.size
    if count > MAX_MAPPINGS or len(note) > MAX_ALL_TEXT_BYTES or names > len(note):
        raise Malformed(f"it has {count} mappings in {len(note)} bytes")
    records: list[Record] = list(layout.mapping.iter_unpack(note[2 * width : names]))
    mappings = sorted(zip(records, bytes(note[names:]).split(b"\0", count), strict=False))
    starts: dict[bytes, int] = {}
    ends: dict[bytes, int] = {}
    for (start, end, offset), name in mappings:
        if not offset and start < end and 0 < len(name) <= MAX_PATH_BYTES:
            starts.setdefault(name, start)
        if name in starts:
            ends[name] = max(end, ends.get(name, end))
    return {name: (start, ends[name]) for name, start in starts.items()}


def _module(core: _Core, path: bytes, base: int, end: int) -> DumpModule:
    name = str(path, "utf-8", "replace").removesuffix(" (deleted)")
    region = core.memory.find(base)
    image = region.content[base - region.base :] if region else memoryview(b"")
    try:
        size, build_id = _read_image(image, core.processor.layout)
    except Malformed:
        # No ELF file, or its first page is not in the core.
        size, build_id = 0, b""
    ids = identify_elf(build_id, base_name(name))
    # The same file can be mapped again, far above.
    size = min(size or end - base, end - base)
    return DumpModule(base, size, name, ids.code_id or "", ids.debug_file, ids.debug_id)


def _read_image(image: memoryview, layout: ElfClass) -> tuple[int, bytes]:
    """Return the size of a module in memory, and its build id, b"" for none.

    Raises Malformed if the first page of the module is not that of an ELF file.
    """
    if bytes(image[:4]) != ELF:
        raise Malformed("module is no ELF file")
    segments = list(read_segments(image, layout, MAX_MODULE_PARTS))
    loaded = [part for part in segments if part.kind == PT_LOAD]
    first = min((part.address for part in loaded), default=0) & -_PAGE
    last = max((part.address + part.memory_size for part in loaded), default=0)
    places = [
        (part.address - first, part) for part in segments if part.kind == PT_NOTE and part.address >= first
    ]
    notes = (
        note
        for start, part in places
        for note in read_notes(image[start : start + part.file_size], 8 if part.alignment == 8 else 4)
    )
    build_ids = (
        bytes(content[:MAX_BUILD_ID_BYTES])
        for name, kind, content in islice(notes, MAX_MODULE_PARTS)
        if (name, kind) == (b"GNU\0", _GNU_BUILD_ID)
    )
    return last - first + -(last - first) % _PAGE, next(build_ids, b"")
