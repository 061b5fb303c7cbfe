"""Source paths as the `symbolic` library gives them out, Unix or Windows, by their text alone."""

from __future__ import annotations

import re

_SEPARATORS = "/\\"
_SEPARATOR = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:(?:[/\\]|$)")


def clean(path: str) -> str:
    """Take `.` and `..` out and use one separator.

    It is a backslash if the path has one, a drive or a `//host`. A name like `<stdin>` loses its directory.
    Double separators inside stay, and a path that climbs above its root becomes relative.
    """
    if _is_plain(path):
        return path
    trimmed = path.rstrip(_SEPARATORS) or path
    cut = max(trimmed.rfind("/"), trimmed.rfind("\\"))
    return _simplified(_joined(trimmed[: max(cut, 1)] if cut >= 0 else "", trimmed[cut + 1 :]))


def _is_plain(path: str) -> bool:
    """A cheap test that is true only for paths that `clean` leaves as they are."""
    odd = "\\" in path or "//" in path or "/." in path or path[:1] == "." or path[1:2] == ":"
    return not odd and path[-1:] not in ("/", ">", ":")


def _joined(directory: str, name: str) -> str:
    if not directory or (name.startswith("<") and name.endswith(">")) or _DRIVE.match(name):
        return name
    if not name:
        return directory
    separator = "\\" if _is_windows(directory) else "/"
    return directory.rstrip(_SEPARATORS) + separator + name


def _simplified(path: str) -> str:
    separator = "\\" if _is_windows(path) else "/"
    segments = _SEPARATOR.split(path)
    if not segments[-1]:
        segments.pop()
    kept: list[str] = []
    above_root = False
    for segment in segments:
        if segment == ".." and not above_root:
            above_root = kept in ([], [""])
            if above_root:
                kept = [segment]
            else:
                _leave(kept)
        elif segment != ".":
            kept.append(segment)
    return separator.join(kept)


def _leave(segments: list[str]) -> None:
    """Take the last segment off, and the root when it is all that is left."""
    segments.pop()
    if segments == [""]:
        segments.pop()


def _is_windows(path: str) -> bool:
    return "\\" in path or path.startswith("//") or bool(_DRIVE.match(path))
