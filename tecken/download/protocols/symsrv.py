"""SSQP keys for ELF and Mach-O files, as .NET's tools and Visual Studio request them.

PE, PDB and Portable PDB files have the key `<name>/<id>/<name>`, which is Tecken's own protocol. Names of
other files say nothing: SSQP calls every debug file `_.debug` or `_.dwarf`. WinDbg requests a compressed PDB
(MSFZ) below `msfz0`, which has another content than the PDB with the same name.

Source: github.com/dotnet/symstore, docs/specs/SSQP_Key_Conventions.md and Simple_Symbol_Query_Protocol.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.http import QueryDict

from tecken.storage.port import FileRequest, parse_names
from tecken.symbols.layouts import FileType


def parse(file_type: FileType, _query: QueryDict, name: str, some_id: str, file_name: str) -> FileRequest:
    """Return the request for the file of a type that has a build id or UUID. Raises BadModule."""
    return parse_names(name, some_id, file_type.file_name(file_name))


def parse_compressed(_query: QueryDict, name: str, some_id: str, file_name: str) -> FileRequest:
    """Return the request for the compressed form of a PDB. Raises BadModule."""
    return parse_names(name, some_id, file_name)._replace(is_msfz=True)


# A build id shorter than 20 bytes is filled with zeros in a key. The debug id derives from its first 16
# bytes, so such a file is found without removing them.
PATTERNS: dict[str, Callable[..., FileRequest]] = {
    f"<str:name>/{prefix}-<hex:some_id>/<str:file_name>": partial(parse, file_type)
    for prefix, file_type in {
        "elf-buildid": FileType.ELF,
        "elf-buildid-sym": FileType.DEBUG_ONLY,
        "mach-uuid": FileType.MACHO,
        "mach-uuid-sym": FileType.DSYM,
    }.items()
}
PATTERNS["<str:name>/<hex:some_id>/msfz0/<str:file_name>"] = parse_compressed
