"""docs/upload.md, "From CI": its commands run, and its table is what `--help` says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tecken.client.__main__ import DONE, main
from tecken.client.options import EPILOG
from tecken.settings import BASE_DIR
from tests.client.conftest import MakeSym
from tests.client.server import SymbolServer

SECTION = (BASE_DIR / "docs" / "upload.md").read_text().split("\n## From CI\n")[1].split("\n## ")[0]
PROGRAM = r"(?:tecken-upload|python3? tecken-upload\.pyz)"
COMMANDS = re.findall(rf"^[ -]*(?:run: )?(?:curl .*&& )?{PROGRAM} (.*)$", SECTION, re.MULTILINE)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_document_commands_succeed(
    arguments: str, server: SymbolServer, make_sym: MakeSym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sym("build/symbols/x.sym")
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(arguments)) == DONE


def test_document_shows_both_forms_and_three_kinds_of_ci() -> None:
    assert len(COMMANDS) == 6


def test_document_lists_the_exit_statuses_of_the_program() -> None:
    told = re.findall(r"^ *(\d+)  ", EPILOG, re.MULTILINE)
    assert re.findall(r"^\| (\d+) \|", SECTION, re.MULTILINE) == told == ["0", "1", "2", "75"]
