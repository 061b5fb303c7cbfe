"""What exceeds a limit of the server is split; what cannot be split is named, and does not stop the rest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from tecken.client.__main__ import DONE, SOME_FAILED, main
from tecken.client.uploads import Limits
from tecken.upload.models import Upload
from tests.client.conftest import MakeSym
from tests.client.server import Reply, SymbolServer
from tests.support.options import Override

pytest_plugins = ["tests.client.site"]
Output = pytest.CaptureFixture[str]
WHO, ZIP, ANNOUNCE = "POST /upload/auth_info/", "POST /upload/", "POST /upload/v2/"
STORED = Reply(201, {"upload": {}})


@pytest.fixture
def syms(make_sym: MakeSym, tmp_path: Path) -> Path:
    """Return a directory with four symbol files of about 2 kB, which are hard to compress."""
    for number in range(1, 5):
        text = "".join(f"PUBLIC {n:x} 0 {os.urandom(16).hex()}\n" for n in range(40))
        make_sym(f"build/{number}.sym", debug_id=str(number) * 33, more=text)
    return tmp_path / "build"


def limit(server: SymbolServer, **limits: object) -> None:
    server.script[WHO] = Reply(said={"upload_api_version": 1, "try_symbols": False, "limits": limits})


def sizes(server: SymbolServer) -> list[int]:
    return [len(request.members()) for request in server.requests[ZIP]]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [4]),
        ({"upload_max_members": 3}, [3, 1]),
        ({"upload_max_unpacked_bytes": 5_000}, [2, 2]),
        ({"upload_max_bytes": 5_000}, [2, 2]),
        ({"upload_max_members": 0, "upload_max_bytes": "many"}, [4]),
        (None, [4]),
    ],
)
def test_archives_stay_within_the_limits_that_the_server_sends(
    server: SymbolServer, syms: Path, limits: dict[str, object] | None, expected: Sequence[int]
) -> None:
    server.script[WHO] = Reply(said={"upload_api_version": 1, "limits": limits})
    assert main([str(syms)]) == DONE
    assert sizes(server) == expected


def test_archive_that_a_server_finds_too_large_is_split(
    server: SymbolServer, syms: Path, capsys: Output
) -> None:
    server.script[ZIP] = [Reply(413), STORED, Reply(413), Reply(413, {"error": "too large"}), STORED]
    assert main([str(syms)]) == SOME_FAILED
    assert sizes(server) == [4, 2, 2, 1, 1]
    out, err = capsys.readouterr()
    assert err == f"tecken-upload: failed: {syms}/3.sym: POST {server.url}/upload/: 413 too large\n"
    assert ": 3 stored, 0 there before, 1 failed\n" in out


@pytest.mark.parametrize("protocol", ["1", "2"])
@pytest.mark.parametrize("name", ["symbol_max_bytes", "upload_max_unpacked_bytes"])
def test_file_over_a_limit_is_named_and_does_not_stop_the_others(
    server: SymbolServer, syms: Path, make_sym: MakeSym, protocol: str, name: str, capsys: Output
) -> None:
    large = make_sym("build/large.sym", debug_id="E" * 33, more="PUBLIC 10 0 f\n" * 1000)
    limit(server, **{name: 5_000})
    keys = [f"libx.so/{str(number) * 33}/libx.so.sym" for number in range(1, 5)]
    files = [{"key": key, "action": {"type": "skip"}} for key in keys]
    server.script[ANNOUNCE] = Reply(201, {"id": 7, "upload_protocol": "http-put", "files": files})
    assert main([str(syms), "--protocol", protocol]) == SOME_FAILED
    assert capsys.readouterr().err == (
        f"tecken-upload: failed: {large}: has 14.1 kB, and the server takes at most 5.00 kB ({name})\n"
    )
    assert server.requests[ZIP if protocol == "1" else ANNOUNCE]


def test_file_over_the_limit_of_archives_when_packed_is_named(
    server: SymbolServer, syms: Path, capsys: Output
) -> None:
    limit(server, upload_max_bytes=1_000)
    assert main([str(syms)]) == SOME_FAILED
    assert ZIP not in server.requests
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert "1.sym: packed, it has 1." in lines[0]
    assert lines[0].endswith("the server takes at most 1.00 kB (upload_max_bytes)")


def test_announcements_have_no_more_files_than_the_server_takes(server: SymbolServer, syms: Path) -> None:
    limit(server, upload_direct_max_files=3)
    keys = [f"libx.so/{str(number) * 33}/libx.so.sym" for number in range(1, 5)]
    files = [{"key": key, "action": {"type": "skip"}} for key in keys]
    server.script[ANNOUNCE] = Reply(201, {"id": 7, "upload_protocol": "http-put", "files": files})
    assert main([str(syms), "--protocol", "2"]) == DONE
    assert [request.body.count(b'"key"') for request in server.requests[ANNOUNCE]] == [3, 1]


@pytest.mark.parametrize("sent", [None, [], {}, {"upload_max_bytes": -1}, {"upload_max_bytes": None}])
def test_limits_that_are_none_are_ignored(sent: object) -> None:
    assert Limits.read({"limits": sent}) == Limits()


@pytest.mark.parametrize("protocol", ["1", "2"])
def test_upload_to_a_site_is_split_by_its_limits(
    protocol: str, site: LiveServer, syms: Path, runtime_options: Override, capsys: Output
) -> None:
    runtime_options(upload_max_members=3, upload_direct_max_files=3)
    assert main([str(syms), "--protocol", protocol]) == DONE
    *_, first, second = capsys.readouterr().out.splitlines()
    assert (first, second) == tuple(
        f"{site.url}/uploads/{upload.pk}/" for upload in Upload.objects.order_by("pk")
    )
    assert Upload.objects.filter(completed_at=None).count() == 0
