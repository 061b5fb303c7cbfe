from __future__ import annotations

import pytest
from django.core.management.base import CommandError
from pytest_django import Settings

from tests.management.conftest import SAMPLES, Manage
from tests.support.redis_server import free_port


def test_stats_of_a_store_in_use(manage: Manage) -> None:
    manage("symbolicate", str(SAMPLES / "stack.json"))
    rows = dict(
        line.split(maxsplit=1) for line in manage("store", "stats").splitlines() if " ratio" not in line
    )
    assert rows["modules"] == "3"
    assert int(rows["keys"]) > 3
    assert rows["memory"].endswith("allkeys-lru")
    assert rows["page"].endswith("B on average")


def test_a_store_that_is_away_is_one_clear_line(manage: Manage, house: Settings) -> None:
    nowhere = {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    house.CACHES = house.CACHES | {"store": house.CACHES["store"] | nowhere}
    with pytest.raises(CommandError, match="does not answer"):
        manage("store", "stats")
