"""debuginfod: ELF files, and sections of them, by build id. Below `/try`, try files are included.

Source: the manual pages debuginfod(8) and debuginfod_find_debuginfo(3) of elfutils 0.192.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from django.http import QueryDict

from tecken.errors import InvalidInput, NotFound
from tecken.storage.port import BuildIdRequest, ElfPart

# Whole bytes. Linkers write at most 32 of them.
_BUILD_ID: Final = re.compile(r"([0-9A-Fa-f]{2}){2,64}")
_PARTS: Final = {part.value: part for part in ElfPart}
_SECTION: Final = re.compile(r"[!-~]{1,255}")


def parse(_query: QueryDict, build_id: str, artifact: str) -> BuildIdRequest:
    """Return the request for a path below `/buildid/`. Raises InvalidInput, and NotFound for source files."""
    if not _BUILD_ID.fullmatch(build_id):
        raise InvalidInput("a build id is 2 to 64 bytes in hex digits")
    build_id = build_id.lower()
    kind, _, name = artifact.partition("/")
    if kind == "section" and _SECTION.fullmatch(name):
        return BuildIdRequest(build_id, ElfPart.DEBUG_INFO, name)
    if kind == "source" and name:
        raise NotFound("source files are not stored here")
    if artifact not in _PARTS:
        raise InvalidInput("request debuginfo, executable or section/<name> of a build id")
    return BuildIdRequest(build_id, _PARTS[artifact])


def parse_with_try(query: QueryDict, build_id: str, artifact: str) -> BuildIdRequest:
    """Return the request for a path below `/try/buildid/`. Raises what `parse` raises."""
    return parse(query, build_id, artifact)._replace(with_try=True)


PATTERNS: dict[str, Callable[..., BuildIdRequest]] = {
    "try/buildid/<str:build_id>/<path:artifact>": parse_with_try,
    "buildid/<str:build_id>/<path:artifact>": parse,
}
