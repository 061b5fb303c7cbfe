"""docker-compose.yml: what keeps the site running."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tecken.settings import BASE_DIR

ENDS_BY_ITSELF = {"setup", "test", "bucket"}


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((BASE_DIR / name).read_text())["services"]
    return found


@pytest.mark.parametrize("name", sorted(services("docker-compose.yml").keys() - ENDS_BY_ITSELF))
def test_service_that_ends_is_restarted(name: str) -> None:
    """Granian ends the whole server when one of its processes is killed twice within seconds."""
    assert services("docker-compose.yml")[name]["restart"] == "unless-stopped"


def test_s3_server_that_ends_is_restarted() -> None:
    assert services("docker/compose.s3.yml")["s3"]["restart"] == "unless-stopped"


def test_beat_is_a_service_of_its_own() -> None:
    commands = {name: service.get("command", "") for name, service in services("docker-compose.yml").items()}
    assert " beat " in commands["beat"]
    assert "--beat" not in commands["worker"]


def test_mount_points_in_memory_are_made_by_the_image() -> None:
    """Docker makes a missing one for root alone when a container is started again."""
    image = (BASE_DIR / "docker" / "Dockerfile").read_text()
    mounts = {service["tmpfs"] for service in services("docker-compose.yml").values() if "tmpfs" in service}
    assert mounts
    assert [mount for mount in mounts if f"mkdir --mode 1777 {mount}" not in image] == []


def test_image_needs_no_other_base_than_that_of_the_site() -> None:
    text = (BASE_DIR / "docker" / "Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM (\S+) AS (\w+)$", text, re.MULTILINE))
    assert stages.keys() - set(stages.values()) == {"python:3.13-slim"}
