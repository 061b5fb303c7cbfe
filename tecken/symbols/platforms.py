"""Platforms that a module may be of, by its name and its id.

The operating system of a crash is not part of a request for symbols, so this is what names and ids show:

    name                                  platforms
    .pdb, .dll, .exe, .sys ...            Windows
    .so.6, .ko, .debug                    Linux
    .dylib, .dsym                         macOS
    .so                                   Linux or macOS
    .wasm                                 WebAssembly
    any other                             all

    id                                    platforms
    at most 16 digits: a code id          Windows
    an age other than 0                   Windows
    40 digits                             Linux: a whole build id; or Windows, with an age of 8 digits
    33 digits, age 0, a UUID of RFC 9562  Linux, macOS or WebAssembly
    33 digits, age 0, no such UUID        Linux or WebAssembly
    any other                             all

A module is of a platform that both have; where they contradict each other, the name counts.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from tecken.symbols.ids import (
    GUID_DIGITS,
    LONGEST_PE_CODE_ID,
    WHOLE_BUILD_ID,
    is_windows_name,
)


class Platform(Enum):
    """Systems by the format of their files: Linux has ELF files, as Android does, and macOS Mach-O files."""

    WINDOWS = "windows"
    LINUX = "linux"
    MACOS = "macos"
    WASM = "wasm"


Platforms = frozenset[Platform]
ALL: Final[Platforms] = frozenset(Platform)
_BY_NAME: Final[tuple[tuple[re.Pattern[str], Platforms], ...]] = (
    (re.compile(r"\.(so\.[0-9.]+|ko|debug)$"), frozenset({Platform.LINUX})),
    (re.compile(r"\.(dylib|dsym)$"), frozenset({Platform.MACOS})),
    # Modules of Python have this suffix on macOS, too.
    (re.compile(r"\.so$"), frozenset({Platform.LINUX, Platform.MACOS})),
    (re.compile(r"\.wasm$"), frozenset({Platform.WASM})),
)
# Version and variant of a UUID. Linkers of macOS set both in the hash that they write. One of eight build ids
# has such bits by chance.
_UUID: Final = re.compile(r"[0-9A-F]{12}[1-8][0-9A-F]{3}[89AB][0-9A-F]{15}0")


def possible_platforms(name: str, some_id: str) -> Platforms:
    """Return the platforms that a module may be of; `some_id` is a debug id, build id or code id."""
    by_name = _platforms_of_name(name.lower())
    return by_name & _platforms_of_id(some_id.upper()) or by_name


def _platforms_of_name(name: str) -> Platforms:
    if is_windows_name(name):
        return frozenset({Platform.WINDOWS})
    return next((platforms for pattern, platforms in _BY_NAME if pattern.search(name)), ALL)


def _platforms_of_id(some_id: str) -> Platforms:
    if len(some_id) <= LONGEST_PE_CODE_ID:
        return frozenset({Platform.WINDOWS})
    if len(some_id) == WHOLE_BUILD_ID:
        return frozenset({Platform.LINUX, Platform.WINDOWS})
    if len(some_id) <= GUID_DIGITS:
        return ALL
    if some_id[GUID_DIGITS:] != "0":
        return frozenset({Platform.WINDOWS})
    return ALL - {Platform.WINDOWS} - (frozenset() if _UUID.fullmatch(some_id) else {Platform.MACOS})
