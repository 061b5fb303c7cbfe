"""Figures of readability, which tests/test_house.py limits and `python -m tests.support.style` prints.

Code is measured in `tecken` and `run`, without migrations and empty files. An `__init__.py` with nothing but
a docstring documents its package, and is not counted as a module. Prose is every docstring, comment and log
line there, the templates, the README and the documents. With `--words` every banned word is listed.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("tecken", "run")
SHORT_MODULE_LINES = 40
# A docstring that begins with one of these describes a relation instead of an action or a thing.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        about after also as at before beside besides by else for from here how if in it like no nobody not
        nothing of on one over past so that then there they to under until we what when where whether which
        who whoever whose why with without
        """,
    )
)
IRREGULAR_PARTICIPLES = frozenset(
    re.findall(
        r"\w+",
        """
        begun bought brought built drawn found given gone held kept known left lost made meant said seen sent
        shown spelt spent spoken sworn taken thought told written
        """,
    )
)
VERBS_IN_ED = frozenset({"embed", "exceed", "feed", "need", "proceed", "seed", "shed", "speed"})
BANNED = re.compile(
    r"\b(whoever|somebody|nobody|anew|mend(?:s|ed|ing)?|is away|are away|goes|knows? of|of which"
    r"|as \w+ has it|it (?:says|asks|hears|forgets)|knock(?:s|ed)?|is patient|what was \w+ed)\b",
    re.IGNORECASE,
)
SYMBOL_FORMAT = re.compile(r"\.sym\b|[Bb]reakpad")
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "critical", "exception"})

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Prose(NamedTuple):
    """A piece of text that people read, and where it begins."""

    path: Path
    line: int
    text: str

    def line_of(self, position: int) -> int:
        """Return the line of the file that has the text's character at `position`."""
        return self.line + self.text.count("\n", 0, position)


class Source:
    """Module of the code base."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text)))

    @property
    def is_package_docstring(self) -> bool:
        """Whether this is an `__init__.py` without code."""
        return self.path.name == "__init__.py" and all(
            isinstance(node, ast.Expr) and _is_text(node.value) for node in ast.parse(self.text).body
        )

    @cached_property
    def comments(self) -> list[tuple[int, str, bool]]:
        """Number and text of each comment, and whether it stands on a line of its own."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [
            (token.start[0], token.string.lstrip("#! "), not token.line[: token.start[1]].strip())
            for token in tokens
            if token.type == tokenize.COMMENT and not token.string.startswith("#!")
        ]

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))

    @property
    def docstrings(self) -> Iterator[str]:
        documented = (node for node in self.nodes if isinstance(node, Documented))
        return (text for node in documented if (text := ast.get_docstring(node)))

    def prose(self) -> Iterator[Prose]:
        """Yield the comments, the docstrings of everything including variables, and the log lines."""
        for line, text, _ in self.comments:
            yield Prose(self.path, line, text)
        for node in self.nodes:
            if isinstance(node, ast.Expr) and _is_text(node.value):
                yield Prose(self.path, node.lineno, str(ast.literal_eval(node.value)))
            elif isinstance(node, ast.Call) and _is_log_call(node):
                texts = (str(part.value) for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant))
                yield Prose(self.path, node.lineno, "".join(texts))


class Figures(NamedTuple):
    """The figures of one checkout. Shares are fractions of 1."""

    docstrings_with_function_word: float
    participle_names: float
    comments_per_100_lines: float
    modules: int
    short_modules: float
    classes_defined_twice: int
    symbol_format_modules: int
    contract_layers: int
    function_p90_lines: int
    banned_words: int


def measure(root: Path) -> Figures:
    """Return the figures of the checkout at `root`."""
    sources = list(find_sources(root))
    modules = [source for source in sources if not source.is_package_docstring]
    functions = [function for source in sources for function in source.functions]
    docstrings = [text for source in sources for text in source.docstrings]
    names = [
        name for function in functions if (name := function.name.strip("_")) and not _is_dunder(function)
    ]
    lines = sum(source.lines for source in sources)
    own_lines = sum(is_own for source in sources for _, _, is_own in source.comments)
    return Figures(
        docstrings_with_function_word=_share(map(begins_with_function_word, docstrings)),
        participle_names=_share(map(is_participle, names)),
        comments_per_100_lines=round(100 * own_lines / lines, 2),
        modules=len(modules),
        short_modules=_share(source.lines < SHORT_MODULE_LINES for source in modules),
        classes_defined_twice=len(find_repeated_classes(sources)),
        symbol_format_modules=sum(_has_symbol_format(source) for source in sources),
        contract_layers=_count_layers(root / "pyproject.toml"),
        function_p90_lines=sorted(map(_length, functions))[len(functions) * 9 // 10],
        banned_words=len(find_banned_words(root, sources)),
    )


def find_sources(root: Path) -> Iterator[Source]:
    """Yield every module that is measured."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            source = Source(path)
            if "migrations" not in path.parts and source.lines > 1:
                yield source


def find_banned_words(root: Path, sources: Iterable[Source]) -> list[str]:
    """Return `path:line: word` of each banned word in the prose of the checkout."""
    pieces = [*find_documents(root), *(piece for source in sources for piece in source.prose())]
    return [
        f"{piece.path.relative_to(root)}:{piece.line_of(match.start())}: {match[0]}"
        for piece in pieces
        for match in BANNED.finditer(piece.text)
    ]


def find_documents(root: Path) -> Iterator[Prose]:
    """Yield the README, the documents and the templates, without code and tags."""
    for path in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        yield Prose(path, 1, _blank(r"```.*?```|`[^`\n]*`|\"[^\"\n]*\"", path.read_text()))
    for path in sorted((root / "tecken").rglob("templates/**/*")):
        if path.suffix in (".html", ".txt"):
            yield Prose(path, 1, _blank(r"\{[%{#].*?[%}#]\}|<(style|script).*?</\1>|<.*?>", path.read_text()))


def find_repeated_classes(sources: Iterable[Source]) -> list[str]:
    """Return the names that more than one class has."""
    names = Counter(
        node.name for source in sources for node in source.nodes if isinstance(node, ast.ClassDef)
    )
    return sorted(name for name, count in names.items() if count > 1)


def find_causes(root: Path, figure: str) -> list[str]:
    """Return what makes up a figure, or where to read about its bound; nothing for other figures."""
    sources = list(find_sources(root))
    if figure == "banned_words":
        return find_banned_words(root, sources)
    if figure == "classes_defined_twice":
        return find_repeated_classes(sources)
    if figure == "docstrings_with_function_word":
        texts = (text for source in sources for text in source.docstrings)
        return [text.partition("\n")[0] for text in texts if begins_with_function_word(text)]
    if figure == "modules":
        return ['"How to add something" in docs/contributing.md has the modules that raise this bound']
    if figure == "symbol_format_modules":
        return [str(source.path.relative_to(root)) for source in sources if _has_symbol_format(source)]
    if figure == "participle_names":
        names = ((source.path, function.name) for source in sources for function in source.functions)
        return [f"{path.relative_to(root)}: {name}" for path, name in names if is_participle(name.strip("_"))]
    return []


def begins_with_function_word(docstring: str) -> bool:
    """Return whether the first word is a preposition, a pronoun or a conjunction."""
    words = re.findall(r"[A-Za-z']+", docstring)
    return bool(words) and words[0].lower() in FUNCTION_WORDS


def is_participle(name: str) -> bool:
    """Return whether the name of a function is one past participle, such as `told` or `wanted`."""
    return name in IRREGULAR_PARTICIPLES or (
        "_" not in name and name.endswith("ed") and name not in VERBS_IN_ED
    )


def _blank(pattern: str, text: str) -> str:
    """Remove all matches, but keep their line breaks, so that line numbers stay right."""
    return re.sub(pattern, lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_log_call(node: ast.Call) -> bool:
    function = node.func
    is_logger = isinstance(function, ast.Attribute) and "log" in ast.unparse(function.value).lower()
    return bool(
        is_logger and isinstance(function, ast.Attribute) and function.attr in LOG_METHODS and node.args
    )


def _is_dunder(function: Function) -> bool:
    return function.name.startswith("__") and function.name.endswith("__")


def _has_symbol_format(source: Source) -> bool:
    return source.path.name != "__init__.py" and SYMBOL_FORMAT.search(source.text) is not None


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _share(matches: Iterable[bool]) -> float:
    found = list(matches)
    return round(sum(found) / max(len(found), 1), 3)


def _count_layers(project: Path) -> int:
    contracts = tomllib.loads(project.read_text())["tool"]["importlinter"]["contracts"]
    return max(len(contract.get("layers", ())) for contract in contracts)


def main() -> None:
    """Print the figures, and with `--words` every banned word and its place."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--words"]
    root = Path(arguments[0] if arguments else ".").resolve()
    for name, value in measure(root)._asdict().items():
        print(f"{name.replace('_', ' '):32}{value:>8}")
    if "--words" in sys.argv:
        print("\n".join(find_banned_words(root, find_sources(root))))


if __name__ == "__main__":
    main()
