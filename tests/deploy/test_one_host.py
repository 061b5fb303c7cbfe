"""deploy/compose: one host with TLS, its settings and its scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tecken.settings import BASE_DIR

HERE = BASE_DIR / "deploy" / "compose"
SCRIPTS = ("upgrade", "rollback")
BASES = {"python:3.13-slim"}
# Interpolated by Compose itself, or read by functions.sh.
OF_COMPOSE = {"COMPOSE_PROJECT_NAME", "COMPOSE_FILE"}
SECRETS = {"SECRET_KEY": "0aZ1bY2cX3dW4eV5fU6gT7hS8iR9jQkPlOmNnMoL0aZ1bY2cX3", "POSTGRES_PASSWORD": "x" * 40}


def services(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["services"]
    return found


def read_example() -> str:
    return (HERE / "env.example").read_text()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings of an operator who has named the site, and has both secrets."""
    text = read_example().replace("SITE_NAME=\n", "SITE_NAME=symbols.example.com\n")
    text = text.replace("\nTLS=\n", "\nTLS=ops@example.com\n")
    path = tmp_path / "env"
    path.write_text(text + "".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    return path


def compose(settings: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run docker-compose, which needs no engine for `config`, in a copy of its files."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    home = settings.parent / "site"
    shutil.copytree(BASE_DIR / "deploy", home / "deploy")
    shutil.copytree(BASE_DIR / "docker", home / "docker")
    shutil.copy(BASE_DIR / "docker-compose.yml", home)
    shutil.copy(settings, home / ".env")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)}
    command = [program, *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_help_names_its_steps(name: str) -> None:
    done = subprocess.run([HERE / name, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith(f"Usage: deploy/compose/{name}")) == (0, True)


def test_scripts_pass_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    paths = [HERE / name for name in (*SCRIPTS, "functions.sh")]
    done = subprocess.run(
        ["shellcheck", "-x", *paths], cwd=BASE_DIR, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


def test_images_have_the_base_of_the_site() -> None:
    texts = [path.read_text() for path in HERE.glob("images/*/Dockerfile")]
    assert {base for text in texts for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE)} == BASES


def test_example_of_settings_names_variables_that_are_used() -> None:
    names = set(re.findall(r"^#?([A-Z_]+)=", read_example(), re.MULTILINE)) - OF_COMPOSE
    files = [BASE_DIR / "docker-compose.yml", *HERE.glob("*.yml")]
    used = set(re.findall(r"\$\{([A-Z_]+)", "".join(path.read_text() for path in files)))
    assert names - used == set()


def test_example_of_settings_without_secrets_is_refused_with_the_command(tmp_path: Path) -> None:
    example = tmp_path / "env"
    example.write_text(read_example().replace("SITE_NAME=\n", "SITE_NAME=symbols.example.com\n"))
    done = compose(example, "config", "--quiet")
    assert done.returncode != 0
    assert "secrets.token_hex" in done.stderr


def test_configuration_publishes_no_port_but_those_of_caddy(settings: Path) -> None:
    done = compose(settings, "config")
    assert done.returncode == 0, done.stderr
    published = {
        name: service.get("ports", []) for name, service in yaml.safe_load(done.stdout)["services"].items()
    }
    public = {name for name, ports in published.items() if any(not is_local(port) for port in ports)}
    assert public == {"caddy"}


def is_local(port: Any) -> bool:
    """Ports are texts or, in newer releases of Compose, mappings."""
    return (port.get("host_ip") if isinstance(port, dict) else str(port).rpartition(":")[0]) in {
        "127.0.0.1",
        "127.0.0.1:",
    }


def test_configuration_of_the_site_is_that_of_production(settings: Path) -> None:
    done = compose(settings, "config")
    found = yaml.safe_load(done.stdout)["services"]
    for name in ("web", "worker", "beat", "setup"):
        environment = found[name]["environment"]
        assert environment["ENVIRONMENT"] == "production"
        assert (environment["ALLOWED_HOSTS"], environment["HTTPS_ONLY"]) == ("symbols.example.com", "true")
        assert str(environment["TRUSTED_PROXIES"]) == "1"


@pytest.mark.parametrize("path", ["tls.yml", "monitoring.yml"])
def test_logs_of_each_container_are_bounded(path: str) -> None:
    for service in services(HERE / path).values():
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_services_that_only_this_host_has_are_restarted() -> None:
    own = {**services(HERE / "monitoring.yml"), "caddy": services(HERE / "tls.yml")["caddy"]}
    assert {service["restart"] for service in own.values()} == {"unless-stopped"}
