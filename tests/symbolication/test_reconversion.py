"""Native files that an older engine has converted, and the command that converts them again."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tecken.storage import services as storage_services
from tecken.storage.dump import DumpEngine, is_outdated
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tests.upload.uploaders import Makes, Uploader
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

NATIVE = Path(__file__).parents[1] / "data" / "native" / "libnative.so"
MODULE = ObjectId("libnative.so", "52F29A25810178511980D12EF214D9FA0")
OLD, NEW, RUST = "symbolic 13.9.0", "symbolic 13.10.0", "tecken-dump 0.1.0"


class Site:
    """Site whose engine a test replaces."""

    def __init__(self, uploader: Uploader, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uploader = uploader
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.use_engine(OLD, "old")
        self.upload(FileKey(MODULE.debug_file, MODULE.debug_id, "libnative.so"), NATIVE.read_bytes())

    def use_engine(self, version: str, function: str, status: int = 0) -> None:
        """Use a small program in place of an engine."""
        text = f"MODULE Linux x86_64 {MODULE.debug_id} libnative.so\nINFO GENERATOR {version}\n"
        program = self._folder / "engine"
        program.write_text(
            f"#!{sys.executable}\nimport sys\nif '--version' in sys.argv: sys.exit(print({version!r}))\n"
            f"print({text!r} + 'FUNC 1320 28 0 {function}')\nsys.exit({status})\n"
        )
        program.chmod(0o700)
        engine = DumpEngine(version.split(maxsplit=1)[0], (str(program),), {})
        self._monkeypatch.setattr(storage_services, "find_engine", lambda: engine)
        storage_services.search.cache_clear()
        symbolication_services.converter.cache_clear()

    def upload(self, key: FileKey, content: bytes) -> None:
        file = io.BytesIO(zipped({str(key): content}))
        file.name = "any"
        assert self.uploader.client.post("/upload/", {"symbols.zip": file}).status_code == 201

    def function(self) -> str:
        symbolication_services.converter().convert(MODULE)
        body = {"memoryMap": [[MODULE.debug_file, MODULE.debug_id]], "stacks": [[[0, 0x1335]]]}
        reply = self.uploader.post("/symbolicate/v5", body).json()
        function: str = reply["results"][0]["stacks"][0][0]["function"]
        return function


@pytest.fixture
def site(uploader: Makes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(uploader(), tmp_path, monkeypatch)


def reconvert(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("symbols", "reconvert", *arguments, stdout=out)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("version", [NEW, RUST])
def test_reconvert_module_of_an_older_engine_has_the_symbols_of_the_new_one(site: Site, version: str) -> None:
    assert site.function() == "old"
    site.use_engine(version, "new")
    assert site.function() == "old"
    assert reconvert() == [f"{MODULE.debug_id}: made by {OLD}", "1 converted again"]
    assert site.function() == "new"
    assert reconvert() == ["0 converted again"]


def test_reconvert_dry_run_changes_nothing(site: Site) -> None:
    assert site.function() == "old"
    site.use_engine(NEW, "new")
    assert reconvert("--dry-run") == [f"{MODULE.debug_id}: made by {OLD}", "1 would be converted again"]
    assert site.function() == "old"


def test_reconvert_named_modules_leaves_the_others(site: Site) -> None:
    assert site.function() == "old"
    site.use_engine(NEW, "new")
    assert reconvert(f"other.so/{MODULE.debug_id}") == ["0 converted again"]
    assert len(reconvert(str(MODULE))) == 2


def test_reconvert_that_fails_keeps_the_symbols(site: Site) -> None:
    assert site.function() == "old"
    site.use_engine(NEW, "new", status=2)
    with pytest.raises(CommandError, match="0 converted again, 1 failed"):
        reconvert()
    assert site.function() == "old"


def test_reconvert_leaves_uploaded_symbol_files(site: Site) -> None:
    text = (
        f"MODULE Linux x86_64 {MODULE.debug_id} libnative.so\nINFO GENERATOR {OLD}\nFUNC 1320 28 0 uploaded\n"
    )
    site.upload(FileKey(MODULE.debug_file, MODULE.debug_id, "libnative.so.sym"), text.encode())
    assert site.function() == "uploaded"
    site.use_engine(NEW, "new")
    assert reconvert() == ["0 converted again"]


def test_reconvert_without_an_engine_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_services, "find_engine", lambda: None)
    with pytest.raises(CommandError, match="no engine for native files"):
        reconvert()


@pytest.mark.parametrize(
    ("made_by", "in_use", "expected"),
    [
        (OLD, NEW, True),
        (NEW, OLD, False),
        (OLD, OLD, False),
        (OLD, RUST, True),
        (RUST, NEW, False),
        (RUST, "tecken-dump 0.2.0", True),
        ("dump_syms 2.3.9", RUST, False),
        ("", RUST, False),
    ],
)
def test_is_outdated_compares_engines_then_versions(made_by: str, in_use: str, expected: bool) -> None:
    assert is_outdated(made_by, in_use) is expected
