"""The program `tecken-symbolicate`."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tecken import services
from tecken.client import symbolicate
from tecken.client.symbolicate import DONE, SOME_FAILED, TEMPORARY, USAGE, main
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tests.client.server import Reply, SymbolServer
from tests.support.redis_server import free_port
from tests.support.tls import Papers

pytest_plugins = ["tests.client.site"]
TEXT = "POST /symbolicate/text"
SAMPLES = Path(__file__).parents[1] / "data" / "samples"
CRASH_C = ("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
Output = pytest.CaptureFixture[str]


def give_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_report_on_standard_input_is_printed(
    server: SymbolServer, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    server.script[TEXT] = Reply(said=b"Kind: coredumpctl\n", headers={"Content-Type": "text/plain"})
    give_input(monkeypatch, b"a crash\xff")
    assert main([]) == DONE
    assert capsys.readouterr() == ("Kind: coredumpctl\n", "")
    request = server.only(TEXT)
    assert (request.body, request.headers["Accept"]) == (b"a crash\xff", "text/plain")


def test_files_are_printed_with_their_names(server: SymbolServer, tmp_path: Path, capsys: Output) -> None:
    server.script[TEXT] = [Reply(said=b"first\n"), Reply(said=b"second\n")]
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text(path.name)
    assert main(list(map(str, paths))) == DONE
    assert capsys.readouterr().out == f"==> {paths[0]} <==\nfirst\n==> {paths[1]} <==\nsecond\n"
    assert [request.body for request in server.requests[TEXT]] == [b"a.txt", b"b.txt"]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_compressed_report_is_sent_as_such(
    server: SymbolServer, tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    server.script[TEXT] = Reply(said=b"Kind: gdb\n")
    packed = pack(b"a crash")
    (tmp_path / "crash.txt.packed").write_bytes(packed)
    assert main([str(tmp_path / "crash.txt.packed")]) == DONE
    request = server.only(TEXT)
    assert (request.body, request.headers["Content-Encoding"]) == (packed, encoding)


def test_json_is_printed_as_it_is(server: SymbolServer, tmp_path: Path, capsys: Output) -> None:
    server.script[TEXT] = Reply(said={"kind": "coredumpctl"})
    (tmp_path / "crash.txt").write_text("a crash")
    assert main(["--json", str(tmp_path / "crash.txt")]) == DONE
    assert capsys.readouterr().out == '{"kind": "coredumpctl"}\n'
    assert server.only(TEXT).headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "said", [b"Recognized as minidump. Run it.\n", {"error": "Recognized as minidump. Run it."}]
)
def test_refused_report_is_status_1_and_the_others_are_printed(
    server: SymbolServer, tmp_path: Path, capsys: Output, said: object
) -> None:
    server.script[TEXT] = [Reply(400, said), Reply(said=b"second\n")]
    for name in ("a.dmp", "b.txt"):
        (tmp_path / name).write_text(name)
    assert main([str(tmp_path / "a.dmp"), str(tmp_path / "b.txt")]) == SOME_FAILED
    output = capsys.readouterr()
    assert output.out.endswith("second\n")
    assert output.err == f"tecken-symbolicate: {tmp_path / 'a.dmp'}: Recognized as minidump. Run it.\n"


def test_file_that_cannot_be_read_is_status_1(server: SymbolServer, tmp_path: Path, capsys: Output) -> None:
    assert main([str(tmp_path / "none.txt")]) == SOME_FAILED
    assert capsys.readouterr().err.endswith("none.txt: No such file or directory\n")


def test_empty_file_is_not_sent(server: SymbolServer, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "crash.dmp").write_bytes(b"")
    assert main([str(tmp_path / "crash.dmp")]) == SOME_FAILED
    assert capsys.readouterr().err == f"tecken-symbolicate: {tmp_path / 'crash.dmp'}: the file is empty\n"
    assert server.requests == {}


def test_file_that_is_too_large_is_not_sent(
    server: SymbolServer, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbolicate, "MAX_BYTES", 10)
    (tmp_path / "large.txt").write_text("a" * 11)
    assert main([str(tmp_path / "large.txt")]) == SOME_FAILED
    assert "larger than 10 bytes" in capsys.readouterr().err
    assert server.requests == {}


def test_busy_server_is_tried_again_after_its_pause(
    server: SymbolServer, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    busy = Reply(503, b"None of 1 modules could be read\n", {"Retry-After": "0"})
    server.script[TEXT] = [busy, busy, Reply(said=b"done\n")]
    give_input(monkeypatch, b"a crash")
    assert main([]) == DONE
    assert capsys.readouterr().out == "done\n"


@pytest.mark.parametrize("seconds", ["0", "3600"])
def test_server_that_stays_busy_is_status_75(
    server: SymbolServer, monkeypatch: pytest.MonkeyPatch, capsys: Output, seconds: str
) -> None:
    server.script[TEXT] = Reply(429, b"Too many requests\n", {"Retry-After": seconds})
    give_input(monkeypatch, b"a crash")
    assert main([]) == TEMPORARY
    assert "Too many requests" in capsys.readouterr().err
    assert len(server.requests[TEXT]) == (3 if seconds == "0" else 1)


def test_unreachable_server_is_status_75(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    give_input(monkeypatch, b"a crash")
    assert main(["--url", f"http://ted:hunter2@127.0.0.1:{free_port()}"]) == TEMPORARY
    error = capsys.readouterr().err
    assert "/symbolicate/text" in error
    assert "hunter2" not in error


@pytest.mark.parametrize(
    "reply", [Reply(404, b"nothing"), Reply(200, b"<html>", {"Content-Type": "text/html"}), Reply(302)]
)
def test_other_server_is_status_2(
    server: SymbolServer, monkeypatch: pytest.MonkeyPatch, capsys: Output, reply: Reply
) -> None:
    server.script[TEXT] = reply
    give_input(monkeypatch, b"a crash")
    assert main([]) == USAGE
    assert "no Tecken server answers there" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://host", "http://[::1"])
def test_wrong_url_is_status_2(monkeypatch: pytest.MonkeyPatch, capsys: Output, url: str) -> None:
    give_input(monkeypatch, b"a crash")
    assert main(["--url", url]) == USAGE


def test_server_with_a_certificate_of_an_authority_of_the_system_is_trusted(
    server: SymbolServer, secure_url: str, trusted: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script[TEXT] = Reply(said=b"Kind: gdb\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.authority))
    give_input(monkeypatch, b"a crash")
    assert main(["--url", secure_url]) == DONE


def test_server_with_a_certificate_of_no_known_authority_is_status_2(
    secure_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    give_input(monkeypatch, b"a crash")
    assert main(["--url", secure_url]) == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert "SSL_CERT_FILE" in line


def test_characters_that_a_console_does_not_have_are_escaped(
    server: SymbolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script[TEXT] = Reply(said="operator\u2026\n".encode())
    console = io.TextIOWrapper(io.BytesIO(), encoding="cp437")
    monkeypatch.setattr(sys, "stdout", console)
    give_input(monkeypatch, b"a crash")
    assert main([]) == DONE
    console.seek(0)
    assert console.read() == "operator\\u2026\n"


def test_missing_url_is_status_2(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.delenv("TECKEN_URL", raising=False)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == USAGE
    assert "give --url or TECKEN_URL" in capsys.readouterr().err


def test_help_lists_the_exit_statuses(capsys: Output) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == DONE
    assert "exit status:\n   0 " in capsys.readouterr().out


@pytest.fixture
def site_with_symbols(site: LiveServer, settings: Settings) -> LiveServer:
    """Return the site with the symbols of the sample program."""
    settings.SYMBOL_SOURCES = [f"file://{SAMPLES}"]
    services.discard_all()
    symbolication_services.converter().convert(ObjectId.parse(*CRASH_C))
    return site


@pytest.mark.usefixtures("site_with_symbols")
def test_live_site_symbolicates_a_report(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    give_input(monkeypatch, f"{' '.join(CRASH_C)} 0x1205\n".encode())
    assert main([]) == DONE
    assert "crash-c!by_price [/build/crash/src/crash.c:25]" in capsys.readouterr().out


@pytest.mark.usefixtures("site_with_symbols")
def test_live_site_names_the_kind_of_a_text_without_modules(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    give_input(monkeypatch, b"#0  0x0000555555555205 in ?? ()\n")
    assert main([]) == SOME_FAILED
    assert "Recognized as gdb backtrace without build ids." in capsys.readouterr().err
