"""Failure and recovery of each part while requests of every kind run.

Whichever part fails: no wrong answer, no 500, no hang; a refusal has the time for another attempt;
acknowledged work is done. docs/reliability.md has the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.load import KINDS, Load
from tests.support.redis_server import free_port
from tests.system.faults import FAULTS, Fault
from tests.system.faulty import FaultySite

SOME = 3  # answers of each kind
STARTS_WITHIN = 120.0  # seconds, as all of these: upper bounds for a busy machine
LATE = 120.0
JOBS_DONE_WITHIN = 150.0
NEVER_BY_CHANCE = {"warm", "download", "upload"}
"""On a busy machine a request that waits for a worker may be refused for the time being."""
OF_SINGLE_SERVERS = [fault for fault in FAULTS if fault.site is FaultySite]
OF_OTHERS = [fault for fault in FAULTS if fault.site is not FaultySite]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySite]:
    with FaultySite(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def token(site: FaultySite) -> str:
    return site.token()


def named(fault: Fault) -> str:
    return fault.name


@pytest.mark.xdist_group("faults")  # these share a site
@pytest.mark.parametrize("fault", OF_SINGLE_SERVERS, ids=named)
def test_site_with_a_failed_part_serves_the_rest_and_recovers(
    site: FaultySite, token: str, fault: Fault
) -> None:
    survive(site, Load(site.url, token, site.symbols), fault)


@pytest.mark.parametrize("fault", OF_OTHERS, ids=named)
def test_site_with_a_failed_upstream_serves_the_rest(tmp_path: Path, fault: Fault) -> None:
    with fault.site(tmp_path) as site:
        survive(site, Load(site.url, site.token(), site.symbols), fault)


def survive(site: FaultySite, load: Load, fault: Fault) -> None:
    load.warm_up(STARTS_WITHIN)
    with load.going():
        with fault.during(site):
            load.wait_for(SOME, LATE)
        load.wait_for(SOME, LATE, served=True)
    assert [one for one in load.answers if one.outcome == "failed" and not fault.excuses(one)] == []
    refused = {one.kind for one in load.answers if one.outcome == "refused"}
    assert not refused & fault.spared & NEVER_BY_CHANCE
    assert load.jobs_lost(JOBS_DONE_WITHIN) == []
    assert load.uploads_lost() == []


def test_site_without_database_serves_reads_and_refuses_writes(tmp_path: Path) -> None:
    with FaultySite(tmp_path) as site:
        load = Load(site.url, site.token(), site.symbols)
        load.warm_up(STARTS_WITHIN)
        site.restart_web(DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/nothing")
        with load.going():
            load.wait_for(SOME, LATE)
        outcomes = {kind: {one.outcome for one in load.of(kind)} for kind in KINDS}
    assert outcomes["warm"] == outcomes["download"] == {"served"}
    assert outcomes["cold"] <= {"served", "refused"}
    assert outcomes["upload"] == outcomes["job"] == {"refused"}
