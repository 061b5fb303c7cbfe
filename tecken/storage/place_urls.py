"""URLs of buckets and directories, read without a connection.

The checks of a start read them before a process forks, and a client of obstore does not survive a fork.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from tecken.errors import without_account

CLOUDS: Final = ("s3", "gs", "az")


class StoragePlace(NamedTuple):
    """Place of objects: its name in messages, and the directory; None for a bucket."""

    name: str
    directory: Path | None


def parse_place(url: str) -> StoragePlace:
    """Return the place of a storage URL.

    The forms are `file:///dir`, `s3://bucket/prefix`, `gs://bucket/prefix` and `az://container/prefix`.
    Raises ValueError, without credentials in its text, for any other.
    """
    name = without_account(url)
    parts = split_url(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{name}: credentials and options do not belong in a storage URL")
    if parts.scheme == "file":
        return StoragePlace(name, _directory(parts, name))
    if parts.scheme not in CLOUDS or not parts.netloc:
        raise ValueError(f"{name}: expected file:///directory, or {', '.join(CLOUDS)} with a bucket")
    return StoragePlace(name, None)


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL. Raises ValueError, without credentials in its text."""
    try:
        return urlsplit(url)
    except ValueError:
        # Python's own text may have the account.
        raise ValueError(f"{without_account(url)}: not a URL") from None


def _directory(parts: SplitResult, name: str) -> Path:
    is_absolute = parts.path.startswith("/") and parts.path.strip("/")
    if parts.netloc not in ("", "localhost") or not is_absolute:
        raise ValueError(f"{name}: expected file:///directory with an absolute path")
    return Path(os.path.normpath(unquote(parts.path)))
