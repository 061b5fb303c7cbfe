from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

import tecken
from run.web import remove_stale_metrics
from tecken import metrics
from tecken.metrics import Figure, Metric
from tecken.settings import BASE_DIR
from tests.support.redis_server import free_port


def test_prometheus_is_imported_by_the_metrics_module_only() -> None:
    root = Path(tecken.__file__).parent
    imports = re.compile(r"^\s*(from|import) prometheus_client\b", re.MULTILINE)
    importers = {path.name for path in root.rglob("*.py") if imports.search(path.read_text())}
    assert importers == {"metrics.py"}


def test_exposition_has_figures_and_counters() -> None:
    metrics.REQUESTS.labels("v5", 200).inc(0)
    levels = [({"level": "full"}, 1), ({"level": "uploads"}, True)]
    told = shown([Figure("tecken_maintenance", levels)])
    assert told['tecken_maintenance{level="full"}'] == told['tecken_maintenance{level="uploads"}'] == 1
    assert 'tecken_symbolicate_requests_total{status="200",version="v5"}' in told


def test_exposition_with_an_unlisted_figure_warns() -> None:
    with pytest.raises(UserWarning, match="tecken_x is not listed"):
        shown([Figure("tecken_x", [({}, 1)])])


def test_registered_metrics_are_in_the_list() -> None:
    counted = [family for family in REGISTRY.collect() if family.name.startswith("tecken_")]
    full = {"counter": "_total"}
    listed = {metric.name: metric.kind for metric in metrics.LIST if metric.source not in ("process", "site")}
    assert {family.name + full.get(family.type, ""): family.type for family in counted} == listed


def test_documented_table_is_the_list() -> None:
    """Also how it is written: `python -c "from tests.test_metrics import table; print(table())"`."""
    assert table() in (BASE_DIR / "docs" / "metrics.md").read_text()


def test_metric_names_have_prefix_and_suffix() -> None:
    for metric in metrics.LIST:
        assert metric.name.startswith("tecken_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")


def table() -> str:
    def cells(one: Metric) -> tuple[str, ...]:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        return f"`{one.name}`", one.kind, labels, one.source, one.text

    rows = [("name", "type", "labels", "counted by", "meaning"), ("---",) * 5, *map(cells, metrics.LIST)]
    return "\n".join("| " + " | ".join(row).replace("|  |", "| |") + " |" for row in rows)


def test_serve_exposes_metrics_on_its_own_port() -> None:
    port = free_port()
    metrics.serve(port, "")
    told = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    assert "# TYPE tecken_preparations_total counter" in told


def test_exposition_adds_up_counters_of_processes(tmp_path: Path) -> None:
    """Two that wrote to the directory; the one that answers has counted nothing."""
    script = "from tecken.metrics import REQUESTS; REQUESTS.labels('v4', 418).inc()"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    told = shown([Figure("tecken_config_version", [({}, 3)])], tmp_path)
    assert told['tecken_symbolicate_requests_total{status="418",version="v4"}'] == 2
    assert told["tecken_config_version"] == 3


def test_start_removes_metrics_of_ended_processes(tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    remove_stale_metrics(directory)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = f"counter_{os.getpid()}.db"
    for name in (f"counter_{gone.pid}.db", "histogram_x.db", ours, "notes"):
        (directory / name).touch()
    remove_stale_metrics(directory)
    assert sorted(path.name for path in directory.iterdir()) == [ours, "notes"]


def shown(figures: list[Figure], directory: Path | None = None) -> dict[str, float]:
    text = metrics.exposition(figures, str(directory or "")).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}
