"""The documents say what the code does, and the code keeps to the house rules."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tecken.settings import BASE_DIR
from tests.test_settings import load

LONGEST_FUNCTION = 60
SOURCES = sorted((BASE_DIR / "tecken").rglob("*.py"))
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\|", re.MULTILINE)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def names_read(path: Path) -> Iterator[str]:
    """`env.int("NAME", ...)` and the like."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("env.") and node.args:
            yield str(ast.literal_eval(node.args[0]))


def documented_settings() -> dict[str, str]:
    return dict(ROW.findall((BASE_DIR / "docs" / "configuration.md").read_text()))


def spelt(value: object) -> str:
    """As in a variable and in the document."""
    text = ",".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return text.replace(str(BASE_DIR), "CHECKOUT")


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver) and not pattern.namespace:  # one with a namespace is a library's
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def test_every_setting_is_documented_and_every_documented_setting_is_read() -> None:
    assert sorted(documented_settings()) == sorted(names_read(BASE_DIR / "tecken" / "settings.py"))


def test_documented_defaults_are_the_defaults() -> None:
    settings = json.loads(load().stdout)
    documented = documented_settings()
    assert {name: spelt(settings[name]) for name in documented} == documented


def test_only_the_settings_read_the_environment() -> None:
    readers = [path for path in SOURCES if re.search(r"\benviron\b|getenv|import environs", path.read_text())]
    names = {path.relative_to(BASE_DIR / "tecken").as_posix() for path in readers}
    assert names <= {
        "settings.py",
        *("wsgi.py", "celery.py"),  # name the settings module
        "front/__main__.py",  # starts processes and has no settings
        "client/command.py",  # a program of its own
    }


def test_every_url_is_documented() -> None:
    documented = (BASE_DIR / "docs" / "api.md").read_text()
    heading = r"(GET|POST|PUT) {}(`|$)"
    urls = list(routes(get_resolver().url_patterns))
    assert [
        url for url in urls if not re.search(heading.format(re.escape(url)), documented, re.MULTILINE)
    ] == []


def test_make_help_shows_every_documented_target() -> None:
    documented = re.findall(r"^([a-z-]+):.*?## (.+)$", (BASE_DIR / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make", "help"], cwd=BASE_DIR, capture_output=True, text=True, check=True).stdout
    for target, text in documented:
        assert re.search(rf"^  make {target} +{re.escape(text)}$", shown, re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(BASE_DIR).as_posix())
def test_no_function_needs_scrolling(path: Path) -> None:
    long = [f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno >= LONGEST_FUNCTION]
    assert long == []
