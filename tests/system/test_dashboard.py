"""Prometheus scrapes a site: each query of the dashboard has data, and each alert is evaluated."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.redis_server import free_port
from tests.support.sentinel import wait_until
from tests.symbolication.crash_dumps.jobs import crash_dump
from tests.system.site import ROOT, end
from tests.system.test_beat import SiteWithBeat

MISSING = "44E4EC8C2F41492B9369D6B9A059577C2"
WITHIN = 180.0  # seconds, on a busy machine
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "tecken.json").read_text())
CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - {{job_name: tecken-web, static_configs: [{{targets: ["127.0.0.1:{web}"]}}]}}
  - {{job_name: tecken-worker, static_configs: [{{targets: ["127.0.0.1:{worker}"]}}]}}
"""
WITHOUT_DATA = {
    "States": "no process has a degraded state",
    "Queue age": "no job waits",
    "Decisions of limits": "no limit is set",
}
"""Panels without data on a healthy site with little load, with the reason."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Client of a Prometheus that scrapes a site with some traffic."""
    if not (program := shutil.which("prometheus")):
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    home, port = tmp_path_factory.mktemp("prometheus"), free_port()
    site = SiteWithBeat(home)
    site._environment["WORKER_METRICS_PORT"] = str(port)
    with site, site.beat():
        file = home / "prometheus.yml"
        rules = ROOT / "deploy" / "prometheus" / "alerts.yml"
        web = site.url.rpartition(":")[2]
        file.write_text(CONFIGURATION.format(rules=rules, web=web, worker=port))
        with closing(_start(program, file, home)) as client:
            # A rate counts what comes after the first scrape of a counter.
            _use(site, "a")
            for metric in ("tecken_source_lookups_total", "tecken_pages_total"):
                wait_until(partial(_has_data, client, metric), WITHIN, metric)
            _use(site, "b")
            yield client


class _Running(httpx.Client):
    """Client of a Prometheus that ends with it."""

    process: subprocess.Popen[bytes]

    def close(self) -> None:
        super().close()
        end(self.process)


def _start(program: str, file: Path, home: Path) -> _Running:
    address = f"127.0.0.1:{free_port()}"
    options = (f"--config.file={file}", f"--storage.tsdb.path={home}/data", f"--web.listen-address={address}")
    client = _Running(base_url=f"http://{address}/api/v1", timeout=30)
    with (home / "prometheus.log").open("wb") as log:
        client.process = subprocess.Popen([program, *options], stdout=log, stderr=log)
    return client


def _use(site: SiteWithBeat, module: str) -> None:
    """Send a request of each kind, and one for a module that a worker has to search for."""
    site.manage("symbols", "add", str(ROOT / "tests" / "data" / "samples"))
    stack = json.loads((ROOT / "tests" / "data" / "samples" / "stack.json").read_text())
    cold = {"memoryMap": [[f"{module}.pdb", MISSING]], "stacks": [[[0, 1]]]}
    for request in (stack, stack, cold):
        assert site.symbolicate(request).is_success
    for path in (f"/{module}.pdb/{MISSING}/{module}.sym", "/", "/api/uploads/"):
        httpx.get(site.url + path, timeout=30)
    httpx.post(f"{site.url}/upload/", content=b"", timeout=30)
    assert httpx.post(f"{site.url}/process/minidump", content=crash_dump(), timeout=60).is_success


def _query(prometheus: httpx.Client, query: str) -> list[dict[str, Any]]:
    # Over an hour before the query, so that traffic of the beginning still counts.
    text = query.replace("$__rate_interval", "1h").replace("$instance", ".*")
    try:
        reply = prometheus.get("/query", params={"query": text})
    except httpx.TransportError:
        return []
    result: list[dict[str, Any]] = reply.raise_for_status().json()["data"]["result"]
    return [item for item in result if item["value"][1] != "NaN"]


def _has_data(prometheus: httpx.Client, query: str) -> bool:
    return bool(_query(prometheus, query))


PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.xdist_group("dashboard")
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_of_the_dashboard_has_data(prometheus: httpx.Client, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        if panel["title"] in WITHOUT_DATA:
            assert _query(prometheus, target["expr"]) == []
        else:
            wait_until(partial(_has_data, prometheus, target["expr"]), WITHIN, target["expr"])


@pytest.mark.xdist_group("dashboard")
def test_alerts_of_a_healthy_site_are_evaluated_and_none_is_critical(prometheus: httpx.Client) -> None:
    def rules() -> list[dict[str, Any]]:
        reply = prometheus.get("/rules").raise_for_status()
        return [rule for group in reply.json()["data"]["groups"] for rule in group["rules"]]

    wait_until(lambda: bool(rules()) and all(rule["health"] == "ok" for rule in rules()), WITHIN, "evaluated")
    firing = [rule["name"] for rule in rules() if rule["state"] == "firing"]
    assert firing == []
