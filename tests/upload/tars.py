"""Valid and hostile tar archives and Debian packages."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import zstandard

PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".xz": partial(lzma.compress, preset=0),
}


def tarred(
    files: Mapping[str, bytes] | Iterable[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    pairs: Iterable[tuple[str | tarfile.TarInfo, bytes]] = (
        files.items() if isinstance(files, Mapping) else files
    )
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in pairs:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a header alone, which may have any size."""
    info = entry(name, kind)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def package(data: bytes, name: bytes = b"data.tar.xz") -> bytes:
    """Return a Debian package with this archive of its files."""
    parts = ((b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (name, data))
    return b"!<arch>\n" + b"".join(map(_part, parts))


def _part(part: tuple[bytes, bytes]) -> bytes:
    name, content = part
    fields = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 0, 0, 0, 0o644, len(content))
    return fields + content + b"\n" * (len(content) % 2)
