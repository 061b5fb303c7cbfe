"""Lines on the screen of `make run`."""

from __future__ import annotations

import pytest

from run.supervisor import summarize
from tecken.settings import BASE_DIR

START = "2026-11-28T16:58:42.178410Z"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            f"{START} WARNING tecken.jobs.worker [v0]: No heartbeat state=stale",
            "WARNING No heartbeat state=stale",
        ),
        (f"{START} INFO celery.beat [v12]: beat: Starting...", None),
        ("✓ Redis queue service connected: 127.0.0.1:1", None),
        ("→ Application starts", None),
        ("→ Application REFUSES to start", "→ Application REFUSES to start"),
        ("❌ Redis validation failed: no", "❌ Redis validation failed: no"),
        ('  File "a.py", line 1, in main', '  File "a.py", line 1, in main'),
        ("", None),
    ],
)
def test_summary_of_a_line(line: str, shown: str | None) -> None:
    assert summarize(line) == shown


def test_summary_matches_the_lines_that_the_document_shows() -> None:
    text = (BASE_DIR / "docs" / "logs.md").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("2026-") and " WARNING " in line]
    assert str(summarize(line)).startswith("WARNING b.pdb/44E4")
