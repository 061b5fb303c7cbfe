"""Members of an archive of any kind: rules for their number, sizes and names, and the keys of their paths.

An archive is opened by `containers`, which recognises its kind by its content. From then on every kind is the
same: a list of `Member` objects, which can be read. A member whose path has the layout of a symbol store has
its key from there. For all others `placement` finds the key in the content.

Source: Microsoft, "Using SymStore".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from tecken.errors import InvalidInput, TooLarge
from tecken.symbols.formats.keys import describes_bundle
from tecken.symbols.ids import MAX_NAME, normal_debug_id
from tecken.symbols.layouts import FileKey

CHUNK_BYTES: Final = 256 << 10
# The average size of an entry in an archive's directory. Allowed names need less.
ENTRY_BYTES: Final = 1024
PATTERN: Final = (
    "Unrecognized file pattern. Should only be <module>/<hex>/<file> or <name>-symbols.txt and nothing else. "
    "(First unrecognized pattern was {})"
)


class ArchiveLimits(NamedTuple):
    """Bounds of an archive: unpacked bytes in total and of a member, members, and the compression ratio."""

    unpacked: int
    member: int
    members: int
    ratio: int


class NotReusable(Exception):
    """Error for packed bytes that are not exactly the deflate stream of what the archive declares."""


class Member(Protocol):
    """Regular file of an opened archive. Its methods are safe in any thread."""

    @property
    def name(self) -> str:
        """Path in the archive, decoded the way the archiver encoded it."""
        ...

    @property
    def size(self) -> int:
        """Number of unpacked bytes."""
        ...

    @property
    def is_reusable(self) -> bool:
        """Return whether `read_gzip` has a result that is compressed well enough to be stored."""
        ...

    def read(self) -> Iterator[bytes]:
        """Yield the unpacked bytes, at most `size`. Raises InvalidInput."""
        ...

    def read_gzip(self, feed: Callable[[bytes], object]) -> Iterator[bytes]:
        """Yield the file as gzip, and pass the unpacked bytes to `feed`. Raises NotReusable."""
        ...

    def checksum(self) -> int:
        """Return the CRC-32 of the unpacked bytes. Raises InvalidInput."""
        ...


class IgnoredFile(NamedTuple):
    """File that is not stored. `reason` is empty for those that archivers and symbol stores add."""

    name: str
    reason: str = ""


class OpenArchive(NamedTuple):
    """Regular files of an archive, and its other entries. `noun` names the archive in errors."""

    members: Sequence[Member]
    ignored: Sequence[IgnoredFile] = ()
    noun: str = "archive"


class KeyedMember(NamedTuple):
    """File to store, and its key."""

    key: FileKey
    member: Member


class FlatMember(NamedTuple):
    """File whose path is not that of a symbol store: the parts of the path."""

    parts: Sequence[str]
    member: Member


class Listing(NamedTuple):
    """Files with a key, files whose content has to be read for it, and files that are not stored."""

    members: list[KeyedMember]
    flat: list[FlatMember]
    ignored: list[IgnoredFile]


def list_members(archive: OpenArchive, limits: ArchiveLimits, snippets: Collection[str] = ()) -> Listing:
    """Return the members in the layout of a symbol store, the other ones, and what is not stored.

    Args:
        archive: The opened archive.
        limits: The bounds of the archive.
        snippets: Texts that no member's name may contain.

    Raises:
        InvalidInput: A member is not allowed.
        TooLarge: The archive exceeds a limit.
    """
    check_count(len(archive.members) + len(archive.ignored), limits)
    if not archive.members and not archive.ignored:
        raise InvalidInput("The archive has no files")
    for member in archive.members:
        _check_member(member, limits, snippets)
    total = sum(member.size for member in archive.members)
    if total > limits.unpacked:
        raise TooLarge(f"The archive unpacks to {total} bytes, at most {limits.unpacked}")
    listing = _sort_out(archive.members)
    return Listing(
        merge_duplicates(listing.members, archive.noun),
        listing.flat,
        [*listing.ignored, *archive.ignored],
    )


def check_count(count: int, limits: ArchiveLimits) -> None:
    """Raise TooLarge for an archive with more than the allowed number of files."""
    if count > limits.members:
        raise TooLarge(f"The archive has {count} files, at most {limits.members}")


def _check_member(member: Member, limits: ArchiveLimits, snippets: Collection[str]) -> None:
    for snippet in snippets:
        if snippet in member.name.replace("\\", "/"):
            raise InvalidInput(
                f"Content of archive file contains the snippet '{snippet}' which is not allowed"
            )
    if member.size > limits.member:
        raise TooLarge(f"{member.name[:MAX_NAME]} has {member.size} bytes, at most {limits.member}")


def _sort_out(members: Sequence[Member]) -> Listing:
    paths = [_parse_path(member) for member in members]
    top = common_directory(paths)
    listing = Listing([], [], [])
    for parts, member in zip(paths, members, strict=True):
        below = parts[1:] if parts[0] == top else parts
        if is_ignored(below) or is_ignored(parts):
            listing.ignored.append(IgnoredFile(member.name))
        elif key := key_of_path(below):
            listing.members.append(KeyedMember(key, member))
        else:
            listing.flat.append(FlatMember(below, member))
    return listing


def _parse_path(member: Member) -> list[str]:
    parts = relative_parts(member.name)
    if parts is None:
        raise InvalidInput(PATTERN.format(member.name[:MAX_NAME]))
    return parts


def merge_duplicates(members: Iterable[KeyedMember], noun: str) -> list[KeyedMember]:
    """Return one member for each key. Raises InvalidInput for two different files under one key."""
    merged: dict[FileKey, KeyedMember] = {}
    for entry in members:
        first, second = merged.setdefault(entry.key, entry).member, entry.member
        both = f"The {noun} contains two files both called {second.name} and they have "
        if first.size != second.size:
            raise InvalidInput(f"{both}difference sizes ({first.size} != {second.size})")
        if first is not second and first.checksum() != second.checksum():
            raise InvalidInput(f"{both}different content")
    return list(merged.values())


# Paths of members

KEY_PARTS: Final = 3
# A code id of a PE file has nine digits at least, and all other ids have more. Directories with short names
# like `de` or `lib/db` are no ids.
SHORTEST_ID: Final = 9
# Files that archivers and Microsoft's symstore add; in lower case.
IGNORED_DIRECTORIES: Final = ("__macosx", "000admin")
IGNORED_FILES: Final = (
    *(".ds_store", "thumbs.db", "desktop.ini"),
    *("pingme.txt", "index2.txt", "refs.ptr", "file.ptr"),
)
IGNORED_AT_THE_TOP: Final = "-symbols.txt"

_ID: Final = re.compile(r"[0-9A-Fa-f]{1,128}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]+")
_DRIVE: Final = re.compile(r"[A-Za-z]:")


def file_key(name: str) -> FileKey:
    """Return the key of a path `<debug file>/<id>/<file name>`, with a normalized id. Raise InvalidInput."""
    parts = name.split("/")
    if len(parts) != KEY_PARTS or not all(map(_is_usable, parts)) or not _ID.fullmatch(parts[1]):
        raise InvalidInput(
            f"Unrecognized file pattern. Should only be <module>/<hex>/<file>, not {name[:MAX_NAME]}"
        )
    return FileKey(parts[0], normal_debug_id(parts[1]), parts[2])


def key_of_path(parts: Sequence[str]) -> FileKey | None:
    """Return the key of a path in the layout of a symbol store; None for any other path."""
    if len(parts) != KEY_PARTS or len(parts[1]) < SHORTEST_ID:
        return None
    try:
        return file_key("/".join(parts))
    except InvalidInput:
        return None


def relative_parts(name: str) -> list[str] | None:
    """Return the parts of a path below the archive's top; None for a path that leads elsewhere."""
    # PostgreSQL cannot store a NUL, not even in the list of ignored names.
    if "\0" in name:
        return None
    parts = [part for part in name.replace("\\", "/").split("/") if part != "."]
    if ".." in parts or not parts or not parts[0] or _DRIVE.fullmatch(parts[0]):
        return None
    return parts


def is_ignored(parts: Sequence[str]) -> bool:
    """Return whether an archiver, a symbol store or the maker of a dSYM bundle added this file."""
    *directories, name = (part.lower() for part in parts)
    return (
        name in IGNORED_FILES
        or name.startswith("._")
        or not set(IGNORED_DIRECTORIES).isdisjoint(directories)
        or (not directories and name.endswith(IGNORED_AT_THE_TOP))
        or describes_bundle(directories)
    )


def common_directory(paths: Sequence[Sequence[str]]) -> str | None:
    """Return the directory that contains all modules, if the archive has one above them."""
    tops = {path[0] for path in paths if len(path) == KEY_PARTS + 1 and not is_ignored(path)}
    has_others = any(len(path) != KEY_PARTS + 1 and not is_ignored(path[1:] or path) for path in paths)
    return tops.pop() if len(tops) == 1 and not has_others else None


def _is_usable(part: str) -> bool:
    return part not in (".", "..") and len(part) <= MAX_NAME and bool(_NAME.fullmatch(part))
