from __future__ import annotations

from tecken.monitoring.health.panels import LONGEST_SECONDS, History
from tecken.monitoring.preflight.rules import Facts, parse_info

START = parse_info({"run_id": "a", "total_commands_processed": 100})


def after(**more: int | str) -> Facts:
    return START._replace(**more)  # type: ignore[arg-type]


def test_rates_of_one_snapshot_are_none() -> None:
    history = History()
    assert history.compute_rates(10.0, START) is None
    assert history.compute_rates(10.0, START) is None
    rates = history.compute_rates(14.0, after(evicted=8, commands=140, hits=3, misses=1))
    assert rates is not None
    assert (rates.seconds, rates.evictions_per_second, rates.commands_per_second) == (4.0, 2.0, 10.0)
    assert rates.hit_ratio == 0.75


def test_rates_cover_the_last_minute() -> None:
    history = History()
    for second in range(1000):
        rates = history.compute_rates(second, after(evicted=second**2, commands=100 + second))
    assert rates is not None
    assert rates.seconds == LONGEST_SECONDS
    assert rates.evictions_per_second == (999**2 - 939**2) / 60
    assert rates.hit_ratio is None


def test_rates_of_distant_snapshots_are_computed() -> None:
    history = History()
    history.compute_rates(0.0, START)
    rates = history.compute_rates(1000.0, after(commands=1100))
    assert rates is not None
    assert rates.commands_per_second == 1.0


def test_rates_after_a_restart_are_none() -> None:
    history = History()
    history.compute_rates(0.0, START)
    assert history.compute_rates(1.0, after(run_id="b")) is None
    assert history.compute_rates(2.0, after(run_id="b", commands=101)) is not None
    assert history.compute_rates(3.0, after(run_id="b", commands=5)) is None
