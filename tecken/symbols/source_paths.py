"""Cleaning of source paths, Unix or Windows, with the same results as the `symbolic` library."""

from __future__ import annotations

import re

_SLASHES = re.compile("//+")
_SEPARATORS = "/\\"
_SEPARATOR = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:(?:[/\\]|$)")


def clean(path: str) -> str:
    """Return a path without `.` and `..` and with one separator.

    The separator is a backslash if the path has a backslash, a drive or a `//host`. A name like `<stdin>`
    loses its directory. Double separators inside stay, and a path that leads above its root becomes
    relative.
    """
    if _is_plain(path):
        return path
    trimmed = path.rstrip(_SEPARATORS) or path
    cut = max(trimmed.rfind("/"), trimmed.rfind("\\"))
    return _simplify(_join(trimmed[: max(cut, 1)] if cut >= 0 else "", trimmed[cut + 1 :]))


def lookup_form(path: str) -> str:
    """Return the spelling of a path under which source files are stored and found.

    It has no `.`, `..` and double slashes: debuginfod clients remove them, debug information has them.
    """
    return clean(_SLASHES.sub("/", path) if path.startswith("/") else path)


def _is_plain(path: str) -> bool:
    """Return whether a path is clean; False where that takes more than a cheap test to decide.

    Nearly all paths of a module are plain, so conversion seldom needs more than this test.
    """
    may_change = "\\" in path or "//" in path or "/." in path or path[:1] == "." or path[1:2] == ":"
    return not may_change and path[-1:] not in ("/", ">", ":")


def _join(directory: str, name: str) -> str:
    if not directory or (name.startswith("<") and name.endswith(">")) or _DRIVE.match(name):
        return name
    if not name:
        return directory
    separator = "\\" if _is_windows(directory) else "/"
    return directory.rstrip(_SEPARATORS) + separator + name


def _simplify(path: str) -> str:
    """Return a path without `.` and `..`."""
    separator = "\\" if _is_windows(path) else "/"
    segments = _SEPARATOR.split(path)
    if not segments[-1]:
        segments.pop()
    result: list[str] = []
    is_above_root = False
    for segment in segments:
        if segment == ".." and not is_above_root:
            is_above_root = result in ([], [""])
            if is_above_root:
                result = [segment]
            else:
                _remove_last(result)
        elif segment != ".":
            result.append(segment)
    return separator.join(result)


def _remove_last(segments: list[str]) -> None:
    """Remove the last segment, and the root when nothing else is left."""
    segments.pop()
    if segments == [""]:
        segments.pop()


def _is_windows(path: str) -> bool:
    return "\\" in path or path.startswith("//") or bool(_DRIVE.match(path))
