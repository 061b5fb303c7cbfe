"""Tests of the links between the documents and of the index of decision records."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tecken import __version__
from tecken.settings import BASE_DIR

DOCUMENTS = sorted([*BASE_DIR.glob("*.md"), *(BASE_DIR / "docs").rglob("*.md")])
RECORDS = BASE_DIR / "docs" / "adr"
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = ("http", "mailto", "/")  # other sites, and paths of this site
FOLDERS = ("tecken", "tests", "run", "bench", "docs", "docker", "deploy")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[^`\s]*)`")
FILE = re.compile(r"`([\w/]+\.(?:py|lua))`")
PLACEHOLDER = re.compile(r"[<>*]|/(test_)?x\.|/x/")
TEST = re.compile(r"`(test_\w+)`")
TESTS_OF_EXAMPLES = {"test_it_is_told", "test_upload_without_token_returns_403"}


def prose(document: Path) -> str:
    return FENCED.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """Return the anchors that a forge makes from the headings of a document."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def is_dead(link: str, document: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(BASE_DIR).as_posix())
def test_links_of_a_document_lead_to_existing_headings(document: Path) -> None:
    links = [link for link in LINK.findall(prose(document)) if not link.startswith(ELSEWHERE)]
    assert [link for link in links if is_dead(link, document)] == []


@pytest.fixture(scope="module")
def files() -> list[str]:
    """Paths of all files that documents may name."""
    inside = (path for folder in FOLDERS for path in (BASE_DIR / folder).rglob("*.*"))
    return [f"/{path.relative_to(BASE_DIR).as_posix()}" for path in (*BASE_DIR.glob("*.py"), *inside)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(BASE_DIR).as_posix())
def test_paths_that_a_document_names_exist(document: Path) -> None:
    paths = [path for path in PATH.findall(document.read_text()) if not PLACEHOLDER.search(path)]
    assert [path for path in paths if not (BASE_DIR / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(BASE_DIR).as_posix())
def test_files_that_a_document_names_without_folder_exist(document: Path, files: list[str]) -> None:
    names = [name for name in FILE.findall(document.read_text()) if not PLACEHOLDER.search(name)]
    assert [name for name in names if not any(file.endswith(f"/{name}") for file in files)] == []


def test_files_in_diagrams_of_the_architecture_exist(files: list[str]) -> None:
    diagrams = "".join(FENCED.findall((BASE_DIR / "docs" / "architecture.md").read_text()))
    names = re.findall(r"[\w/]+\.(?:py|lua)\b", diagrams)
    assert len(names) > 20
    assert [name for name in names if not any(file.endswith(f"/{name}") for file in files)] == []


def test_tests_that_documents_name_exist() -> None:
    code = "".join(path.read_text() for path in (BASE_DIR / "tests").rglob("test_*.py"))
    named = {name for path in DOCUMENTS for name in TEST.findall(path.read_text())} - TESTS_OF_EXAMPLES
    assert sorted(name for name in named if f"def {name}(" not in code) == []


def test_decision_records_that_code_names_exist() -> None:
    code = "".join(path.read_text() for path in (BASE_DIR / "tecken").rglob("*.py"))
    named = set(re.findall(r"\bdocs/adr/[\w-]+\.md", code))
    assert sorted(name for name in named if not (BASE_DIR / name).exists()) == []


def test_index_of_decision_records_lists_every_record() -> None:
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (RECORDS / "README.md").read_text())
    assert listed == sorted(path.name for path in RECORDS.glob("[0-9]*.md"))


@pytest.mark.parametrize("record", sorted(RECORDS.glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_decision_record_has_the_four_headings(record: Path) -> None:
    headings = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Measured by"]


def test_index_lists_every_document() -> None:
    docs = BASE_DIR / "docs"
    documents = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - {"index.md"}
    listed = re.findall(r"^\* \[[^]]+\]\(([^)]+)\)", (docs / "index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(name for name in documents if not re.match(r"adr/\d", name))


def test_newest_release_in_the_changelog_is_the_version() -> None:
    changelog = (BASE_DIR / "CHANGELOG.md").read_text()
    first, newest, *_ = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert first == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d", newest)


def test_benchmarks_that_documents_name_exist() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"\bbench\.([a-z_]+)", path.read_text())}
    assert sorted(name for name in named if not (BASE_DIR / "bench" / f"{name}.py").exists()) == []
