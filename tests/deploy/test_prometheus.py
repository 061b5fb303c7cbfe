from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
import yaml
from django.test import Client

from tecken.settings import BASE_DIR
from tests.deploy.queries import find_problems, find_selectors

FOLDER = BASE_DIR / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]


@pytest.fixture
def promtool() -> str:
    """Path of Prometheus' own checker."""
    if not (program := shutil.which("promtool")):
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return program


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_file(promtool: str, arguments: tuple[str, ...]) -> None:
    command = [promtool, *arguments]
    result = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_alert_of_each_rule_has_a_unit_test() -> None:
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    fired = {
        sample["labels"].partition('alertname="')[2].partition('"')[0]
        for test in tests
        for query in test["promql_expr_test"]
        for sample in query.get("exp_samples", ())
    }
    assert sorted(fired) == sorted(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_alert_has_all_that_an_operator_needs(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Tecken")
    assert rule["for"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert not notes["summary"].endswith(".")
    # One sentence: it ends with the only full stop that a space or the end follows.
    assert f"{notes['description']} ".count(". ") == 1


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_alert_has_metrics_and_labels_of_the_site(rule: dict[str, Any]) -> None:
    assert find_problems(rule["expr"]) == []


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ("tecken_workers == 0", []),
        ('sum by (le) (rate(tecken_request_seconds_bucket{kind="api"}[5m]))', []),
        ("tecken_worker == 0", ["no metric tecken_worker"]),
        ('tecken_up{server="x"}', ["tecken_up has no label server"]),
        ("sum by (queue) (tecken_workers)", ["no metric has the label queue"]),
        ("tecken_workers_sum", ["no metric tecken_workers_sum"]),
    ],
)
def test_query_of_another_metric_or_label_is_found(query: str, problems: list[str]) -> None:
    assert find_problems(query) == problems


@pytest.mark.django_db
def test_alert_has_values_of_labels_that_the_site_exposes(client: Client) -> None:
    """For metrics of a fixed set of values: part, server, state and level."""
    exposed = client.get("/metrics").content.decode()
    wanted = {
        (selector.metric, label, value)
        for rule in RULES
        for selector in find_selectors(rule["expr"])
        for label, text in selector.matchers
        for value in text.split("|")
        if label in ("part", "server", "state", "level")
    }
    assert len(wanted) > 8
    assert [item for item in wanted if not _is_exposed(exposed, *item)] == []


def _is_exposed(text: str, metric: str, label: str, value: str) -> bool:
    lines = (line for line in text.splitlines() if line.startswith(f"{metric}{{"))
    return any(f'{label}="{value}"' in line for line in lines)
