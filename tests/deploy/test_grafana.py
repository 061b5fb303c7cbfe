from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from tecken.metrics import LIST
from tecken.settings import BASE_DIR
from tests.deploy.queries import find_problems, find_selectors

DASHBOARD: dict[str, Any] = json.loads((BASE_DIR / "deploy" / "grafana" / "tecken.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in CHARTS for target in panel["targets"]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("query", QUERIES)
def test_query_of_the_dashboard_has_metrics_and_labels_of_the_site(query: str) -> None:
    assert find_selectors(query)
    assert find_problems(query) == []


def test_dashboard_shows_every_metric() -> None:
    shown = {
        selector.metric.removesuffix("_bucket") for query in QUERIES for selector in find_selectors(query)
    }
    assert {metric.name for metric in LIST} - shown == set()


def test_panels_have_all_that_a_reader_needs() -> None:
    for panel in CHARTS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == SOURCE, panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert target["datasource"] == SOURCE, panel["title"]
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_panels_fit_the_grid_and_do_not_overlap() -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in PANELS]
    for title, place in places:
        assert place["x"] + place["w"] <= 24, title
    for (title, one), (other, two) in combinations(places, 2):
        is_apart = (
            one["x"] + one["w"] <= two["x"]
            or two["x"] + two["w"] <= one["x"]
            or one["y"] + one["h"] <= two["y"]
            or two["y"] + two["h"] <= one["y"]
        )
        assert is_apart, f"{title} covers {other}"


def test_variables_of_queries_are_those_of_the_dashboard() -> None:
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert names == {"datasource", "instance"}
    text = "".join(QUERIES).replace("$__rate_interval", "")
    assert set(text.replace("$instance", "")) & {"$"} == set()
