from __future__ import annotations

from pathlib import Path

import tecken


def test_metrics_are_listed_in_one_place() -> None:
    root = Path(tecken.__file__).parent
    importers = {path.name for path in root.rglob("*.py") if "prometheus_client" in path.read_text()}
    assert importers <= {"metrics.py"}
