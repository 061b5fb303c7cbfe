"""Minidumps that `tecken-symbolicate` sends."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
import zstandard

from tecken.client import __version__, minidump, symbolicate
from tecken.client.minidump import HEAD_BYTES, find_encoding
from tecken.client.symbolicate import DONE, SOME_FAILED, TEMPORARY, USAGE, main
from tecken.settings import BASE_DIR
from tests.client.server import Reply, SymbolServer
from tests.support.minidump_samples import CORES
from tests.symbolication.minidump.reports import crash_report

pytest_plugins = ["tests.client.site"]
POST = "POST /process/minidump"
NAME = "cGFzc3dvcmRwYXNzd29yZA"
GET = f"GET /process/minidump/{NAME}"
DUMP = b"MDMP\x93\xa7" + bytes(range(256)) * 40
NOT_READY = Reply(202, {"id": NAME, "state": "running", "url": "http://other/"}, {"Retry-After": "0"})
Output = pytest.CaptureFixture[str]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "crash.dmp"
    path.write_bytes(DUMP)
    return path


def test_minidump_is_sent_and_its_text_printed(server: SymbolServer, dump: Path, capsys: Output) -> None:
    server.script[POST] = Reply(said=crash_report())
    assert main([str(dump)]) == DONE
    output = capsys.readouterr()
    assert output.out.startswith("shop crashed in abort, called from check_total (total.h:7)")
    assert "\n  Thread 0 worker, id 4712: poll\n" in output.out
    assert f"tecken-upload --url {server.url} FILE" in output.out
    assert output.err == ""
    request = server.only(POST)
    assert request.body == DUMP
    assert "Content-Encoding" not in request.headers


def test_minidump_with_all_threads_has_their_frames(server: SymbolServer, dump: Path, capsys: Output) -> None:
    server.script[POST] = Reply(said=crash_report())
    assert main(["--all-threads", str(dump)]) == DONE
    assert "#0   libc.so.6!poll (context)" in capsys.readouterr().out


def test_minidump_as_json_is_the_report(server: SymbolServer, dump: Path, capsys: Output) -> None:
    server.script[POST] = Reply(said=crash_report())
    assert main(["--json", str(dump)]) == DONE
    assert json.loads(capsys.readouterr().out) == crash_report()


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_compressed_minidump_is_sent_as_it_is(
    server: SymbolServer, tmp_path: Path, encoding: str, pack: object
) -> None:
    server.script[POST] = Reply(said=crash_report())
    # Packed once: gzip writes the time.
    packed = pack(DUMP)  # type: ignore[operator]
    (tmp_path / "crash.dmp.packed").write_bytes(packed)
    assert main([str(tmp_path / "crash.dmp.packed")]) == DONE
    request = server.only(POST)
    assert request.headers["Content-Encoding"] == encoding
    assert request.body == packed


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_compressed_minidump_is_recognized_by_its_first_block(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    # Nothing in a block of zstd can be read before its end, and this one is as long as a block may be.
    content = pack(DUMP + random.Random(0).randbytes(300_000))
    assert find_encoding(content[:HEAD_BYTES]) == encoding


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_core_file_is_sent(server: SymbolServer, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    server.script[POST] = Reply(said=crash_report())
    packed = pack(CORES["core"]())
    (tmp_path / "core").write_bytes(packed)
    assert main([str(tmp_path / "core")]) == DONE
    assert server.only(POST).body == packed


def test_minidump_in_a_pipe_is_sent(server: SymbolServer, tmp_path: Path) -> None:
    """A shell gives the name of a pipe for `<(zstd -dc crash.dmp.zst)`."""
    server.script[POST] = Reply(said=crash_report())
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=[DUMP])
    writer.start()
    assert main([str(pipe)]) == DONE
    writer.join(10)
    assert server.only(POST).body == DUMP


def test_minidump_on_standard_input_is_sent(server: SymbolServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script[POST] = Reply(said=crash_report())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DUMP)))
    assert main([]) == DONE
    assert server.only(POST).body == DUMP


def test_standard_input_that_is_too_large_is_status_1(
    server: SymbolServer, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(symbolicate, "MAX_INPUT_BYTES", 100)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DUMP)))
    assert main([]) == SOME_FAILED
    assert "give the name of a file" in capsys.readouterr().err
    assert server.requests == {}


def test_result_that_is_not_ready_is_polled(server: SymbolServer, dump: Path, capsys: Output) -> None:
    server.script[POST] = NOT_READY
    server.script[GET] = [
        NOT_READY,
        Reply(503, {"error": "Busy"}, {"Retry-After": "0"}),
        Reply(said={"pid": 1}),
    ]
    assert main([str(dump)]) == DONE
    output = capsys.readouterr()
    assert output.out.startswith("The dump has no crash.")
    assert "not ready yet" in output.err
    assert len(server.requests[GET]) == 3


def test_result_that_does_not_come_is_status_75_with_its_address(
    server: SymbolServer, dump: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minidump, "DEADLINE", -1.0)
    server.script[POST] = NOT_READY
    assert main([str(dump)]) == TEMPORARY
    assert f"{server.url}/process/minidump/{NAME}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (Reply(400, {"error": "No minidump: it has no streams"}), SOME_FAILED, "it has no streams"),
        (Reply(413, {"error": "The dump is larger than 5 bytes"}), SOME_FAILED, "larger than 5 bytes"),
        (Reply(429, {"error": "Too many requests"}, {"Retry-After": "3600"}), TEMPORARY, "Too many requests"),
        (Reply(500, {"error": "Failed"}), TEMPORARY, "500"),
        (Reply(404, {"error": "Not Found"}), USAGE, "it processes no minidumps"),
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), USAGE, "no Tecken server answers there"),
        (Reply(202, {"id": "../../"}), USAGE, "no Tecken server answers there"),
    ],
)
def test_minidump_that_is_not_processed_has_a_status_and_an_error(
    server: SymbolServer, dump: Path, capsys: Output, reply: Reply, status: int, error: str
) -> None:
    server.script[POST] = reply
    assert main([str(dump)]) == status
    assert error in capsys.readouterr().err


def test_result_that_has_expired_is_status_1(server: SymbolServer, dump: Path, capsys: Output) -> None:
    server.script[POST] = NOT_READY
    server.script[GET] = Reply(404, {"error": "This result has expired"})
    assert main([str(dump)]) == SOME_FAILED
    assert "This result has expired: send it again" in capsys.readouterr().err


def test_minidump_that_fails_does_not_stop_the_others(
    server: SymbolServer, dump: Path, tmp_path: Path, capsys: Output
) -> None:
    server.script[POST] = Reply(400, {"error": "No minidump"})
    server.script["POST /symbolicate/text"] = Reply(said=b"Kind: gdb\n")
    (tmp_path / "crash.txt").write_text("a crash")
    assert main([str(dump), str(tmp_path / "crash.txt")]) == SOME_FAILED
    assert capsys.readouterr().out.endswith("Kind: gdb\n")


def socorro_arguments(folder: Path, dump: Path) -> list[str]:
    """Return the arguments that Socorro's MinidumpStackwalkRule gives to its stackwalker."""
    return [
        f"--evil-json={folder}/raw.json",
        f"--symbols-cache={folder}/cache",
        f"--symbols-tmp={folder}/tmp",
        "--no-color",
        f"--output-file={folder}/output.json",
        f"--log-file={folder}/log",
        "--symbols-url=https://symbols.mozilla.org/",
        "--json",
        "--verbose=error",
        str(dump),
    ]


@pytest.fixture
def stackwalker(server: SymbolServer, tmp_path: Path) -> Path:
    """Return the script for Socorro in the help, with the server's address."""
    text = (BASE_DIR / "docs" / "help" / "minidumps.md").read_text()
    script = text.partition("```sh\n#!")[2].partition("```")[0]
    path = tmp_path / "tecken-stackwalk"
    path.write_text(f"#!{script}".replace("https://symbols.example.com", server.url))
    program = tmp_path / "tecken-symbolicate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tecken.client.symbolicate "$@"\n')
    for file in (path, program):
        file.chmod(0o755)
    return path


def run_stackwalker(stackwalker: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{stackwalker.parent}:/usr/bin:/bin", "PYTHONPATH": str(BASE_DIR)}
    return subprocess.run(
        [str(stackwalker), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_script_for_socorro_writes_the_report(
    server: SymbolServer, stackwalker: Path, dump: Path, tmp_path: Path
) -> None:
    server.script[POST] = Reply(said=crash_report())
    assert run_stackwalker(stackwalker, *socorro_arguments(tmp_path, dump)).returncode == DONE
    assert json.loads((tmp_path / "output.json").read_text()) == crash_report()
    assert (tmp_path / "log").read_text() == ""


def test_script_for_socorro_logs_an_error(
    server: SymbolServer, stackwalker: Path, dump: Path, tmp_path: Path
) -> None:
    server.script[POST] = Reply(400, {"error": "No minidump"})
    assert run_stackwalker(stackwalker, *socorro_arguments(tmp_path, dump)).returncode == SOME_FAILED
    assert "No minidump" in (tmp_path / "log").read_text()


def test_script_for_socorro_prints_a_version(stackwalker: Path) -> None:
    assert run_stackwalker(stackwalker, "--version").stdout == f"tecken-symbolicate {__version__}\n"


OTHERS = {
    "empty": b"",
    "short": b"MDM",
    "text": b"a crash",
    "gzip": gzip.compress(b"a crash"),
    "zstd": zstandard.compress(b"a crash"),
    "broken gzip": b"\x1f\x8bx",
    "broken zstd": b"(\xb5/\xfdx",
}


@pytest.mark.parametrize("head", OTHERS.values(), ids=OTHERS)
def test_other_files_are_no_minidumps(head: bytes) -> None:
    assert find_encoding(head) is None
