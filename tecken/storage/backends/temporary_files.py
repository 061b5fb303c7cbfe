"""Files that have no name until they are complete, so that a killed writer leaves nothing behind.

A named temporary file and a sweep would be shorter, and are what remains on file systems without O_TMPFILE
(NFS, or other systems than Linux). But such a file outlives its killed writer until the same directory is
written to an hour later, and a symbol file's directory rarely is: its path contains the debug id. A single
directory for temporary files could be swept, but os.replace fails when another file system is mounted below.

Source: open(2), O_TMPFILE.
"""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

STAGED = re.compile(r".*#\d+", re.DOTALL)
STALE_SECONDS = 3600
NO_SUCH_THING = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


def nameless(directory: Path) -> BinaryIO | None:
    """Open a file for writing in the directory, which is made; None where O_TMPFILE fails. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        return os.fdopen(os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o666), "wb")
    except OSError as error:
        if error.errno in NO_SUCH_THING:
            return None
        raise


def give_name(file: BinaryIO, path: Path) -> None:
    """Give the file its path in the same directory, and replace what is there. Raises OSError."""
    file.flush()
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        _link(file, directory, path.name)
    except FileExistsError:
        # A link replaces nothing. Only a writer killed between these two lines leaves a file behind.
        staged = f"{uuid4().hex}#1"
        _link(file, directory, staged)
        os.replace(staged, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def sweep(directory: Path) -> None:
    """Remove what killed writers left: `<any name>#<number>`, the form of obstore too. Raises OSError."""
    for staged in directory.glob("*#*"):
        if STAGED.fullmatch(staged.name):
            with suppress(FileNotFoundError):
                if time.time() - staged.stat().st_mtime > STALE_SECONDS:
                    staged.unlink()


def _link(file: BinaryIO, directory: int, name: str) -> None:
    # Naming a directory makes it linkat(2), which alone follows the link in /proc.
    os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=directory, follow_symlinks=True)
