from __future__ import annotations

import pytest

from tecken.monitoring.degraded import STATES
from tecken.settings import BASE_DIR
from tests.deploy.test_prometheus import RULES
from tests.test_documents import anchors

RUNBOOK = "https://docs.example.com/tecken/runbook.html#"
SECTIONS = ("What users notice", "Look at", "Do", "It is over when")


@pytest.mark.parametrize("name", [*STATES, *(rule["alert"] for rule in RULES)])
def test_runbook_has_a_whole_section_for_the_state_or_alert(name: str) -> None:
    text = (BASE_DIR / "docs" / "runbook.md").read_text()
    _, found, rest = text.partition(f"\n### {name}\n")
    assert found
    section = rest.partition("\n## ")[0].partition("\n### ")[0]
    assert [part for part in SECTIONS if f"**{part}**" not in section] == []


def test_runbook_has_no_section_of_a_former_state_or_alert() -> None:
    text = (BASE_DIR / "docs" / "runbook.md").read_text()
    headings = {line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")}
    assert headings == {*STATES, *(rule["alert"] for rule in RULES)}


def test_alerts_lead_to_their_sections_of_the_runbook() -> None:
    sections = anchors(BASE_DIR / "docs" / "runbook.md")
    targets = [rule["annotations"]["runbook_url"] for rule in RULES]
    assert targets == [RUNBOOK + rule["alert"].lower() for rule in RULES]
    assert [target for target in targets if target.removeprefix(RUNBOOK) not in sections] == []
