"""Writer of synthetic minidumps.

    dump = DumpWriter(system=WINDOWS, cpu=X86)
    stack = dump.memory(0x1000, words(4, 0, 0x401234))
    dump.thread(7, x86_context(eip=0x401000, esp=0x1000), stack, name="main")
    dump.module(0x400000, 0x5000, "c:\\app.exe", pdb_record("...", "app.pdb"))
    dump.exception(7, 0xC0000005, parameters=(0, 0x45))
    content = dump.content()

Each method adds what it describes; `content()` writes the lists. `stream(type, content)` adds any other
stream, and `add(content)` returns the place (size, RVA) of bytes that a stream refers to, so that a test can
write what no method writes. Records are those of minidumpapiset.h, Breakpad's `minidump_format.h` and
Crashpad's `minidump_extensions.h`; contexts are those of winnt.h.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from struct import pack
from typing import Final, NamedTuple

HEADER_BYTES: Final = 32
ENTRY_BYTES: Final = 12
MAX_STREAMS: Final = 32
CONTENT_START: Final = HEADER_BYTES + ENTRY_BYTES * MAX_STREAMS
THREAD_ID: Final = 1
STACK: Final = 0x7FFD_0000_0000
"""Address of the top frame of the stack of `minidump`."""

WINDOWS, MACOS, IOS, LINUX, ANDROID = 2, 0x8101, 0x8102, 0x8201, 0x8203
X86, ARM, AMD64, ARM64, ARM64_OLD = 0, 5, 9, 12, 0x8003
# Types of streams.
THREADS, MODULES, MEMORY, EXCEPTION, SYSTEM = range(3, 8)
MEMORY64, HANDLES, UNLOADED, MISC, THREAD_NAMES = 9, 12, 14, 15, 24
BREAKPAD, CPU_INFO, PROC_STATUS, LSB_RELEASE, MAPS = (
    0x4767_0001,
    *range(0x4767_0003, 0x4767_0006),
    0x4767_0009,
)
CRASHPAD, MAC_CRASH_INFO, BOOT_ARGS, LIMITS, SOFT_ERRORS = 0x4350_0001, *range(0x4D7A_0001, 0x4D7A_0005)

AMD64_REGISTERS: Final = [
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *(f"r{number}" for number in range(8, 16)),
    "rip",
]
X86_REGISTERS: Final = ["edi", "esi", "ebx", "edx", "ecx", "eax", "ebp", "eip", "cs", "eflags", "esp", "ss"]
ARM_REGISTERS: Final = [*(f"r{number}" for number in range(11)), "fp", "r12", "sp", "lr", "pc"]
ARM64_REGISTERS: Final = [*(f"x{number}" for number in range(29)), "fp", "lr", "sp", "pc"]


class Place(NamedTuple):
    """Size and offset in the file of bytes, in the order of MINIDUMP_LOCATION_DESCRIPTOR."""

    size: int
    rva: int


NOWHERE: Final = Place(0, 0)


class Memory(NamedTuple):
    """Memory at an address, and where it is in the file."""

    base: int
    place: Place


NO_MEMORY: Final = Memory(0, NOWHERE)


class Module(NamedTuple):
    """`record` is the CodeView record, which names the debug file. A PE file has a time stamp as well."""

    name: str
    base: int
    size: int
    record: bytes = b""
    time_stamp: int = 0


def elf_record(build_id: str) -> bytes:
    """Return the record with which Breakpad's and Crashpad's handlers store a build id."""
    return b"LEpB" + bytes.fromhex(build_id)


def pdb_record(debug_id: str, name: str) -> bytes:
    """Return the record of a PDB file, from its debug id of 33 digits."""
    age = int(debug_id[32:], 16)
    return b"RSDS" + uuid.UUID(debug_id[:32]).bytes_le + pack("<I", age) + name.encode() + b"\0"


def words(size: int, *values: int) -> bytes:
    """Return integers of `size` bytes each, as they are on a stack."""
    return b"".join(value.to_bytes(size, "little") for value in values)


def amd64_context(flags: int = 0x10_000F, **registers: int) -> bytes:
    """Return a CONTEXT of x86-64. `flags` say which groups of registers are present."""
    values = [registers.pop(name, 0) for name in AMD64_REGISTERS]
    assert not registers
    return pack("<48xI68x", flags) + words(8, *values) + bytes(976)


def x86_context(flags: int = 0x1_003F, **registers: int) -> bytes:
    """Return a CONTEXT of x86."""
    values = [registers.pop(name, 0) for name in X86_REGISTERS]
    assert not registers
    return pack("<I152x", flags) + words(4, *values) + bytes(512)


def arm_context(flags: int = 0x4000_0006, **registers: int) -> bytes:
    """Return a CONTEXT of 32-bit ARM, as Breakpad writes it."""
    values = [registers.pop(name, 0) for name in ARM_REGISTERS]
    assert not registers
    return pack("<I", flags) + words(4, *values) + bytes(300)


def arm64_context(flags: int = 0x40_0007, **registers: int) -> bytes:
    """Return a CONTEXT of ARM64."""
    values = [registers.pop(name, 0) for name in ARM64_REGISTERS]
    assert not registers
    return pack("<II", flags, 0) + words(8, *values) + bytes(640)


def old_arm64_context(flags: int = 0x8000_0006, **registers: int) -> bytes:
    """Return a context of ARM64 as Breakpad wrote it before 2019."""
    values = [registers.pop(name, 0) for name in ARM64_REGISTERS]
    assert not registers
    return pack("<Q", flags) + words(8, *values) + bytes(524)


class DumpWriter:
    """Minidump that is written part by part."""

    def __init__(
        self,
        system: int = LINUX,
        cpu: int = AMD64,
        version: tuple[int, int, int] = (10, 0, 0),
        build: str = "",
        cpu_details: bytes = b"",
        cpus: int = 1,
        time_stamp: int = 0,
    ) -> None:
        self._time_stamp = time_stamp
        self._body = bytearray()
        self._directory: list[tuple[int, Place]] = []
        self._threads: list[bytes] = []
        self._names: list[bytes] = []
        self._modules: list[bytes] = []
        self._unloaded: list[bytes] = []
        self._memory: list[bytes] = []
        self._memory64: list[tuple[int, bytes]] = []
        processor = pack("<HHHBB", cpu, 6, 0x1602, cpus, 1)
        platform = pack("<IIIIIHH", *version, system, self.text(build), 0, 0)
        self.stream(SYSTEM, processor + platform + cpu_details.ljust(24, b"\0"))

    def add(self, content: bytes) -> Place:
        """Add bytes that a stream refers to."""
        self._body += bytes(-len(self._body) % 8)
        place = Place(len(content), CONTENT_START + len(self._body))
        self._body += content
        return place

    def stream(self, kind: int, content: bytes) -> None:
        self._directory.append((kind, self.add(content)))

    def text(self, text: str) -> int:
        """Add a string in UTF-16. Return its RVA."""
        content = text.encode("utf-16-le", "surrogatepass")
        return self.add(pack("<I", len(content)) + content + b"\0\0").rva

    def utf8(self, text: str) -> int:
        """Add a string in UTF-8, as Crashpad's annotations are. Return its RVA."""
        content = text.encode()
        return self.add(pack("<I", len(content)) + content + b"\0").rva

    def memory(self, base: int, content: bytes) -> Memory:
        """Add a region of memory to the list of memory."""
        memory = Memory(base, self.add(content))
        self._memory.append(pack("<QII", base, *memory.place))
        return memory

    def memory64(self, base: int, content: bytes) -> None:
        """Add a region of memory to the list of a full dump."""
        self._memory64.append((base, content))

    def thread(
        self, thread_id: int, context: bytes = b"", stack: Memory = NO_MEMORY, teb: int = 0, name: str = ""
    ) -> Place:
        """Add a thread. Return the place of its context, which an exception can share."""
        place = self.add(context) if context else NOWHERE
        record = pack("<IIIIQQII", thread_id, 0, 0, 0, teb, stack.base, *stack.place)
        self._threads.append(record + pack("<II", *place))
        if name:
            self._names.append(pack("<IQ", thread_id, self.text(name)))
        return place

    def module(
        self,
        base: int,
        size: int,
        name: str,
        record: bytes = b"",
        time_stamp: int = 0,
        version: tuple[int, int, int, int] | None = None,
    ) -> None:
        """Add a loaded module. `version` has the four words of the file and product version."""
        place = self.add(record) if record else NOWHERE
        head = pack("<QIIII", base, size, 0, time_stamp, self.text(name))
        info = pack("<IIIIII28x", 0xFEEF_04BD, 0x1_0000, *version) if version else bytes(52)
        self._modules.append(head + info + pack("<II24x", *place))

    def unloaded(self, base: int, size: int, name: str, time_stamp: int = 0) -> None:
        self._unloaded.append(pack("<QIIII", base, size, 0, time_stamp, self.text(name)))

    def exception(
        self,
        thread_id: int,
        code: int,
        flags: int = 0,
        address: int = 0,
        parameters: Sequence[int] = (),
        context: Place = NOWHERE,
    ) -> None:
        values = [*parameters, *[0] * (15 - len(parameters))]
        record = pack("<IIQQII15Q", code, flags, 0, address, len(parameters), 0, *values)
        self.stream(EXCEPTION, pack("<II", thread_id, 0) + record + pack("<II", *context))

    def process(self, process_id: int, create_time: int | None = None) -> None:
        """Add the process's id, and when it started in seconds since 1970."""
        flags = 1 if create_time is None else 3
        self.stream(MISC, pack("<IIIIII", 24, flags, process_id, create_time or 0, 0, 0))

    def breakpad(self, dump_thread: int | None = None, requesting_thread: int | None = None) -> None:
        valid = (dump_thread is not None) | (requesting_thread is not None) << 1
        self.stream(BREAKPAD, pack("<III", valid, dump_thread or 0, requesting_thread or 0))

    def dictionary(self, texts: Mapping[str, str]) -> Place:
        """Add a dictionary of Crashpad's simple annotations."""
        entries = [pack("<II", self.utf8(key), self.utf8(value)) for key, value in texts.items()]
        return self.add(pack("<I", len(entries)) + b"".join(entries))

    def crashpad(
        self, annotations: Mapping[str, str], objects: Mapping[int, Mapping[str, str]] | None = None
    ) -> None:
        """Add Crashpad's information: simple annotations, and annotation objects by the index of a module."""
        links = []
        for module, texts in (objects or {}).items():
            records = []
            for name, value in texts.items():
                text = self.add(pack("<I", len(value.encode())) + value.encode())
                records.append(pack("<IHHI", self.utf8(name), 1, 0, text.rva))
            table = self.add(pack("<I", len(records)) + b"".join(records))
            info = self.add(pack("<IIIIIII", 1, *NOWHERE, *NOWHERE, *table))
            links.append(pack("<III", module, *info))
        simple = self.dictionary(annotations)
        modules = self.add(pack("<I", len(links)) + b"".join(links))
        self.stream(CRASHPAD, pack("<I", 1) + bytes(range(32)) + pack("<IIII", *simple, *modules))

    def content(self) -> bytes:
        """Return the minidump."""
        lists = (
            (THREADS, self._threads, True),
            (MODULES, self._modules, bool(self._modules)),
            (MEMORY, self._memory, bool(self._memory)),
            (THREAD_NAMES, self._names, bool(self._names)),
        )
        for kind, records, is_written in lists:
            if is_written:
                self.stream(kind, pack("<I", len(records)) + b"".join(records))
        if self._unloaded:
            self.stream(UNLOADED, pack("<III", 12, 24, len(self._unloaded)) + b"".join(self._unloaded))
        if self._memory64:
            place = self.add(b"".join(content for _, content in self._memory64))
            table = b"".join(pack("<QQ", base, len(content)) for base, content in self._memory64)
            self.stream(MEMORY64, pack("<QQ", len(self._memory64), place.rva) + table)
        assert len(self._directory) <= MAX_STREAMS
        entries = b"".join(pack("<III", kind, *place) for kind, place in self._directory)
        count = len(self._directory)
        header = pack("<4sIIIIIQ", b"MDMP", 0xA793, count, HEADER_BYTES, 0, self._time_stamp, 0)
        return (header + entries).ljust(CONTENT_START, b"\0") + bytes(self._body)


def minidump(system: int, modules: list[Module], crash: int, stack: list[int]) -> bytes:
    """Return a minidump of a thread on x86-64 that crashed at an address, with these words on its stack."""
    dump = DumpWriter(system)
    for module in modules:
        dump.module(module.base, module.size, module.name, module.record, module.time_stamp)
    memory = dump.memory(STACK, words(8, *stack))
    context = dump.thread(THREAD_ID, amd64_context(rsp=STACK, rbp=STACK + 0x20, rip=crash), memory)
    dump.exception(THREAD_ID, 11 if system == LINUX else 0xC000_0005, address=crash, context=context)
    return dump.content()
