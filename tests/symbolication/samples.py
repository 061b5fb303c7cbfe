"""Small symbol files, and page files and headers made from them."""

from __future__ import annotations

from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header
from tests.symbols.version_2 import as_version_2

MIB = 1024 * 1024


def sym(module: ObjectId, functions: int = 3, name: str = "work") -> bytes:
    """Return a symbol file with functions of 16 bytes from 0x1000 on, named `<name>0`, `<name>1` ..."""
    blocks = [
        f"FUNC {0x1000 + 16 * i:x} 10 0 {name}{i}\n{0x1000 + 16 * i:x} 10 {i + 1} 0\n"
        for i in range(functions)
    ]
    text = f"MODULE Linux x86_64 {module.debug_id} {module.debug_file}\nFILE 0 src/work.c\n" + "".join(blocks)
    return text.encode()


def page_file(text: bytes) -> bytes:
    with Conversion(lambda: MIB).of([text]) as made:
        return b"".join(made.chunks())


def page_file_of_version_2(text: bytes) -> bytes:
    """Return the page file of a symbol file in version 2, whose blocks are text."""
    with Conversion(lambda: MIB).of([text]) as made:
        made.pages.seek(0)
        header, pages = as_version_2(made.header, made.pages.read())
        return header.raw + pages


def page_file_of_version_3(text: bytes) -> bytes:
    """Return the page file of a symbol file in version 3: without its STACK records."""
    file = page_file(text.partition(b"STACK ")[0])
    return file[:8] + b"\3\0" + file[10:]


def of_version_1(file: bytes) -> bytes:
    """Return a header or page file with format version 1; the version follows 8 bytes of magic number."""
    return file[:8] + b"\1\0" + file[10:]


def header_of(module: ObjectId, functions: int = 3) -> Header:
    with Conversion(lambda: MIB).of([sym(module, functions)]) as made:
        return made.header
