"""Keys of the documents, as docs/health.md shows them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from tecken.doctor.report import build_document
from tecken.monitoring import degraded
from tecken.settings import BASE_DIR
from tests.accounts.people import key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("worker")]
DOCUMENT = (BASE_DIR / "docs" / "health.md").read_text()
BLOCKS = re.findall(r"```json\n(.+?)```", DOCUMENT, re.DOTALL)
HEALTH, DOCTOR, DETAILS = map(json.loads, BLOCKS)


# Left out while no process has reported, and a row for each directory on this machine.
DIFFERS = ("processes", "free_bytes", "reserve_bytes")


def keys(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: keys(value) for name, value in document.items() if name not in DIFFERS}
    return None


def test_health_is_as_documented(client: Client) -> None:
    document = client.get("/health").json()
    assert list(document) == list(HEALTH)
    assert keys(document) == keys(HEALTH)


def test_document_of_doctor_is_as_documented() -> None:
    assert list(build_document("", datetime.now(UTC), [])) == list(DOCTOR)


def test_redis_details_are_as_documented(client: Client) -> None:
    document = client.get("/admin/health/redis", headers={"Auth-Token": key()}).json()
    assert list(document) == list(DETAILS)
    assert keys(document) == keys(DETAILS)


def test_every_state_is_documented() -> None:
    (table,) = re.findall(r"^\| state \|.+\n\|---.+\n((?:\|.+\n)+)", DOCUMENT, re.MULTILINE)
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == sorted(degraded.STATES)
