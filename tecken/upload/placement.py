"""Keys of files that have no path in the layout of a symbol store: the id in the content decides.

A fat file gets the key of its first object here; `ingest` stores it for the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from tempfile import TemporaryFile
from typing import BinaryIO, Final, NamedTuple, cast

from django.conf import settings

from tecken.errors import BadModule, InvalidInput, Malformed, TooLarge
from tecken.storage.models import KEY_CHARACTERS
from tecken.symbols.formats import HEAD_BYTES, FileReader, recognise
from tecken.symbols.formats.base import Format, Kind, ObjectInfo
from tecken.symbols.formats.cabinet import MAGIC as CAB_MAGIC
from tecken.symbols.formats.cabinet import read_cabinet, unpacked_name
from tecken.symbols.formats.keys import keys_of_native
from tecken.symbols.ids import ObjectId, is_zero_debug_id
from tecken.symbols.layouts import FileKey, FileType, is_reserved, storage_path, symbol_file
from tecken.upload.archive import (
    KEY_PARTS,
    FlatMember,
    IgnoredFile,
    KeyedMember,
    Member,
    file_key,
    key_of_path,
)
from tecken.upload.cabinets import open_unpacked
from tecken.upload.tar_archive import FileSlice

NO_FORMAT: Final = "it is of no known format"
NO_ID: Final = (
    "it has no {}, so that nothing would find it: build it with one, or put it below <debug file>/<DEBUG ID>/"
)
PACKED: Final = "it is compressed: put it into the archive as it is"
NOT_A_SYMBOL_FILE: Final = f"it is no symbol file, though its name ends in {FileType.SYMBOL_FILE.suffix}"
PACKED_MAGIC: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", CAB_MAGIC)
# Characters of a name in a reason.
MAX_SHOWN: Final = 255
# Of two files with one key the one with the most information is stored.
RANKS: Final = tuple(Kind)


class Placement(NamedTuple):
    """Keys of a file, and the rank of its kind; the lowest rank has the most information."""

    keys: list[FileKey]
    rank: int = 0


def place(flat: FlatMember) -> Placement | str:
    """Return the keys of a file, or the reason why it cannot be stored. Raise InvalidInput if it is cut."""
    head = _read_head(flat.member)
    if head.startswith(CAB_MAGIC):
        return _place_cabinet(flat, head)
    try:
        # A package has many files of unknown formats, so these are not read further.
        if recognise(FileReader(BytesIO(head), len(head))) is None:
            return _place_by_path(flat, head)
    except Malformed:
        pass
    try:
        with _open_member(flat.member) as file:
            found = recognise(FileReader(file, flat.member.size))
        return _place_object(*found, flat.parts) if found else NO_FORMAT
    except (Malformed, BadModule) as error:
        return f"it cannot be identified: {error}"


def _place_cabinet(flat: FlatMember, head: bytes) -> Placement | str:
    """Return the keys of a CAB file, from the file in it, or the reason why it cannot be stored."""
    *directories, name = flat.parts
    placed: Placement | str = PACKED
    try:
        with _open_member(flat.member) as file:
            cabinet = read_cabinet(FileReader(file, flat.member.size))
        assert cabinet
        inside = [*directories, unpacked_name(name, cabinet)]
        with open_unpacked(cabinet, flat.member.read()) as file:
            found = recognise(FileReader(file, cabinet.size))
        if found and FileType.SYMBOL_FILE not in found[0].file_types:
            placed = _place_object(*found, inside)
    except (Malformed, TooLarge, BadModule) as error:
        placed = f"it cannot be unpacked: {error}"
    if isinstance(placed, Placement):
        return Placement([key._replace(file_name=name) for key in placed.keys], placed.rank)
    by_path = _place_by_path(flat, head)
    return placed if isinstance(by_path, str) else by_path


def _place_object(known: Format, objects: Sequence[ObjectInfo], parts: Sequence[str]) -> Placement | str:
    """Return the keys of a file. Raises BadModule for a name or an id that no key can have."""
    info = objects[0]
    is_symbol_file = FileType.SYMBOL_FILE in known.file_types
    if FileType.of_name(parts[-1]).is_compressed and not is_symbol_file:
        return NOT_A_SYMBOL_FILE
    if is_symbol_file:
        keys = [symbol_file(ObjectId.parse(info.debug_file, info.debug_id))]
    else:
        keys = list(keys_of_native(info, parts))
    for key in keys:
        if is_reserved(key.file_name) or len(storage_path(key).encode()) > KEY_CHARACTERS:
            raise BadModule(f"no file can have the name {key.file_name[:MAX_SHOWN]}")
    if not keys and (path_key := key_of_path(parts[-KEY_PARTS:])):
        return Placement([path_key], RANKS.index(info.kind))
    if not keys or is_zero_debug_id(keys[0].debug_id):
        return NO_ID.format(known.identity)
    return Placement(keys, RANKS.index(info.kind))


def _place_by_path(flat: FlatMember, head: bytes) -> Placement | str:
    """Return the key of a file of an unknown format, such as a packed PDB, or why it has none."""
    below = flat.parts[-KEY_PARTS:]
    if key := key_of_path(below):
        return Placement([key])
    if len(flat.parts) == KEY_PARTS:
        # Archives have always been allowed to have files below short ids.
        try:
            return Placement([file_key("/".join(below))])
        except InvalidInput:
            pass
    if FileType.of_name(flat.parts[-1]).is_compressed:
        return NOT_A_SYMBOL_FILE
    return PACKED if head.startswith(PACKED_MAGIC) else NO_FORMAT


def _read_head(member: Member) -> bytes:
    head = b""
    for chunk in member.read():
        head += chunk[: HEAD_BYTES - len(head)]
        if len(head) >= HEAD_BYTES:
            break
    return head


@contextmanager
def _open_member(member: Member) -> Iterator[BinaryIO]:
    """Open a file for reads at any place; a member of a zip is unpacked to a file without a name."""
    if isinstance(member, FileSlice):
        yield member.open()
        return
    with TemporaryFile(dir=settings.SPOOL_DIR) as spool:
        for chunk in member.read():
            spool.write(chunk)
        yield cast(BinaryIO, spool)


def merge_placed(
    members: Sequence[KeyedMember], placed: Sequence[tuple[FlatMember, Placement]]
) -> tuple[list[KeyedMember], list[IgnoredFile]]:
    """Return one file for each key, and the files that are left out because of another one.

    Of several files with one key, that in the layout of a symbol store is stored, then the one with the most
    information.
    """
    merged = {entry.key: entry for entry in members}
    ignored = []
    for flat, placement in sorted(placed, key=lambda pair: pair[1].rank):
        for key in placement.keys:
            first = merged.setdefault(key, KeyedMember(key, flat.member)).member
            if not _is_same(first, flat.member):
                reason = f"{first.name} has the same name and id ({key}), and at least as much information"
                ignored.append(IgnoredFile(flat.member.name, reason))
                break
    return list(merged.values()), ignored


def _is_same(first: Member, second: Member) -> bool:
    return first is second or (first.size == second.size and first.checksum() == second.checksum())
