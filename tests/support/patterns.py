"""Every regular expression of the code, and the ways in which it is matched."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from tecken.settings import BASE_DIR
from tests.support.regex_steps import Way

WAYS: dict[str, Way] = {
    "match": "match",
    "fullmatch": "fullmatch",
    **dict.fromkeys(("search", "findall", "finditer", "sub", "subn", "split"), "search"),
}
EACH: tuple[Way, ...] = ("match", "fullmatch", "search")
PACKAGES = ("tecken", "run")
USE = re.compile(rf"\b(\w+)\s*\.\s*({'|'.join(WAYS)})\b")


class Found(NamedTuple):
    """A pattern, where it is, and how the code matches it."""

    place: str
    pattern: re.Pattern[Any]
    way: Way


class Unreadable(NamedTuple):
    """A pattern that is put together at run time."""

    module: str
    source: str


def modules() -> Iterator[tuple[ModuleType, str]]:
    """Yield each module with its source."""
    for package in PACKAGES:
        for path in sorted((BASE_DIR / package).rglob("*.py")):
            if "migrations" not in path.parts and path.name != "__main__.py":
                yield importlib.import_module(_name(path)), path.read_text()


def _name(path: Path) -> str:
    parts = path.relative_to(BASE_DIR).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def every_pattern() -> tuple[list[Found], set[Unreadable]]:
    """Return the patterns of the code, of URLs and of settings, and those that only the run time knows."""
    loaded = list(modules())
    used = _uses(source for _module, source in loaded)
    found: dict[tuple[Any, int, Way], Found] = {}
    unreadable: set[Unreadable] = set()
    for module, source in loaded:
        for call, names in _calls(source) if hasattr(module, "re") else ():
            try:
                pattern = _evaluated(module, call)
            except NameError:
                unreadable.add(Unreadable(module.__name__, ast.unparse(call.args[0])))
                continue
            assert isinstance(call.func, ast.Attribute)
            method = call.func.attr
            methods = {method} if method != "compile" else set().union(*(used[name] for name in names))
            for way in _ways(methods):
                place = f"{module.__name__}:{call.lineno}"
                found.setdefault((pattern.pattern, pattern.flags, way), Found(place, pattern, way))
    known = {(pattern, flags) for pattern, flags, _way in found}
    for place, pattern in (*_in_namespaces(module for module, _source in loaded), *_of_settings()):
        if (pattern.pattern, pattern.flags) not in known:
            for way in EACH:
                found.setdefault((pattern.pattern, pattern.flags, way), Found(place, pattern, way))
    for pattern in _of_urls(get_resolver()):
        found.setdefault((pattern.pattern, pattern.flags, "search"), Found("URLs", pattern, "search"))
    # Every process of a parallel run must collect the tests in one order, and sets have none.
    return sorted(found.values(), key=lambda each: (each.place, each.way, str(each.pattern))), unreadable


def _ways(methods: set[str]) -> set[Way]:
    """Return how it is matched: in each way when the code does not tell."""
    return {WAYS[method] for method in methods if method in WAYS} or set(EACH)


def _calls(source: str) -> Iterator[tuple[ast.Call, list[str]]]:
    """Yield each call of `re`, with the names that its result is assigned to."""
    names: dict[ast.AST, list[str]] = defaultdict(list)
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and value is not None:
            names[value] = [target.id for target in targets if isinstance(target, ast.Name)]
    for node in nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in {"compile", *WAYS}
        ):
            yield node, names[node]


def _uses(sources: Iterable[str]) -> dict[str, set[str]]:
    """Return the methods that are taken of each name, in whichever module."""
    used: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        for name, method in USE.findall(source):
            used[name].add(method)
    return used


def _evaluated(module: ModuleType, call: ast.Call) -> re.Pattern[Any]:
    """Compile the pattern as the module does. Raises NameError for one made of local variables."""
    assert isinstance(call.func, ast.Attribute)
    flags_at = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(call.func.attr, 2)
    given = [word.value for word in call.keywords if word.arg == "flags"] + call.args[flags_at : flags_at + 1]
    pattern = eval(_code(call.args[0]), vars(module))
    flags = eval(_code(given[0]), vars(module)) if given else 0
    return re.compile(pattern, flags)


def _code(expression: ast.expr) -> Any:
    return compile(ast.Expression(expression), "<pattern>", "eval")


def _in_namespaces(loaded: Iterable[ModuleType]) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield patterns under any name of a module, however they were made or imported."""
    for module in loaded:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{module.__name__}.{name}", value


def _of_settings() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the settings that Django compiles."""
    for name in ("SECURE_REDIRECT_EXEMPT", "DISALLOWED_USER_AGENTS", "IGNORABLE_404_URLS"):
        for pattern in getattr(settings, name):
            yield f"settings.{name}", re.compile(pattern)


def _of_urls(resolver: URLResolver) -> Iterator[re.Pattern[str]]:
    for inner in resolver.url_patterns:
        assert isinstance(inner, URLPattern | URLResolver)
        yield inner.pattern.regex
        if isinstance(inner, URLResolver):
            yield from _of_urls(inner)
