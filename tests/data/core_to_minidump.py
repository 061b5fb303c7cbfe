"""Minidump of an ELF core that qemu-user writes for a program of another processor.

Only what a walk needs is converted: threads with their registers, 32 KiB of each stack, modules with their
build ids, and the signal. Layouts: `elf_prstatus` of Linux, and Breakpad's `minidump_format.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

STACK_BYTES = 32 << 10
# Streams, and ids of the processors.
THREADS, MODULES, MEMORY, EXCEPTION, SYSTEM = 3, 4, 5, 6, 7
LINUX = 0x8201
NT_PRSTATUS, NT_AUXV, PT_LOAD, PT_NOTE = 1, 6, 1, 4
AT_PHDR, AT_BASE = 3, 7


class Processor(NamedTuple):
    """Layouts of one processor: the core's registers, and the minidump's context."""

    id: int
    is_64: bool
    pid_at: int
    registers_at: int
    registers: int
    stack_pointer: int
    flags: int
    context_bytes: int


PROCESSORS = {
    183: Processor(12, True, 32, 112, 34, 31, 0x00400003, 0x390),
    40: Processor(5, False, 24, 72, 17, 13, 0x40000002, 0x170),
}


class Segment(NamedTuple):
    """Memory in the core."""

    address: int
    content: bytes


def convert(core: bytes, modules: list[tuple[int, Path]]) -> bytes:
    """Return the minidump of a core, whose modules are at these addresses."""
    processor = PROCESSORS[struct.unpack_from("<H", core, 18)[0]]
    segments, notes = _read_segments(core)
    statuses = [content for kind, content in _notes(notes) if kind == NT_PRSTATUS]
    writer = _Writer()
    threads, memory = b"", []
    contexts = []
    for status in statuses:
        thread_id = struct.unpack_from("<I", status, processor.pid_at)[0]
        values = struct.unpack_from(
            f"<{processor.registers}{'Q' if processor.is_64 else 'I'}", status, processor.registers_at
        )
        context = writer.add(_context(processor, values))
        contexts.append((thread_id, context))
        stack = _stack(segments, values[processor.stack_pointer])
        place = writer.add(stack.content)
        memory.append((stack.address, place))
        threads += struct.pack("<4IQQ2I2I", thread_id, 0, 0, 0, 0, stack.address, *place, *context)
    signal = struct.unpack_from("<H", statuses[0], 12)[0]
    pc = _pc(processor, statuses[0])
    writer.stream(SYSTEM, struct.pack("<3H2B5I2H24x", processor.id, 0, 0, 1, 0, 0, 0, 0, LINUX, 0, 0, 0))
    writer.stream(THREADS, struct.pack("<I", len(statuses)) + threads)
    regions = b"".join(struct.pack("<Q2I", address, *place) for address, place in memory)
    writer.stream(MEMORY, struct.pack("<I", len(memory)) + regions)
    described = b"".join(_module(writer, address, path) for address, path in modules)
    writer.stream(MODULES, struct.pack("<I", len(modules)) + described)
    thread_id, context = contexts[0]
    record = struct.pack("<2I2IQQ2I15Q", thread_id, 0, signal, 0, 0, pc, 0, 0, *[0] * 15)
    writer.stream(EXCEPTION, record + struct.pack("<2I", *context))
    return writer.finish()


def auxiliary_vector(core: bytes) -> dict[int, int]:
    """Return the entries of the auxiliary vector of a core."""
    word = "Q" if core[4] == 2 else "I"
    (content,) = (content for kind, content in _notes(_read_segments(core)[1]) if kind == NT_AUXV)
    return dict(struct.iter_unpack(f"<2{word}", content))


def _read_segments(core: bytes) -> tuple[list[Segment], bytes]:
    is_64 = core[4] == 2
    at, size, count = struct.unpack_from("<Q14xHH" if is_64 else "<I10xHH", core, 32 if is_64 else 28)
    segments, notes = [], b""
    for i in range(count):
        if is_64:
            kind, _, offset, address, _, length = struct.unpack_from("<2I4Q", core, at + i * size)
        else:
            kind, offset, address, _, length = struct.unpack_from("<5I", core, at + i * size)
        content = core[offset : offset + length]
        if kind == PT_LOAD and content:
            segments.append(Segment(address, content))
        elif kind == PT_NOTE:
            notes += content
    return segments, notes


def _notes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 12 <= len(raw):
        name, size, kind = struct.unpack_from("<3I", raw, at)
        start = at + 12 + (name + 3 & ~3)
        yield kind, raw[start : start + size]
        at = start + (size + 3 & ~3)


def _stack(segments: list[Segment], pointer: int) -> Segment:
    for address, content in segments:
        if address <= pointer < address + len(content):
            # The page of the stack pointer on, as Breakpad's client has it.
            start = max(address, pointer & ~0xFFF)
            return Segment(start, content[start - address : start - address + STACK_BYTES])
    return Segment(pointer, b"")


def _context(processor: Processor, values: tuple[int, ...]) -> bytes:
    if processor.is_64:
        *general, stack, pc, state = values
        head = struct.pack("<2I31Q2Q", processor.flags, state & 0xFFFFFFFF, *general, stack, pc)
    else:
        head = struct.pack("<I16I", processor.flags, *values[:16]) + struct.pack("<I", values[16])
    return head.ljust(processor.context_bytes, b"\0")


def _pc(processor: Processor, status: bytes) -> int:
    width, number = (8, 32) if processor.is_64 else (4, 15)
    start = processor.registers_at + number * width
    return int.from_bytes(status[start : start + width], "little")


def _module(writer: _Writer, address: int, path: Path) -> bytes:
    image = path.read_bytes()
    record = writer.add(b"LEpB" + build_id(image))
    name = str(path).encode("utf-16-le")
    name_at = writer.add(struct.pack("<I", len(name)) + name + b"\0\0")[1]
    size = _image_bytes(image)
    return (
        struct.pack("<Q4I", address, size, 0, 0, name_at)
        + bytes(52)
        + struct.pack("<2I", *record)
        + bytes(24)
    )


def _image_bytes(image: bytes) -> int:
    is_64 = image[4] == 2
    at, size, count = struct.unpack_from("<Q14xHH" if is_64 else "<I10xHH", image, 32 if is_64 else 28)
    end = 0
    for i in range(count):
        if is_64:
            kind, _, _, address, _, _, memory = struct.unpack_from("<2I5Q", image, at + i * size)
        else:
            kind, _, address, _, _, memory = struct.unpack_from("<6I", image, at + i * size)
        if kind == PT_LOAD:
            end = max(end, address + memory)
    return end + 0xFFF & ~0xFFF


def build_id(image: bytes) -> bytes:
    """Return the build id of an ELF file."""
    at = image.find(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0")
    return image[at + 16 : at + 36]


class _Writer:
    """Minidump under construction: contents, then the directory."""

    def __init__(self) -> None:
        self._out = bytearray(32)
        self._streams: list[tuple[int, int, int]] = []

    def add(self, content: bytes) -> tuple[int, int]:
        """Append bytes, and return their size and place."""
        self._out += bytes(-len(self._out) % 16)
        place = len(content), len(self._out)
        self._out += content
        return place

    def stream(self, kind: int, content: bytes) -> None:
        """Append a stream."""
        self._streams.append((kind, *self.add(content)))

    def finish(self) -> bytes:
        """Return the bytes of the dump."""
        directory = b"".join(struct.pack("<3I", *stream) for stream in self._streams)
        at = self.add(directory)[1]
        struct.pack_into("<4s5IQ", self._out, 0, b"MDMP", 0xA793, len(self._streams), at, 0, 0, 0)
        return bytes(self._out)
