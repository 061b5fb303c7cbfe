"""Results of minidumps for tests of pages."""

from __future__ import annotations

from io import BytesIO

import orjson

from tecken.symbolication.crash_dumps.services import dump_desk, dump_files, dump_tracker
from tecken.symbolication.crash_dumps.tracker import TrackedDump
from tests.symbolication.minidump.reports import Report


def submit() -> str:
    """Return the id of a dump that waits for a worker."""
    return dump_desk().submit(BytesIO(b"MDMP"), "127.0.0.1")


def finish(dump_id: str, report: Report) -> None:
    """Store the report of a dump, as a worker does."""
    dump_files().put_report(dump_id, orjson.dumps(report))
    dump_tracker().finish(dump_id, TrackedDump("done"))


def fail(dump_id: str, error: str) -> None:
    """End a dump as a worker does that cannot process it."""
    dump_tracker().finish(dump_id, TrackedDump("failed", "Malformed", error))
