"""A limit on the address space that a piece of work may add to its process."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATM = Path("/proc/self/statm")


@contextmanager
def added_memory(limit: int | None) -> Iterator[None]:
    """Let the process have `limit` bytes of address space more than now; beyond that is a MemoryError.

    The limit is one of the whole process: it is for processes that do one job at a time. None, and a system
    without /proc, mean no limit. A lower limit that is already set stays.
    """
    if limit is None or not _STATM.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(_STATM.read_text().split()[0])
    wanted = pages * resource.getpagesize() + limit
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
