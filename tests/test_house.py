"""The documents say what the code does, and the code keeps to the house rules."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tecken.settings import BASE_DIR
from tests.support import style
from tests.test_settings import load

LONGEST_FUNCTION = 60


class Limit(NamedTuple):
    """`bound` is what the test enforces: the goal, or today's figure until the goal is reached."""

    goal: float
    bound: float


# The goal of 200 modules was set for fewer formats and protocols. Add modules with a reason, one line each.
ADDED_MODULES = {
    "native formats and kinds of archives, one each": 15,
    "the engine in Python, a program of its own": 6,
    "native files in storage: the form of content, content and references, their rows, and their check": 4,
    "download protocols: themselves, sections, builds by name, and responses for all of them": 5,
    "CAB files: their headers, the engine in Python, the file in one, and their place in uploads": 4,
    "RPM packages": 1,
    "stores of symstore: their layout, and their import": 2,
    "upstreams: entries, layouts, transports, buckets, native files and theirs, addresses, build ids": 8,
    "platforms by names and ids": 1,
    "URLs of storage": 1,
    "source code: the format of bundles, storage, the API, the page, and bundles that the client makes": 5,
    "the search by any id, which pages and the API share": 1,
    "descriptions of symbolication and downloads in OpenAPI, their schemas, and the page with them": 4,
    "symbols of upstreams: records, a page, and their place in the API": 3,
    "answers without Django: downloads, facts for which they wait, and what they share with symbolication": 3,
    "the version of the site, and the notes of a release": 2,
    "the client as one file, its version, and the client for crash reports": 3,
    "crash reports as text: the endpoint, and reports with functions, which it shares with the page": 2,
    "kinds of crash reports, one each, and the texts, tables and places that they share": 25,
    "origin of uploads": 1,
    "the client: options, where an upload is from, output, and one for each of two protocols": 5,
    "the command of tokens": 1,
    "the page that adds the upload to a CI": 1,
    "what an upload resolved: modules that were missing, and their uses": 2,
    "the guided tour": 1,
    "remedies of missing modules, and the facts about modules that they need": 2,
    "texts that users share, with how far they could be symbolicated": 1,
    "the doctor: checks of servers, fleet and URL, a visitor, round trip, report, command and API": 9,
    "exceptions to limits": 1,
    "the size of the store: advice, and its place on the page": 2,
    "usage: its page, figures, rows, and the exceptions that it shows": 4,
    "the configuration: the moments of polls in a fleet": 1,
    "the configuration: the undo of a version": 1,
    "the doctor: eight parts, its command, its operation of the API, and its page": 11,
    "the search of files: its places, and the chain of sources": 2,
    "what redis-cache has about files: presence, searches and misses are three nouns": 2,
    "backups: two commands, the destination, copies of storage, database and redis-cache, restore, upkeep": 8,
    "imports: the list of a place, layouts, reading, storing, the check, and their command": 6,
    "accounts of Mozilla's Tecken: tables, accounts, uploads, and their command": 4,
    "sources of Symbolicator, and their command": 2,
    "child processes with limits, and frames, which such a process imports without the rest": 2,
    "files in forms, which uploads and minidumps share": 1,
    "minidumps: reader, contexts, reasons, unwinding, report, process, queue, endpoint, page, command": 45,
    "summaries of minidumps: values of any type, threads, and the rest of a report": 3,
    "core files: reader, ELF files in them, and the first bytes of dumps": 3,
    "commands without system checks": 1,
    "analysis of crashes: findings, protections, itself, code, its text, flips, contradictions, stack": 9,
}
# A bound may only move towards its goal, except that of `modules`: it grows by one with each module that a
# list in docs/contributing.md asks for. `python -m tests.support.style` prints the figures of today.
MAXIMA = {
    "docstrings_with_function_word": Limit(goal=0.03, bound=0.03),
    "participle_names": Limit(goal=0.03, bound=0.03),
    # An `__init__.py` with nothing but a docstring is documentation: every package has one, so that its
    # purpose stands next to the code. Neither of the next two figures counts it.
    "modules": Limit(goal=200, bound=200 + sum(ADDED_MODULES.values())),
    "short_modules": Limit(goal=0.12, bound=0.12),
    "classes_defined_twice": Limit(goal=15, bound=15),
    "symbol_format_modules": Limit(goal=8, bound=8),
    "contract_layers": Limit(goal=10, bound=10),
    "function_p90_lines": Limit(goal=20, bound=20),
    # Three examples of words to avoid, and a line that a start prints.
    "banned_words": Limit(goal=0, bound=3),
}
MINIMA = {"comments_per_100_lines": Limit(goal=2.0, bound=2.0)}
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
    """Return the value as the environment and the document write it."""
    text = ",".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return text.replace(str(BASE_DIR), "CHECKOUT")


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver) and not pattern.namespace:  # one with a namespace is a library's
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def test_settings_read_are_those_documented() -> None:
    assert sorted(documented_settings()) == sorted(names_read(BASE_DIR / "tecken" / "settings.py"))


def test_settings_have_the_documented_defaults() -> None:
    settings = load()
    documented = documented_settings()
    assert {name: spelt(settings[name]) for name in documented} == documented


def test_environment_is_read_by_settings_only() -> None:
    readers = [path for path in SOURCES if re.search(r"\benviron\b|getenv|import environs", path.read_text())]
    names = {path.relative_to(BASE_DIR / "tecken").as_posix() for path in readers}
    assert names <= {
        "settings.py",
        *("wsgi.py", "celery.py"),  # name the settings module
        "front/__main__.py",  # starts processes and has no settings
        *("client/options.py", "client/symbolicate.py"),  # programs of their own
    }


def test_urls_are_documented() -> None:
    documented = (BASE_DIR / "docs" / "api.md").read_text()
    heading = r"(GET|POST|PUT) {}(`|$)"
    urls = list(routes(get_resolver().url_patterns))
    assert [
        url for url in urls if not re.search(heading.format(re.escape(url)), documented, re.MULTILINE)
    ] == []


def test_make_help_shows_every_documented_target() -> None:
    documented = re.findall(r"^([a-z0-9-]+):.*?## (.+)$", (BASE_DIR / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make", "help"], cwd=BASE_DIR, capture_output=True, text=True, check=True).stdout
    for target, text in documented:
        assert re.search(rf"^  make {target} +{re.escape(text)}$", shown, re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(BASE_DIR).as_posix())
def test_functions_are_short(path: Path) -> None:
    long = [f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno >= LONGEST_FUNCTION]
    assert long == []


@pytest.fixture(scope="module")
def figures() -> style.Figures:
    return style.measure(BASE_DIR)


def test_style_limits_bound_every_figure() -> None:
    assert {*MAXIMA, *MINIMA} == {*style.Figures._fields}


@pytest.mark.parametrize("name", MAXIMA)
def test_style_figure_is_at_most_its_bound(name: str, figures: style.Figures) -> None:
    assert getattr(figures, name) <= MAXIMA[name].bound, "\n".join(style.find_causes(BASE_DIR, name))


@pytest.mark.parametrize("name", MINIMA)
def test_style_figure_is_at_least_its_bound(name: str, figures: style.Figures) -> None:
    assert getattr(figures, name) >= MINIMA[name].bound


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Return the states that are known to this process.", []),
        ("Nobody knows of it, and whoever asks goes away.", ["Nobody", "knows of", "whoever", "goes"]),
        ("As HTTP has it, mends what somebody broke anew.", ["As HTTP has it", "mends", "somebody", "anew"]),
    ],
)
def test_style_banned_words_of_a_text_are_found(text: str, words: list[str]) -> None:
    assert [match[0] for match in style.BANNED.finditer(text)] == words


@pytest.mark.parametrize(
    ("name", "expected"),
    [("told", True), ("wanted", True), ("is_wanted", False), ("need", False), ("find", False)],
)
def test_style_participle_is_a_single_word(name: str, expected: bool) -> None:
    assert style.is_participle(name) is expected


def test_style_docstring_with_function_word_is_found() -> None:
    texts = ("What a request needs.", "Of one module.", "Return one module.", "Cache of modules.")
    assert [style.begins_with_function_word(text) for text in texts] == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("__init__.py", '"""Package of symbols."""\n', True),
        ("__init__.py", '"""Package of symbols."""\nX = 1\n', False),
        ("module.py", '"""Module of symbols."""\n', False),
    ],
)
def test_style_package_docstring_is_an_init_without_code(
    tmp_path: Path, name: str, text: str, expected: bool
) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert style.Source(path).is_package_docstring is expected


def test_style_prose_of_a_module_has_docstrings_comments_and_log_lines(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""First."""\n# Second.\nX = 1  # Third.\n"""Fourth."""\nlogger.warning(f"Fifth {X}: %s", "Sixth")\n'
    )
    source = style.Source(path)
    assert sorted(piece.text for piece in source.prose()) == [
        "Fifth : %s",
        "First.",
        "Fourth.",
        "Second.",
        "Third.",
    ]
    assert [is_own for _, _, is_own in source.comments] == [True, False]
