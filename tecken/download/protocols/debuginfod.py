"""debuginfod: ELF files, sections of them, and source files, by build id.

Below `/try`, files of try builds are included.

Source: the manual pages debuginfod(8) and debuginfod_find_debuginfo(3) of elfutils 0.192.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from django.http import QueryDict

from tecken.errors import InvalidInput
from tecken.storage.port import BuildIdRequest, ElfPart, SourceRequest

# Whole bytes. Linkers write at most 32 of them.
_BUILD_ID: Final = re.compile(r"([0-9A-Fa-f]{2}){2,64}")
_PARTS: Final = {part.value: part for part in ElfPart}
_DRIVE: Final = re.compile(r"[A-Za-z]:[/\\]")
_SECTION: Final = re.compile(r"[!-~]{1,255}")


def parse(_query: QueryDict, build_id: str, artifact: str) -> BuildIdRequest:
    """Return the request for a path below `/buildid/`. Raises InvalidInput."""
    build_id = _check_build_id(build_id)
    kind, _, name = artifact.partition("/")
    if kind == "section" and _SECTION.fullmatch(name):
        return BuildIdRequest(build_id, ElfPart.DEBUG_INFO, name)
    if artifact not in _PARTS:
        raise InvalidInput("request debuginfo, executable, section/<name> or source/<path> of a build id")
    return BuildIdRequest(build_id, _PARTS[artifact])


def parse_with_try(query: QueryDict, build_id: str, artifact: str) -> BuildIdRequest:
    """Return the request for a path below `/try/buildid/`. Raises what `parse` raises."""
    return parse(query, build_id, artifact)._replace(with_try=True)


def parse_source(_query: QueryDict, build_id: str, file: str) -> SourceRequest:
    """Return the request for a source file. Raises InvalidInput.

    `file` is an absolute path without its first slash. Paths of Windows begin with a drive.
    """
    path = file if _DRIVE.match(file) else f"/{file}"
    return SourceRequest(_check_build_id(build_id), path)


def parse_source_with_try(query: QueryDict, build_id: str, file: str) -> SourceRequest:
    """Return the request for a source file below `/try/buildid/`. Raises InvalidInput."""
    return parse_source(query, build_id, file)._replace(with_try=True)


def _check_build_id(build_id: str) -> str:
    if not _BUILD_ID.fullmatch(build_id):
        raise InvalidInput("a build id is 2 to 64 bytes in hex digits")
    return build_id.lower()


SOURCE_PATTERNS: dict[str, Callable[..., SourceRequest]] = {
    "try/buildid/<str:build_id>/source/<path:file>": parse_source_with_try,
    "buildid/<str:build_id>/source/<path:file>": parse_source,
}
PATTERNS: dict[str, Callable[..., BuildIdRequest]] = {
    "try/buildid/<str:build_id>/<path:artifact>": parse_with_try,
    "buildid/<str:build_id>/<path:artifact>": parse,
}
