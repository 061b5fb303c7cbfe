from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tecken
from run.web import count_anew
from tecken import metrics
from tecken.metrics import Figure


def test_metrics_are_listed_in_one_place() -> None:
    root = Path(tecken.__file__).parent
    importers = {path.name for path in root.rglob("*.py") if "prometheus_client" in path.read_text()}
    assert importers <= {"metrics.py"}


def test_figures_stand_beside_what_is_counted() -> None:
    metrics.REQUESTS.labels("v5", 200).inc(0)
    told = shown([Figure("tecken_x", "An x.", [({"kind": "a"}, 1), ({"kind": "b"}, True)])])
    assert told['tecken_x{kind="a"}'] == told['tecken_x{kind="b"}'] == 1
    assert 'tecken_symbolicate_requests_total{status="200",version="v5"}' in told


def test_processes_are_counted_together(tmp_path: Path) -> None:
    """Two that wrote to the directory; the one that answers has counted nothing."""
    script = "from tecken.metrics import REQUESTS; REQUESTS.labels('v4', 418).inc()"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    told = shown([Figure("tecken_x", "An x.", [({}, 3)])], tmp_path)
    assert told['tecken_symbolicate_requests_total{status="418",version="v4"}'] == 2
    assert told["tecken_x"] == 3


def test_a_start_counts_anew(tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    count_anew(directory)
    (directory / "counter_1.db").touch()
    (directory / "notes").touch()
    count_anew(directory)
    assert [path.name for path in directory.iterdir()] == ["notes"]


def shown(figures: list[Figure], directory: Path | None = None) -> dict[str, float]:
    text = metrics.exposition(figures, str(directory or "")).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}
