"""Writer of synthetic core files of Linux.

    core = CoreWriter(AMD64)
    core.thread(7, rip=0x401000, rsp=0x1000)
    core.signal(11, code=1, address=0x45)
    core.memory(0x1000, words(8, 0, 0x401234))
    core.module(0x400000, 0x405000, "/bin/crash", build_id)
    content = core.content()

`note(type, content)` and `segment(...)` add what no method writes. Structures are those of linux/elfcore.h.
"""

from __future__ import annotations

from struct import pack
from typing import Final, NamedTuple

from tests.support.minidumps import ARM64_REGISTERS, ARM_REGISTERS, words

PT_LOAD, PT_NOTE = 1, 4
WRITE, READ = 2, 4
PRSTATUS, PRPSINFO, SIGINFO, FILE = 1, 3, 0x5349_4749, 0x4649_4C45
CORE: Final = 4
PAGE: Final = 4096


class Processor(NamedTuple):
    """Number in ELF headers, size of a word, and the registers of elf_gregset_t."""

    machine: int
    width: int
    registers: list[str]


X86: Final = Processor(
    3,
    4,
    [
        *("ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds", "es", "fs", "gs", "orig_eax", "eip", "cs"),
        *("eflags", "esp", "ss"),
    ],
)
ARM: Final = Processor(40, 4, [*ARM_REGISTERS, "cpsr", "orig_r0"])
AMD64: Final = Processor(
    62,
    8,
    [
        *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi"),
        *(
            "rdi",
            "orig_rax",
            "rip",
            "cs",
            "eflags",
            "rsp",
            "ss",
            "fs_base",
            "gs_base",
            "ds",
            "es",
            "fs",
            "gs",
        ),
    ],
)
ARM64: Final = Processor(183, 8, [*ARM64_REGISTERS, "pstate"])


def note(kind: int, content: bytes, name: bytes = b"CORE\0") -> bytes:
    """Return a note of an ELF file."""
    head = pack("<III", len(name), len(content), kind) + name
    head += bytes(-len(head) % 4)
    return head + content + bytes(-len(content) % 4)


class CoreWriter:
    """Core file that is written part by part."""

    def __init__(self, processor: Processor = AMD64, signal: int = 11) -> None:
        self._processor = processor
        self._signal = signal
        self._notes = b""
        self._segments: list[tuple[int, int, int, bytes]] = []
        self._files: list[tuple[int, int, int, str]] = []

    def thread(self, thread_id: int, **registers: int) -> None:
        """Add a thread; the first one has got the signal."""
        width = self._processor.width
        values = [registers.pop(name, 0) for name in self._processor.registers]
        assert not registers
        # Two masks of signals, the ids of the process, its parent, group and session, and four times.
        ids = pack("<12xHxx", self._signal) + bytes(2 * width) + pack("<IIII", thread_id, 1, 1, 1)
        self.note(PRSTATUS, ids + bytes(8 * width) + words(width, *values) + bytes(width))

    def signal(self, number: int, code: int, address: int = 0) -> None:
        """Add the signal's cause."""
        layout = "<IIi4xQ" if self._processor.width == 8 else "<IIiI"
        self.note(SIGINFO, pack(layout, number, 0, code, address).ljust(128, b"\0"))

    def process(self, process_id: int) -> None:
        """Add the process."""
        self.note(
            PRPSINFO, bytes(24 if self._processor.width == 8 else 12) + pack("<I", process_id) + bytes(108)
        )

    def note(self, kind: int, content: bytes, name: bytes = b"CORE\0") -> None:
        """Add a note."""
        self._notes += note(kind, content, name)

    def memory(self, address: int, content: bytes) -> None:
        """Add memory."""
        self.segment(PT_LOAD, address, content)

    def segment(self, kind: int, address: int, content: bytes, file_size: int | None = None) -> None:
        """Add a segment, with another size than that of its content for a broken core."""
        self._segments.append((kind, address, len(content) if file_size is None else file_size, content))

    def mapping(self, start: int, end: int, page: int, path: str) -> None:
        """Add a mapping of a file."""
        self._files.append((start, end, page, path))

    def module(self, base: int, end: int, path: str, build_id: bytes = b"", address: int = 0) -> None:
        """Add an ELF file with two mappings and its first page, linked for an address."""
        self.mapping(base, base + PAGE, 0, path)
        self.mapping(base + PAGE, end, 1, path)
        self.memory(base, self.image(build_id, end - base, address))

    def image(self, build_id: bytes, size: int, address: int = 0) -> bytes:
        """Return the first page of an ELF file."""
        content = note(3, build_id, b"GNU\0") if build_id else b""
        places = ((PT_LOAD, address, size, 0, PAGE), (PT_NOTE, address + 512, len(content), 512, 4))
        image = self._elf(3, [self._program_header(*place) for place in places])
        return (image.ljust(512, b"\0") + content).ljust(PAGE, b"\0")

    def content(self) -> bytes:
        """Return the core file."""
        if self._files:
            places = b"".join(words(self._processor.width, *file[:3]) for file in self._files)
            names = b"".join(file[3].encode() + b"\0" for file in self._files)
            self.note(FILE, words(self._processor.width, len(self._files), PAGE) + places + names)
            self._files = []
        segments = [(PT_NOTE, 0, len(self._notes), self._notes), *self._segments]
        start = 64 + 56 * len(segments)
        headers, body = [], b""
        for kind, address, size, content in segments:
            headers.append(self._program_header(kind, address, size, start + len(body), 4))
            body += content
        return self._elf(CORE, headers).ljust(start, b"\0") + body

    def _program_header(self, kind: int, address: int, size: int, offset: int, alignment: int) -> bytes:
        if self._processor.width == 8:
            return pack("<IIQQQQQQ", kind, READ | WRITE, offset, address, 0, size, size, alignment)
        return pack("<IIIIIIII", kind, offset, address, 0, size, size, READ | WRITE, alignment)

    def _elf(self, kind: int, headers: list[bytes]) -> bytes:
        """Return an ELF header and program headers."""
        is_wide = self._processor.width == 8
        ident = b"\x7fELF" + bytes([2 if is_wide else 1, 1, 1]) + bytes(9)
        start, layout = (64, "<HHIQQQIHHHHHH") if is_wide else (52, "<HHIIIIIHHHHHH")
        sizes = (start, len(headers[0]) if headers else 0, len(headers), 0, 0, 0)
        return (
            ident + pack(layout, kind, self._processor.machine, 1, 0, start, 0, 0, *sizes) + b"".join(headers)
        )
