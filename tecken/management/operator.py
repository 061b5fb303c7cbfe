"""Who runs a command."""

from __future__ import annotations

import getpass
import os


def operator() -> str:
    """The account on this machine; in a container the user id may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
