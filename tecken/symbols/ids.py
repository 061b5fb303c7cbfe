"""Identifiers of objects: debug file and debug id, code file and code id.

The MODULE record of a symbol file has its debug id: a GUID or the start of a build id as 32 hex digits, then
an age of 1 to 8 hex digits (PDB 2.0: 8 digits, then the age). A code id identifies the binary:
a PE file's timestamp and image size, an ELF file's whole build id, a Mach-O file's UUID. Ids are normalised
here and nowhere else.

Source: that of `tecken.symbols.formats`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from functools import cached_property
from typing import Final, Self

from tecken.errors import BadModule

MAX_NAME: Final = 1024
TRY: Final = "try"
GUID_DIGITS: Final = 32
# Windows compares the names of these files without case, and debuggers request them in lower case.
_WINDOWS_ENDINGS: Final = frozenset(
    (
        *(".pdb", ".dll", ".exe", ".sys", ".ocx", ".drv", ".cpl", ".scr"),
        *(".pd_", ".dl_", ".ex_", ".sy_"),
    )
)
# An ELF build id is at least this long: 8 bytes, as lld writes it with --build-id=fast.
SHORTEST_BUILD_ID: Final = 16
# Digits of a PE file's code id: a time stamp of 8, then the size of the image.
LONGEST_PE_CODE_ID: Final = 16
# Digits of nearly every build id: a SHA-1, or as many bytes of another hash. A debug id with an age of 8
# digits has as many.
WHOLE_BUILD_ID: Final = 40
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]+")
_DEBUG_ID: Final = re.compile(r"[0-9A-Fa-f]{9,40}")
_CODE_ID: Final = re.compile(r"[0-9A-Fa-f]{1,128}")


class ObjectId(tuple[str, ...]):
    """Object of a regular build or of a try build, by its debug file and debug id.

    Windows compares the names of its files without case, so ids whose debug files differ in case only are
    equal: one page file, one cache entry and one conversion serve `Foo.pdb` and `foo.PDB`. `debug_file` has
    the name as the client wrote it, because upstreams compare names exactly and responses repeat it.

    An object of a try build equals no regular object of the same names, so that an upload of try symbols has
    no influence on regular responses.

    The tuple has the parts that are compared: the name, in lower case where case does not count, the debug
    id, and the scope of a try build. Hashing and comparing it runs in C, for every module of every request.
    """

    debug_file: str

    def __new__(cls, debug_file: str, debug_id: str, *, is_try: bool = False) -> Self:
        """Return the object of a debug id that is normalized already; `parse` checks the names of clients."""
        name = debug_file.lower() if is_windows_name(debug_file) else debug_file
        self = tuple.__new__(cls, (name, debug_id, TRY) if is_try else (name, debug_id))
        self.debug_file = debug_file
        return self

    @classmethod
    def parse(cls, debug_file: str, debug_id: str) -> Self:
        """Return the regular object that a client's spelling names.

        Raises BadModule for an empty, overlong or unprintable name, a path, or an id that is not hex.
        """
        file_name(debug_file, "debug file name")
        if not _DEBUG_ID.fullmatch(debug_id):
            raise BadModule("debug id must be 9 to 40 hex digits")
        return cls(debug_file, normal_debug_id(debug_id))

    @classmethod
    def without_name(cls, debug_id: str, *, is_try: bool = False) -> Self:
        """Return the object that stands for all names of a debug id, as the native files of a build do."""
        return cls(debug_id, debug_id, is_try=is_try)

    @classmethod
    def from_key(cls, text: str) -> Self:
        """Return the object whose `key` or `str` is `text`; neither of its names has a slash."""
        names, _, debug_id = text.rpartition("/")
        scope, _, debug_file = names.rpartition("/")
        return cls(debug_file, debug_id, is_try=scope == TRY)

    @property
    def name(self) -> str:
        """Name of the debug file that all spellings share."""
        return self[0]

    @property
    def debug_id(self) -> str:
        """Debug id in upper case, with an age."""
        return self[1]

    @property
    def is_try(self) -> bool:
        """Return whether the object is of a try build."""
        return len(self) > 2

    @property
    def ignores_case(self) -> bool:
        """Return whether other spellings of the debug file name the same object."""
        return is_windows_name(self[0])

    @cached_property
    def key(self) -> str:
        """Text that equal ids share, and no others, for the keys of caches and for messages."""
        text = f"{self[0]}/{self[1]}"
        return f"{TRY}/{text}" if self.is_try else text

    def in_try(self) -> Self:
        """Return the object of try builds that has the same names."""
        return type(self)(self.debug_file, self.debug_id, is_try=True)

    def __iter__(self) -> Iterator[str]:
        """Yield debug file and debug id as the client wrote them."""
        # Without this, unpacking would give the name in lower case, and put it into paths and responses.
        yield self.debug_file
        yield self[1]

    def __getnewargs_ex__(self) -> tuple[tuple[str, str], dict[str, bool]]:
        """Return the arguments of `__new__` for a copy, which must have the spelling too."""
        return (self.debug_file, self.debug_id), {"is_try": self.is_try}

    def __str__(self) -> str:
        """Return the names as the client wrote them, for people to read."""
        text = f"{self.debug_file}/{self[1]}"
        return f"{TRY}/{text}" if self.is_try else text

    def __repr__(self) -> str:
        return f"ObjectId({str(self)!r})"


def normal_debug_id(debug_id: str) -> str:
    """Return a debug id in its one spelling: upper case and with an age.

    Some tools write 32 digits for a module without an age; the usual spelling of that is an age of 0.
    """
    return debug_id.upper() + "0" * (len(debug_id) == GUID_DIGITS)


def is_zero_debug_id(debug_id: str) -> bool:
    """Return whether a debug id has 32 zeros, whatever its age.

    Linkers and tools write it when they know no id, so many builds share it and it identifies none of them.
    """
    return debug_id.startswith("0" * GUID_DIGITS)


def file_name(given: str, what: str = "file name") -> str:
    """Return a valid name unchanged. Raises BadModule, as `ObjectId.parse` does, with a text about `what`."""
    if not given or len(given) > MAX_NAME:
        raise BadModule(f"{what} must have 1 to {MAX_NAME} characters")
    if not _NAME.fullmatch(given) or given in (".", ".."):
        raise BadModule(f"{what} has a control character or a path separator")
    return given


def code_id(given: str) -> str:
    """Return a code id in upper case, without the dashes of a GUID. Raises BadModule for other characters."""
    digits = given.replace("-", "")
    if not _CODE_ID.fullmatch(digits):
        raise BadModule("code id must be 1 to 128 hex digits")
    return digits.upper()


def is_windows_name(name: str) -> bool:
    """Return whether Windows compares this file's name without case."""
    return name[-4:].lower() in _WINDOWS_ENDINGS


def debug_ids_of_code_id(some_id: str) -> tuple[str, ...]:
    """Return the debug ids of the module whose whole build id or UUID this may be; none for a PE file's id.

    ELF: the first 16 bytes of the build id, read as a GUID in little-endian order. Mach-O: the UUID itself.
    """
    if len(some_id) < SHORTEST_BUILD_ID or len(some_id) % 2:
        return ()
    start = bytes.fromhex(some_id[:GUID_DIGITS].ljust(GUID_DIGITS, "0"))
    elf = normal_debug_id(uuid.UUID(bytes_le=start).hex)
    return (elf, normal_debug_id(some_id)) if len(some_id) == GUID_DIGITS else (elf,)


def short_build_id_of(debug_id: str) -> str:
    """Return the build id in a debug id if it cannot be longer: 8 bytes, filled with zeros; "" for others.

    lld writes one with `--build-id=fast`. A build id of 16 bytes and the start of one of 20 look the same.
    """
    start = uuid.UUID(hex=debug_id[:GUID_DIGITS]).bytes_le.hex()
    build_id, rest = start[:SHORTEST_BUILD_ID], start[SHORTEST_BUILD_ID:]
    return "" if rest.strip("0") else build_id


def build_id_of(some_id: str, debug_id: str) -> str:
    """Return a code id as a build id, in lower case as linkers print it; "" where it is none.

    The debug id of an ELF file derives from its build id. That tells a build id from a PE file's time stamp
    and size, and from a Mach-O file's UUID.
    """
    derived = debug_ids_of_code_id(some_id)[:1]
    return some_id.lower() if derived == (normal_debug_id(debug_id),) else ""
