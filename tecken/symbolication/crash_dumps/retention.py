"""Removal of old reports, of dumps that were kept, and of dumps whose job has not ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from tecken.runtimeconfig.current import options
from tecken.symbolication.crash_dumps.dump_files import DUMP
from tecken.symbolication.crash_dumps.services import TASK_EXPIRES_SECONDS, dump_files


class RemovedDumps(NamedTuple):
    """Numbers of removed dumps and reports, and their bytes as stored."""

    dumps: int = 0
    reports: int = 0
    bytes: int = 0


def remove_old(now: datetime, *, dry_run: bool = False) -> RemovedDumps:
    """Remove old dumps and reports, and return their numbers. Raises Unavailable; the next run continues."""
    ages = _longest_ages()
    dumps = reports = size = 0
    for part in dump_files().entries():
        is_dump = part.kind == DUMP
        if part.written > now - ages[is_dump]:
            continue
        dumps += is_dump
        reports += not is_dump
        size += part.size
        if not dry_run:
            dump_files().delete(part.dump_id, part.kind)
    return RemovedDumps(dumps, reports, size)


def _longest_ages() -> dict[bool, timedelta]:
    """Return how old reports and dumps (True) may be.

    A worker that is killed leaves a dump, and its job may still be in the queue for as long as its expiry.
    """
    values = options()
    unprocessed = timedelta(seconds=TASK_EXPIRES_SECONDS)
    kept = timedelta(days=values.keep_minidump_days)
    return {
        True: kept if values.minidump_keep_dumps else unprocessed,
        False: timedelta(seconds=values.minidump_keep_seconds),
    }
