"""The words of Breakpad's `sym_upload`: what its two protocols send, and what they understand.

Source: Breakpad, docs/sym_upload_v2_protocol.md and src/common/linux/symbol_collector_client.cc.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from tecken.errors import BadInput, Malformed
from tecken.symbols.filetypes import FileType
from tecken.symbols.ids import ObjectId, normal_debug_id
from tecken.symbols.layouts import FileKey, file_of

LONGEST_RECORD: Final = 4096
# The client's names of types are those of FileType.
TYPES: Final = {
    file_type.name: file_type
    for file_type in (
        *(FileType.BREAKPAD, FileType.ELF, FileType.PE, FileType.MACHO, FileType.PDB),
        *(FileType.DEBUG_ONLY, FileType.DWP, FileType.DSYM),
    )
}
RESULTS: Final = {"stored": "OK", "skipped": "DUPLICATE_DATA"}
# Not JSON: the client sends `{ symbol_id: {debug_file: "x", debug_id: "Y" }, symbol_upload_type: "ELF" }` and
# escapes nothing; the protocol's document has quoted names in another spelling.
WORD: Final = re.compile(r'\b(debug_?[Ff]ile|debug_?[Ii]d|symbol_upload_type)"?\s*:\s*"([^"]*)"')


class Named(NamedTuple):
    """What a client says it sent."""

    module: ObjectId
    file_type: FileType

    @property
    def key(self) -> FileKey:
        return file_of(self.module, self.file_type)


def from_form(fields: Mapping[str, str]) -> Named:
    """The fields beside `symbol_file` of protocol v1. Raises BadInput."""
    try:
        return Named(ObjectId.parse(fields["debug_file"], fields["debug_identifier"]), FileType.BREAKPAD)
    except KeyError as error:
        raise BadInput(f"The form has no field {error.args[0]}") from None


def from_completion(body: bytes) -> Named:
    """The body of `:complete` in protocol v2. Raises BadInput."""
    said = {
        name.replace("_", "").lower(): value for name, value in WORD.findall(body.decode(errors="replace"))
    }
    name = said.get("symboluploadtype", FileType.BREAKPAD.name)
    if name not in TYPES:
        raise BadInput(f"symbol_upload_type must be one of {', '.join(TYPES)}")
    if not {"debugfile", "debugid"} <= said.keys():
        raise BadInput("The body must have a symbol_id with debug_file and debug_id")
    return Named(ObjectId.parse(said["debugfile"], said["debugid"]), TYPES[name])


def check(text: Iterable[bytes], named: Named) -> Iterator[bytes]:
    """The same text; raises Malformed when it is a symbol file, but of another module than said."""
    pieces = iter(text)
    start = b""
    while b"\n" not in start and len(start) < LONGEST_RECORD and (piece := next(pieces, None)) is not None:
        start += piece
    record = start.partition(b"\n")[0].decode(errors="replace").split()
    if record[:1] != ["MODULE"] or list(map(normal_debug_id, record[3:4])) != [named.module.debug_id]:
        raise Malformed(f"The file does not begin with the MODULE record of debug id {named.module.debug_id}")
    yield start
    yield from pieces


def spoken(**words: object) -> bytes:
    """JSON with a space after each colon, which the client's regular expressions want."""
    return json.dumps(words, separators=(", ", ": ")).encode()
