"""WebAssembly modules.

Sources: WebAssembly Core Specification 2.0, section 5.5; WebAssembly tool conventions, BuildId.md and
Debugging.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from tecken.errors import Malformed
from tecken.symbols.formats.base import Kind, ObjectInfo, debug_id_of
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.layouts import NATIVE_TYPES

MAGIC: Final = b"\0asm\1\0\0\0"
MAX_SECTIONS: Final = 4_000
HEADER_BYTES: Final = 16
NAMED_BYTES: Final = 256
MAX_BUILD_ID: Final = 64
_CUSTOM, _CODE = 0, 10
_MAX_NUMBER_BYTES: Final = 5


class WasmSection(NamedTuple):
    """Section: its number and place, its name if it is a custom one, and the first bytes of its content."""

    number: int
    offset: int
    name: str
    content: bytes


class Wasm:
    """Format of WebAssembly modules."""

    name = "wasm"
    file_types = NATIVE_TYPES
    identity = "build_id section"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object of the `build_id` section."""
        if not file.head.startswith(MAGIC):
            return ()
        build_id, names, has_code = b"", set(), False
        for section in _sections(file):
            has_code |= section.number == _CODE
            if section.number == _CUSTOM:
                names.add(section.name)
                if section.name == "build_id" and not build_id:
                    build_id = parse_build_id(section.content)
        kind = Kind.DEBUG if ".debug_info" in names else Kind.EXECUTABLE if has_code else Kind.SYMBOL_TABLE
        return (
            ObjectInfo(
                kind,
                self.name,
                "wasm32",
                debug_file="",
                debug_id=debug_id_of(build_id, is_little_endian=False),
                code_id=build_id.hex(),
                build_id=build_id.hex(),
                has_code=has_code,
            ),
        )

    def usability_check(self) -> None:
        """Return None: an engine finds later whether its symbols can be used."""


def parse_build_id(content: bytes) -> bytes:
    """Return the build id in a section; emscripten writes its length before it, and wasm-split does not."""
    with suppress(Malformed):
        length, start = _number(content, 0)
        if length == len(content) - start:
            return content[start:][:MAX_BUILD_ID]
    return content[:MAX_BUILD_ID]


def find_code(file: FileReader) -> int:
    """Return the offset of the code in a file, 0 for a file without code. Raises Malformed."""
    return next((section.offset for section in _sections(file) if section.number == _CODE), 0)


def _sections(file: FileReader) -> Iterator[WasmSection]:
    position = len(MAGIC)
    for _ in range(MAX_SECTIONS):
        if position >= file.size:
            return
        head = file.read_most(position, HEADER_BYTES)
        size, start = _number(head, 1)
        body = position + start
        position = body + size
        if head[0] == _CUSTOM:
            content = file.read_most(body, min(size, NAMED_BYTES))
            length, begin = _number(content, 0)
            name = content[begin : begin + length].decode(errors="replace")
            yield WasmSection(_CUSTOM, body, name, content[begin + length :])
        else:
            yield WasmSection(head[0], body, "", b"")
    raise Malformed(f"the module has more than {MAX_SECTIONS} sections")


def _number(content: bytes, position: int) -> tuple[int, int]:
    """Return the LEB128 number at a position, and the position after it. Raises Malformed."""
    value = 0
    for index, byte in enumerate(content[position : position + _MAX_NUMBER_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise Malformed("a number does not end")
