"""What the program prints about each file, and its JSON document."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tecken.client import __version__
from tecken.client.__main__ import DONE, SOME_FAILED, TEMPORARY, USAGE, main
from tecken.client.uploads import format_bytes
from tecken.settings import BASE_DIR
from tests.client.conftest import MakeSym
from tests.client.server import Reply, SymbolServer

Output = pytest.CaptureFixture[str]
NATIVE = BASE_DIR / "tests" / "data" / "native"
ID = "A" * 33
KEY = f"libx.so/{ID}/libx.so.sym"
ELF_ID = "52F29A25810178511980D12EF214D9FA0"
BUILD_ID = "259af252018151781980d12ef214d9fab5fe9d52"
DAMAGED = "symbol file must begin with MODULE <os> <arch> <id> <name>, not b'nothing'"
ZIP = "POST /upload/"


@pytest.fixture
def build(make_sym: MakeSym, tmp_path: Path) -> Path:
    """Return a directory with a file of each kind: two to send, one to skip, and a damaged one."""
    make_sym("build/x.sym")
    shutil.copy(NATIVE / "libnative.so", tmp_path / "build" / "tool")
    shutil.copy(NATIVE / "without-id.wasm", tmp_path / "build" / "app.wasm")
    (tmp_path / "build" / "bad.sym").write_text("nothing")
    return tmp_path / "build"


def reply_to_build(server: SymbolServer) -> None:
    warning = {"key": f"v1/{KEY}", "message": "no FUNC"}
    upload = {"id": 12, "skipped_keys": [f"v1/tool/{ELF_ID}/tool"], "warnings": [warning]}
    server.script[ZIP] = Reply(201, {"upload": upload})


def test_report_has_a_line_for_each_file_with_its_ids(
    server: SymbolServer, build: Path, capsys: Output
) -> None:
    reply_to_build(server)
    assert main([str(build)]) == SOME_FAILED
    size = format_bytes((build / "tool").stat().st_size)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:-2] == [
        f"skipped       {build}/app.wasm: has no build_id section: nothing can find its symbols, so build "
        "it with one",
        f"stored        {build}/x.sym  debug id {ID}  76 B",
        f"there before  {build}/tool  debug id {ELF_ID}, build id {BUILD_ID}  {size}",
    ]
    assert lines[-2].endswith(": 1 stored, 1 there before, 1 skipped, 1 failed, 1 with warnings")
    assert lines[-1] == f"{server.url}/uploads/12/"
    assert err.splitlines() == [
        f"tecken-upload: failed: {build}/bad.sym: {DAMAGED}",
        f"tecken-upload: warning: {build}/x.sym: no FUNC",
    ]


def test_report_quiet_has_problems_and_the_address_alone(
    server: SymbolServer, build: Path, capsys: Output
) -> None:
    reply_to_build(server)
    assert main([str(build), "--quiet"]) == SOME_FAILED
    out, err = capsys.readouterr()
    assert out == f"{server.url}/uploads/12/\n"
    assert len(err.splitlines()) == 2


def test_report_json_is_one_document(server: SymbolServer, build: Path, capsys: Output) -> None:
    reply_to_build(server)
    options = ("--build", "7", "--branch", "", "--commit", "", "--note", "")
    target = "POST /upload/?build=7"
    server.script[target] = server.script[ZIP]
    assert main([str(build), "--json", *options]) == SOME_FAILED
    document = json.loads(capsys.readouterr().out)
    files = {Path(entry.pop("path")).name: entry for entry in document.pop("files")}
    sizes = {name: (build / name).stat().st_size for name in ("x.sym", "tool")}
    nothing: dict[str, object] = {
        "keys": [],
        "size": 0,
        "debug_ids": [],
        "build_ids": [],
        "code_ids": [],
        "warnings": [],
    }
    assert files == {
        "x.sym": {
            **nothing,
            "keys": [KEY],
            "size": sizes["x.sym"],
            "debug_ids": [ID],
            "state": "stored",
            "reason": None,
            "warnings": ["no FUNC"],
        },
        "tool": {
            **nothing,
            "keys": [f"tool/{ELF_ID}/tool"],
            "size": sizes["tool"],
            "debug_ids": [ELF_ID],
            "build_ids": [BUILD_ID],
            "state": "there before",
            "reason": None,
        },
        "app.wasm": {
            **nothing,
            "state": "skipped",
            "reason": "has no build_id section: nothing can find its symbols, so build it with one",
        },
        "bad.sym": {**nothing, "state": "failed", "reason": DAMAGED},
    }
    assert document == {
        "version": __version__,
        "site": f"{server.url}/",
        "exit_status": SOME_FAILED,
        "error": None,
        "origin": {"build": "7", "branch": "", "commit": "", "note": ""},
        "uploads": [f"{server.url}/uploads/12/"],
        "totals": {
            "files": 4,
            "bytes": sum(sizes.values()),
            "failed": 1,
            "not_sent": 0,
            "skipped": 1,
            "stored": 1,
            "there_before": 1,
            "warnings": 1,
        },
    }


def test_report_json_of_a_refused_token_has_the_error(
    server: SymbolServer, make_sym: MakeSym, capsys: Output
) -> None:
    server.script["POST /upload/auth_info/"] = Reply(403, {"error": "API Token not matched"})
    assert main([str(make_sym("x.sym")), "--json"]) == USAGE
    document = json.loads(capsys.readouterr().out)
    assert document["error"].endswith("403 API Token not matched")
    assert document["exit_status"] == USAGE
    assert [entry["state"] for entry in document["files"]] == ["not sent"]


def test_report_json_without_files_is_a_document(
    server: SymbolServer, tmp_path: Path, capsys: Output
) -> None:
    assert main([str(tmp_path), "--json"]) == USAGE
    document = json.loads(capsys.readouterr().out)
    assert (document["error"], document["files"]) == ("no symbol files found", [])


def test_report_json_and_quiet_exclude_each_other(server: SymbolServer, make_sym: MakeSym) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(make_sym("x.sym")), "--json", "--quiet"])
    assert ended.value.code == USAGE


@pytest.mark.usefixtures("no_pauses")
def test_report_of_an_interrupted_upload_counts_what_was_not_sent(
    server: SymbolServer, make_sym: MakeSym, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        make_sym(f"{number}.sym", debug_id=str(number) * 33)
    monkeypatch.setattr("tecken.client.archives.MAX_BATCH_FILES", 1)
    server.script[ZIP] = [Reply(201, {"upload": {"id": 1}}), Reply(503)]
    assert main([str(tmp_path)]) == TEMPORARY
    out = capsys.readouterr().out.splitlines()
    assert out[-2].endswith(": 1 stored, 0 there before, 2 not sent")
    assert out[-1] == f"{server.url}/uploads/1/"


def test_report_file_with_two_keys_is_one_line(server: SymbolServer, tmp_path: Path, capsys: Output) -> None:
    shutil.copy(NATIVE / "native.exe", tmp_path / "app.exe")
    server.script[ZIP] = Reply(201, {"upload": {"id": 1}})
    assert main([str(tmp_path)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(server.only(ZIP).members()) == 2
    assert len(lines) == 3
    assert "debug id" in lines[0]
    assert "code id" in lines[0]
    assert lines[1].startswith("1 file, ")


def test_report_names_a_file_that_only_the_server_has_found(
    server: SymbolServer, make_sym: MakeSym, capsys: Output
) -> None:
    warning = {"key": "v1/other.pdb/AB/other.pdb", "message": "not stored: too large", "stored": False}
    server.script[ZIP] = Reply(201, {"upload": {"warnings": [warning]}})
    assert main([str(make_sym("x.sym"))]) == SOME_FAILED
    out, err = capsys.readouterr()
    assert err == "tecken-upload: failed: other.pdb/AB/other.pdb: not stored: too large\n"
    assert out.endswith(": 1 stored, 0 there before, 1 failed\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_report_characters_that_a_console_does_not_have_are_escaped(
    server: SymbolServer, make_sym: MakeSym, encoding: str
) -> None:
    path = make_sym("日本語.sym", name="日本語.pdb")
    ended = subprocess.run(
        [sys.executable, "-m", "tecken.client", str(path), "--dry-run"],
        cwd=BASE_DIR,
        env={"PYTHONIOENCODING": encoding, "PATH": ""},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (DONE, b"")
    shown = "日本語" if encoding == "utf-8" else "\\u65e5\\u672c\\u8a9e"
    assert shown in ended.stdout.decode(encoding)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_345_678, "12.3 MB")]
)
def test_format_bytes_has_a_unit(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_report_of_an_upload_that_has_not_begun_has_no_totals(
    server: SymbolServer, build: Path, capsys: Output
) -> None:
    server.script["POST /upload/auth_info/"] = Reply(403, {"error": "API Token not matched"})
    assert main([str(build)]) == USAGE
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["skipped"]
