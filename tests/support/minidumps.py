"""Minidumps of one thread on x86-64, as a crash handler writes them.

Source: minidumpapiset.h and the structure CONTEXT of winnt.h.
"""

from __future__ import annotations

import uuid
from struct import pack
from typing import Final, NamedTuple

HEADER_BYTES: Final = 32
ENTRY_BYTES: Final = 12
CONTEXT_BYTES: Final = 1232
LINUX: Final = 0x8201
WINDOWS: Final = 2
THREAD_ID: Final = 1
STACK: Final = 0x7FFD_0000_0000
"""Address of the top frame of the stack."""
AMD64: Final = 9
THREADS, MODULES, MEMORY, EXCEPTION, SYSTEM = range(3, 8)  # types of streams


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


def minidump(system: int, modules: list[Module], crash: int, stack: list[int]) -> bytes:
    """Return a minidump of a thread that crashed at an address, with these words on its stack."""
    file = _File(5)
    memory = file.add(b"".join(pack("<Q", word) for word in stack))
    context = file.add(_context(crash))
    names = {module: file.add(_text(module.name)) for module in modules}
    records = {module: file.add(module.record) for module in modules}
    file.add_stream(
        SYSTEM, pack("<HHHBBIIIIIHH24x", AMD64, 6, 0, 1, 1, 10, 0, 0, system, file.add(_text(""))[1], 0, 0)
    )
    file.add_stream(
        MODULES,
        pack("<I", len(modules))
        + b"".join(
            pack(
                "<QIIII52xII24x",
                module.base,
                module.size,
                0,
                module.time_stamp,
                names[module][1],
                *records[module],
            )
            for module in modules
        ),
    )
    area = pack("<QII", STACK, *memory)
    file.add_stream(MEMORY, pack("<I", 1) + area)
    file.add_stream(THREADS, pack("<IIIIIQ", 1, THREAD_ID, 0, 0, 0, 0) + area + pack("<II", *context))
    code = 11 if system == LINUX else 0xC000_0005
    file.add_stream(EXCEPTION, pack("<IIIIQQI4x120xII", THREAD_ID, 0, code, 0, 0, crash, 0, *context))
    return file.content()


class _File:
    """The bytes after the header and the directory, and where each is."""

    def __init__(self, streams: int) -> None:
        self._start = HEADER_BYTES + streams * ENTRY_BYTES
        self._body = bytearray()
        self._directory = b""

    def add(self, content: bytes) -> tuple[int, int]:
        """Return the size and the offset in the file of the content."""
        self._body += bytes(-len(self._body) % 8)
        offset = self._start + len(self._body)
        self._body += content
        return len(content), offset

    def add_stream(self, kind: int, content: bytes) -> None:
        self._directory += pack("<III", kind, *self.add(content))

    def content(self) -> bytes:
        streams = len(self._directory) // ENTRY_BYTES
        header = pack("<4sIIIIIQ", b"MDMP", 0xA793, streams, HEADER_BYTES, 0, 0, 0)
        return header + self._directory + bytes(self._body)


def _text(text: str) -> bytes:
    content = text.encode("utf-16-le")
    return pack("<I", len(content)) + content + b"\0\0"


def _context(crash: int) -> bytes:
    """Return the registers: the stack and frame pointers, and the address of the crash."""
    context = bytearray(CONTEXT_BYTES)
    for offset, value in ((152, STACK), (160, STACK + 0x20), (248, crash)):
        context[offset : offset + 8] = pack("<Q", value)
    # Control, integer and segment registers are present.
    context[48:52] = pack("<I", 0x10_0007)
    return bytes(context)
