"""kill -9 at random moments of conversions, under requests: no wrong and no partial answer."""

from __future__ import annotations

from pathlib import Path

from tests.system.cold_kills import kill_conversions

SEED = 20261129
KILLS = 24


def test_conversion_killed_at_any_moment_gives_no_wrong_answer(tmp_path: Path) -> None:
    """`python -m bench.cold --kills 1000` is the long form."""
    outcome = kill_conversions(tmp_path, KILLS, SEED)
    assert outcome.wrong == []
    assert outcome.killed.total() >= KILLS
    assert outcome.answers["complete"] >= KILLS


def test_conversion_with_deleted_keys_gives_no_wrong_answer(tmp_path: Path) -> None:
    """Keys of the store and of conversions disappear at any moment, which costs only time."""
    outcome = kill_conversions(tmp_path, KILLS // 3, SEED, deletes_keys=True)
    assert outcome.wrong == []
    assert outcome.deleted["*"]
    assert outcome.deleted["cold:*"] > KILLS
    assert outcome.answers["complete"] >= KILLS // 3
