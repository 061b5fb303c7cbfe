"""A URL as people may see it."""

from __future__ import annotations

import re


def shown(url: str) -> str:
    """Without credentials and query, even when it is malformed."""
    return re.sub(r"//.*@", "//", url).partition("?")[0]
