from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest
import stamina

from tecken.client.__main__ import DONE, SOME_FAILED, TEMPORARY, USAGE, main
from tecken.settings import BASE_DIR
from tests.client.conftest import MakeSym
from tests.client.server import Reply, SymbolServer
from tests.support.tls import Papers

Output = pytest.CaptureFixture[str]
KEY = f"libx.so/{'A' * 33}/libx.so.sym"
NATIVE_KEY = f"libx.so/{'A' * 33}/libx.so"
WHO = "POST /upload/auth_info/"
ZIP = "POST /upload/"
ANNOUNCE = "POST /upload/v2/"
COMPLETE = "POST /upload/v2/7/complete"


@pytest.fixture
def sym(make_sym: MakeSym) -> Path:
    return make_sym("x.sym")


@pytest.fixture
def native(tmp_path: Path) -> Path:
    path = tmp_path / NATIVE_KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x7fELF and so on")
    return path


def takes_v2(server: SymbolServer, **actions: object) -> None:
    """`sym` and `native` name an action each; their storage is the server itself."""
    keys = {"sym": KEY, "native": NATIVE_KEY}
    files = [{"key": keys[name], "action": action} for name, action in actions.items()]
    server.script[WHO] = Reply(said={"upload_api_version": 2, "try_symbols": False})
    server.script[ANNOUNCE] = Reply(201, {"id": 7, "upload_protocol": "http-put", "files": files})
    server.script["PUT /slot/1?signed=yes"] = server.script["PUT /slot/2"] = Reply()
    server.script[COMPLETE] = Reply(said={"upload": {}})


def upload_to(url: str, encoding: str | None = None) -> dict[str, str | None]:
    return {"type": "upload", "url": url, "content_encoding": encoding}


# Protocol 1


def test_command_protocol_1_sends_files_in_an_archive(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    assert main([str(sym)]) == DONE
    request = server.only(ZIP)
    assert request.members() == {KEY: sym.read_bytes()}
    assert list(request.form()) == ["symbols-1.zip"]
    assert capsys.readouterr().out == (
        f"stored        {sym}  debug id {'A' * 33}  76 B\n1 file, 76 B: 1 stored, 0 there before\n"
    )


def test_command_token_is_sent_in_a_header(server: SymbolServer, sym: Path) -> None:
    main([str(sym)])
    assert server.only(WHO).headers["Auth-Token"] == "secret-of-ci"
    assert server.only(ZIP).headers["Auth-Token"] == "secret-of-ci"


def test_command_without_a_token_names_the_page_that_makes_one(
    server: SymbolServer, sym: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TECKEN_TOKEN", raising=False)
    with pytest.raises(SystemExit, match=str(USAGE)):
        main([str(sym)])
    assert f"no token: create one at {server.url}/tokens/, and give TECKEN_TOKEN" in capsys.readouterr().err


def test_command_token_file_is_read(server: SymbolServer, sym: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-file\n")
    main([str(sym), "--token-file", str(tmp_path / "token")])
    assert server.only(ZIP).headers["Auth-Token"] == "of-the-file"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_command_token_file_of_windows_is_read(
    server: SymbolServer, sym: Path, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "token").write_bytes("of-the-file\r\n".encode(encoding))
    assert main([str(sym), "--token-file", str(tmp_path / "token")]) == DONE
    assert server.only(ZIP).headers["Auth-Token"] == "of-the-file"


@pytest.mark.parametrize("content", [b"t\xc3\xb6ken", b"one\ntwo", b"\xff\x00\x01", b"a\x00"])
def test_command_token_file_with_anything_else_is_wrong_usage(
    server: SymbolServer, sym: Path, tmp_path: Path, content: bytes, capsys: Output
) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main([str(sym), "--token-file", str(tmp_path / "token")])
    assert ended.value.code == USAGE
    assert "cannot read the token: " in capsys.readouterr().err
    assert not server.requests


def test_command_url_with_a_path_is_kept(server: SymbolServer, sym: Path) -> None:
    server.script["POST /symbols/upload/auth_info/"] = server.script[WHO]
    server.script["POST /symbols/upload/"] = server.script[ZIP]
    assert main([str(sym), "--url", f"{server.url}/symbols"]) == DONE


def test_command_try_with_a_regular_token_is_refused(server: SymbolServer, sym: Path, capsys: Output) -> None:
    assert main([str(sym), "--try"]) == USAGE
    assert "upload.upload_try_symbols" in capsys.readouterr().err
    assert list(server.requests) == [WHO]


def test_command_try_marks_the_upload(server: SymbolServer, sym: Path) -> None:
    server.script[WHO] = Reply(said={"upload_api_version": 1, "try_symbols": True})
    server.script[ZIP] = Reply(201, {"upload": {"try_symbols": True}})
    assert main([str(sym), "--try"]) == DONE
    assert server.only(ZIP).form()["try"] == b"1"


def test_command_try_on_a_server_without_it_fails(server: SymbolServer, sym: Path, capsys: Output) -> None:
    del server.script[WHO]
    server.script[ZIP] = Reply(201, {"upload": {"try_symbols": False}})
    assert main([str(sym), "--try"]) == SOME_FAILED
    assert "regular symbol" in capsys.readouterr().err


def test_command_prints_how_many_files_were_there_before(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    server.script[ZIP] = Reply(201, {"upload": {"skipped_keys": [KEY], "ignored_keys": []}})
    assert main([str(sym)]) == DONE
    assert capsys.readouterr().out.endswith(": 0 stored, 1 there before\n")


def test_command_ignored_file_counts_as_failed(server: SymbolServer, sym: Path, capsys: Output) -> None:
    server.script[ZIP] = Reply(201, {"upload": {"skipped_keys": [], "ignored_keys": [KEY]}})
    assert main([str(sym)]) == SOME_FAILED
    assert capsys.readouterr().err == f"tecken-upload: failed: {sym}: the server ignores such files\n"


def test_command_refused_archive_fails_with_the_reason(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    server.script[ZIP] = Reply(400, {"error": "Content of archive\nis not allowed"})
    assert main([str(sym)]) == SOME_FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("upload/: 400 Content of archive is not allowed")
    assert line.startswith(f"tecken-upload: failed: {sym}: ")


def test_command_server_without_token_info_uses_protocol_1(server: SymbolServer, sym: Path) -> None:
    del server.script[WHO]
    assert main([str(sym)]) == DONE


# Protocol 2


def test_command_protocol_2_sends_files_to_storage(
    server: SymbolServer, sym: Path, native: Path, tmp_path: Path, capsys: Output
) -> None:
    takes_v2(server, sym=upload_to("/slot/1?signed=yes", "gzip"), native=upload_to(f"{server.url}/slot/2"))
    assert main([str(tmp_path)]) == DONE
    first, second = server.only("PUT /slot/1?signed=yes"), server.only("PUT /slot/2")
    assert gzip.decompress(first.body) == sym.read_bytes()
    assert first.headers["Content-Encoding"] == "gzip"
    assert second.body == native.read_bytes()
    assert len(server.requests[COMPLETE]) == 1
    assert ": 2 stored, 0 there before\n" in capsys.readouterr().out


def test_command_protocol_2_announces_size_and_hash(server: SymbolServer, sym: Path) -> None:
    takes_v2(server, sym={"type": "skip"})
    main([str(sym)])
    content = sym.read_bytes()
    announced = {"key": KEY, "size": len(content), "md5_hash": md5(content).hexdigest()}
    assert json.loads(server.only(ANNOUNCE).body) == {"files": [announced]}


def test_command_token_is_not_sent_to_storage(server: SymbolServer, native: Path) -> None:
    takes_v2(server, native=upload_to("/slot/2"))
    main([str(native)])
    assert "Auth-Token" not in server.only("PUT /slot/2").headers


def test_command_stored_file_is_not_sent(server: SymbolServer, sym: Path, capsys: Output) -> None:
    takes_v2(server, sym={"type": "skip"})
    assert main([str(sym)]) == DONE
    assert ": 0 stored, 1 there before\n" in capsys.readouterr().out
    assert COMPLETE not in server.requests


def test_command_file_refused_by_the_server_fails_alone(
    server: SymbolServer, sym: Path, native: Path, tmp_path: Path, capsys: Output
) -> None:
    takes_v2(server, sym={"type": "error", "msg": "invalid key"}, native=upload_to("/slot/2"))
    assert main([str(tmp_path)]) == SOME_FAILED
    out, err = capsys.readouterr()
    assert err == f"tecken-upload: failed: {sym}: invalid key\n"
    assert ": 1 stored, 0 there before, 1 failed\n" in out


def test_command_file_refused_by_storage_fails_alone(
    server: SymbolServer, sym: Path, native: Path, tmp_path: Path, capsys: Output
) -> None:
    takes_v2(server, sym=upload_to("/slot/1?signed=yes", "gzip"), native=upload_to("/slot/2"))
    server.script["PUT /slot/1?signed=yes"] = Reply(403, b"<Error>expired</Error>")
    server.script[COMPLETE] = Reply(400, {"error": "1 files", "files": [{"key": KEY, "error": "not sent"}]})
    assert main([str(tmp_path)]) == SOME_FAILED
    out, err = capsys.readouterr()
    assert err == f"tecken-upload: failed: {sym}: PUT {server.url}/slot/1: 403 <Error>expired</Error>\n"
    assert ": 1 stored, 0 there before, 1 failed\n" in out


def test_command_damaged_file_is_named(server: SymbolServer, sym: Path, capsys: Output) -> None:
    takes_v2(server, sym=upload_to("/slot/2", "gzip"))
    server.script[COMPLETE] = Reply(
        400, {"error": "1 files", "files": [{"key": KEY, "error": "its MD5 hash"}]}
    )
    assert main([str(sym)]) == SOME_FAILED
    assert capsys.readouterr().err == f"tecken-upload: failed: {sym}: its MD5 hash\n"


def test_command_unknown_storage_protocol_is_refused(server: SymbolServer, sym: Path, capsys: Output) -> None:
    takes_v2(server)
    server.script[ANNOUNCE] = Reply(201, {"id": 7, "upload_protocol": "gcs-resumable", "files": []})
    assert main([str(sym)]) == USAGE
    assert "gcs-resumable" in capsys.readouterr().err


def test_command_try_token_needs_no_option(server: SymbolServer, sym: Path) -> None:
    takes_v2(server, sym=upload_to("/slot/2"))
    server.script[WHO] = Reply(said={"upload_api_version": 2, "try_symbols": True})
    assert main([str(sym), "--try"]) == DONE
    assert len(server.requests["PUT /slot/2"]) == 1


# Failures


def test_command_invalid_token_ends_before_any_upload(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    server.script[WHO] = Reply(403, {"error": "API Token not matched"})
    assert main([str(sym)]) == USAGE
    assert capsys.readouterr().err.endswith("/upload/auth_info/: 403 API Token not matched\n")
    assert ZIP not in server.requests


@pytest.mark.parametrize("reply", [Reply(200, b"<html>Welcome"), Reply(200, [])])
def test_command_url_of_another_server_is_refused(
    server: SymbolServer, sym: Path, reply: Reply, capsys: Output
) -> None:
    server.script[WHO] = reply
    assert main([str(sym)]) == USAGE
    assert "no Tecken server" in capsys.readouterr().err


def test_command_redirect_names_the_new_address(server: SymbolServer, sym: Path, capsys: Output) -> None:
    server.script[WHO] = Reply(301, headers={"Location": "https://symbols.example.com/upload/auth_info/"})
    assert main([str(sym)]) == USAGE
    assert "https://symbols.example.com/" in capsys.readouterr().err


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("reply", [Reply(429), Reply(500), Reply(502, b""), Reply(503), Reply(hang_up=True)])
def test_command_server_that_recovers_is_retried(
    server: SymbolServer, sym: Path, reply: Reply, capsys: Output
) -> None:
    server.script[ZIP] = [reply, reply, Reply(201, {"upload": {}})]
    assert main([str(sym)]) == DONE
    assert [request.members() for request in server.requests[ZIP]] == [{KEY: sym.read_bytes()}] * 3
    assert capsys.readouterr().err.count("trying again in") == 2


@pytest.mark.usefixtures("no_pauses")
def test_command_storage_that_recovers_receives_the_whole_file(server: SymbolServer, native: Path) -> None:
    takes_v2(server, native=upload_to("/slot/2"))
    server.script["PUT /slot/2"] = [Reply(503), Reply()]
    assert main([str(native)]) == DONE
    assert [request.body for request in server.requests["PUT /slot/2"]] == [native.read_bytes()] * 2


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("told", [WHO, ZIP])
def test_command_server_that_stays_down_exits_as_temporary_failure(
    server: SymbolServer, sym: Path, told: str, capsys: Output
) -> None:
    server.script[told] = Reply(503, {"error": "Under maintenance"})
    assert main([str(sym)]) == TEMPORARY
    assert len(server.requests[told]) == 3
    assert "503 Under maintenance; what was stored stays" in capsys.readouterr().err


@pytest.mark.usefixtures("no_pauses")
def test_command_storage_that_stays_down_exits_as_temporary_failure(
    server: SymbolServer, native: Path
) -> None:
    takes_v2(server, native=upload_to("/slot/2"))
    server.script["PUT /slot/2"] = Reply(503)
    assert main([str(native)]) == TEMPORARY


@pytest.mark.usefixtures("no_pauses")
def test_command_refused_connection_exits_as_temporary_failure(sym: Path, capsys: Output) -> None:
    assert main([str(sym), "--url", "http://127.0.0.1:1", "--token", "x"]) == TEMPORARY
    assert "Connection refused" in capsys.readouterr().err


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """Set the disposition of a foreground process: shells start background processes with SIGINT ignored."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize(
    ("request_line", "rest"), [(WHO, "nothing was sent"), (ZIP, "what was stored stays, so run the same")]
)
def test_command_interrupted_by_ctrl_c_exits_as_temporary_failure(
    server: SymbolServer, sym: Path, request_line: str, rest: str, capsys: Output
) -> None:
    server.script[request_line] = Reply(interrupt=True)
    assert main([str(sym)]) == TEMPORARY
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"tecken-upload: interrupted; {rest}")


def test_command_waits_for_retry_after(server: SymbolServer, sym: Path, capsys: Output) -> None:
    server.script[ZIP] = [Reply(429, headers={"Retry-After": "0"}), Reply(201, {"upload": {}})]
    assert main([str(sym)]) == DONE
    assert "trying again in 0 s" in capsys.readouterr().err


def test_command_gives_up_on_a_long_retry_after(server: SymbolServer, sym: Path) -> None:
    server.script[ZIP] = Reply(503, headers={"Retry-After": "7200"})
    assert main([str(sym)]) == TEMPORARY
    assert len(server.requests[ZIP]) == 1


def test_command_invalid_file_does_not_stop_the_others(
    server: SymbolServer, sym: Path, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "bad.sym").write_text("nothing")
    assert main([str(tmp_path)]) == SOME_FAILED
    assert server.only(ZIP).members() == {KEY: sym.read_bytes()}
    assert "bad.sym: symbol file must begin with MODULE" in capsys.readouterr().err


def test_command_without_symbol_files_exits_as_usage_error(
    server: SymbolServer, tmp_path: Path, capsys: Output
) -> None:
    assert main([str(tmp_path)]) == USAGE
    assert capsys.readouterr().err == "tecken-upload: no symbol files found\n"
    assert WHO not in server.requests


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", ""], "TECKEN_URL"),
        (["--token", " "], "TECKEN_TOKEN"),
        (["--token-file", "/nowhere/token"], "/nowhere/token"),
        (["/nowhere/symbols"], "/nowhere/symbols"),
        (["--protocol", "3"], "--protocol"),
    ],
)
def test_command_invalid_arguments_exit_as_usage_error(
    server: SymbolServer, sym: Path, arguments: list[str], told: str, capsys: Output
) -> None:
    with pytest.raises(SystemExit) as left:
        main([str(sym), *arguments])
    assert left.value.code == USAGE
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("url", ["symbols.example.com", "ftp://symbols.example.com", "http://[::1"])
def test_command_invalid_url_is_refused(sym: Path, url: str, capsys: Output) -> None:
    assert main([str(sym), "--url", url, "--token", "x"]) == USAGE
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_command_dry_run_sends_no_request(server: SymbolServer, sym: Path, capsys: Output) -> None:
    assert main(["--dry-run", str(sym)]) == DONE
    assert capsys.readouterr().out == f"{KEY}\t{sym.stat().st_size}\t{sym}\n"
    assert not server.requests


def test_command_imports_neither_django_nor_redis() -> None:
    names = "{'django', 'redis', 'celery', 'obstore'} & set(sys.modules)"
    code = f"import sys, tecken.client.__main__; print(sorted({names}))"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"


def test_command_help_lists_the_exit_statuses() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tecken.client", "--help"],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(f"\n {status:3}  " in told.stdout for status in (DONE, SOME_FAILED, USAGE, TEMPORARY))


@pytest.mark.parametrize("unread", ["--dry-run", "--protocol=1"])
def test_command_whose_output_is_closed_ends_without_a_traceback(
    server: SymbolServer, sym: Path, unread: str
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end) as unread_output:
        ended = subprocess.run(
            [sys.executable, "-m", "tecken.client", str(sym), unread],
            cwd=BASE_DIR,
            stdout=unread_output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (DONE, "")


def test_version_of_the_command_is_its_own(capsys: Output) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"tecken-upload (\d+\.\d+.*|unknown)\n", capsys.readouterr().out)


def test_command_shows_warnings_and_where_the_upload_is(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    warning = {"key": f"v1/{KEY}", "message": "it will not symbolicate"}
    server.script[ZIP] = Reply(201, {"upload": {"id": 12, "warnings": [warning]}})
    assert main([str(sym)]) == DONE
    out, err = capsys.readouterr()
    assert err == f"tecken-upload: warning: {sym}: it will not symbolicate\n"
    _file, summary, link = out.splitlines()
    assert summary.endswith(": 1 stored, 0 there before, 1 with warnings")
    assert link == f"{server.url}/uploads/12/"


def test_command_direct_upload_shows_warnings_and_where_it_is(
    server: SymbolServer, sym: Path, native: Path, tmp_path: Path, capsys: Output
) -> None:
    takes_v2(server, sym=upload_to("/slot/1?signed=yes", "gzip"), native=upload_to("/slot/2"))
    warning = {"key": f"v1/{NATIVE_KEY}", "message": "upload its .sym file too"}
    server.script[COMPLETE] = Reply(said={"upload": {"skipped_keys": [f"v1/{KEY}"], "warnings": [warning]}})
    assert main([str(tmp_path)]) == DONE
    out, err = capsys.readouterr()
    assert "upload its .sym file too" in err
    assert out.endswith(f": 1 stored, 1 there before, 1 with warnings\n{server.url}/uploads/7/\n")


def test_command_file_that_the_server_keeps_from_being_replaced_fails(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    refused = {"key": f"v1/{KEY}", "message": "not stored: another file is stored", "stored": False}
    server.script[ZIP] = Reply(201, {"upload": {"warnings": [refused]}})
    assert main([str(sym)]) == SOME_FAILED
    assert capsys.readouterr().out.endswith(": 0 stored, 0 there before, 1 failed\n")


def test_command_server_that_cannot_be_reached_is_given_up_with_one_line(sym: Path, capsys: Output) -> None:
    stamina.set_testing(True, attempts=20)
    try:
        assert main([str(sym), "--url", "http://127.0.0.1:1", "--token", "x"]) == TEMPORARY
    finally:
        stamina.set_testing(False)
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("tecken-upload: cannot reach http://127.0.0.1:1/: ")
    assert err.endswith("; nothing was sent\n")


def test_command_server_that_stops_after_its_first_response_is_tried_longer(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    server.script[ZIP] = [*[Reply(hang_up=True)] * 5, Reply(201, {"upload": {}})]
    stamina.set_testing(True, attempts=20)
    try:
        assert main([str(sym)]) == DONE
    finally:
        stamina.set_testing(False)


# A server that cannot be used


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a fifth of a second for the first response."""
    monkeypatch.setattr("tecken.client.site.QUICK", 0.2)


@pytest.mark.usefixtures("quick")
def test_command_server_that_accepts_and_never_answers_is_given_up(sym: Path, capsys: Output) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert main([str(sym), "--url", url, "--token", "x"]) == TEMPORARY
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"tecken-upload: cannot reach {url}/: timed out; nothing was sent\n")


def test_command_unknown_name_is_given_up(sym: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert main([str(sym), "--url", "https://nowhere.example", "--token", "x"]) == TEMPORARY
    assert capsys.readouterr().err == (
        "tecken-upload: cannot reach https://nowhere.example/: the name nowhere.example cannot be resolved: "
        "Name or service not known; nothing was sent\n"
    )


def test_command_resolver_that_never_answers_is_given_up(
    sym: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: is_over.wait())
    monkeypatch.setattr("tecken.client.site.RESOLVED_WITHIN", 0.2)
    assert main([str(sym), "--url", "https://nowhere.example", "--token", "x"]) == TEMPORARY
    is_over.set()
    assert "the name nowhere.example was not resolved within" in capsys.readouterr().err


def test_command_behind_a_proxy_leaves_the_name_to_it(
    server: SymbolServer, sym: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    for name in ("upload/auth_info/", "upload/"):
        server.script[f"POST http://nowhere.example/{name}"] = server.script[f"POST /{name}"]
    assert main([str(sym), "--url", "http://nowhere.example"]) == DONE


HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize("status", [200, 400, 404, 405, 501])
def test_command_page_of_another_server_is_refused_with_one_line(
    server: SymbolServer, sym: Path, status: int, capsys: Output
) -> None:
    del server.script["GET /__version__"]
    server.script[WHO] = Reply(status, b"<!doctype html><title>Welcome</title>", HTML)
    assert main([str(sym)]) == USAGE
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "no Tecken server answers there; give its address" in err
    assert "<" not in err
    assert ZIP not in server.requests


def test_command_address_of_a_page_is_refused(server: SymbolServer, sym: Path, capsys: Output) -> None:
    assert main([str(sym), "--url", f"{server.url}/uploads/"]) == USAGE
    assert f"{server.url}/uploads/: no Tecken server answers there" in capsys.readouterr().err


@pytest.mark.usefixtures("no_pauses")
def test_command_server_under_maintenance_is_tried_again(
    server: SymbolServer, sym: Path, capsys: Output
) -> None:
    server.script[WHO] = [Reply(503, {"error": "Under maintenance"}), server.reply(WHO)]
    assert main([str(sym)]) == DONE
    assert "503 Under maintenance; trying again" in capsys.readouterr().err


def test_command_server_with_a_certificate_of_an_authority_of_the_system_is_trusted(
    secure_url: str, trusted: Papers, sym: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.authority))
    assert main([str(sym), "--url", secure_url]) == DONE


def test_command_server_with_a_certificate_of_no_known_authority_is_refused(
    server: SymbolServer, secure_url: str, sym: Path, capsys: Output
) -> None:
    assert main([str(sym), "--url", secure_url]) == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert "SSL_CERT_FILE" in line
    assert not server.requests
