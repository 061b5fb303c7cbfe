"""`/process/minidump`: dumps in bodies and forms, their reports, and what is left of them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory
from pytest_django import Settings

from tecken.errors import TooManyAtOnce, Unavailable
from tecken.http.decorators import REFUSAL
from tecken.jobs import sending
from tecken.redisclient.services import cache_client
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.minidump import SENDER_SECONDS, admit_dump
from tecken.symbolication.crash_dumps.services import TASK_EXPIRES_SECONDS, dump_files
from tecken.symbolication.crash_dumps.tracker import ALL, state_key
from tests.support.options import Override
from tests.support.redis_server import free_port
from tests.symbolication.crash_dumps.jobs import (
    CRASH_C,
    SECRET,
    core_file,
    crash_dump,
    run_jobs,
    sent_jobs,
    working,
)

pytest_plugins = ["tests.symbolication.sample_source"]
pytestmark = pytest.mark.django_db
URL = "/process/minidump"


@pytest.fixture(autouse=True)
def _symbols(sample_source: None, runtime_options: Override) -> None:
    symbolication_services.converter().convert(CRASH_C)
    runtime_options(minidump_deadline_seconds=0)


def post(content: Any, kind: str = "application/octet-stream", **headers: str) -> Any:
    return Client(enforce_csrf_checks=True).post(URL, content, kind, headers=headers)


def post_form(fields: dict[str, Any], **headers: str) -> Any:
    return Client(enforce_csrf_checks=True).post(URL, fields, headers=headers)


def get(dump_id: str) -> Any:
    return Client().get(f"{URL}/{dump_id}")


def again(dump_id: str) -> Any:
    return Client(enforce_csrf_checks=True).post(f"{URL}/{dump_id}")


def file(content: bytes, name: str = "a.dmp") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def functions(report: Any) -> list[str | None]:
    return [frame["function"] for frame in report["crashing_thread"]["frames"]]


def stored() -> list[str]:
    return [part.kind for part in dump_files().entries()]


def test_dump_with_a_worker_is_answered_with_its_report(runtime_options: Override) -> None:
    runtime_options(minidump_deadline_seconds=60)
    with working():
        reply = post(crash_dump())
    report = reply.json()
    assert (reply.status_code, reply["Content-Type"]) == (200, "application/json")
    assert report["status"] == "OK"
    assert functions(report)[0] == "by_price"
    assert report["modules"][0]["symbols"] == "loaded"
    assert reply["Access-Control-Allow-Origin"] == "*"
    # The dump is deleted, and the report has nothing of the stack.
    assert stored() == ["json.zst"]
    assert SECRET not in reply.content
    assert SECRET[:8][::-1].hex().encode() not in reply.content


def test_dump_without_a_worker_is_answered_with_its_address() -> None:
    reply = post(crash_dump())
    body = reply.json()
    assert reply.status_code == 202
    assert (body["state"], reply["Retry-After"]) == ("waiting", "2")
    assert body["url"] == reply["Location"] == f"http://testserver{URL}/{body['id']}"
    assert get(body["id"]).json() == body
    run_jobs()
    report = get(body["id"])
    assert (report.status_code, functions(report.json())[0]) == (200, "by_price")
    assert (report["Cache-Control"], report["Content-Location"]) == ("private", body["url"])


def test_dump_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()
    (line,) = [record.getMessage() for record in caplog.records if "minidump" in record.getMessage()]
    assert line.startswith(f"minidump {dump_id[:8]}: 1 threads, ")
    assert ", symbols of 1 of 1 modules, " in line
    assert dump_id not in caplog.text
    assert "swordfish" not in caplog.text


def test_core_file_is_answered_with_its_report() -> None:
    dump_id = post(gzip.compress(core_file())).json()["id"]
    run_jobs()
    report = get(dump_id).json()
    assert functions(report)[0] == "by_price"
    assert (report["crash_info"]["type"], report["pid"]) == ("SIGSEGV / SEGV_MAPERR", 4711)
    assert report["modules"][0]["symbols"] == "loaded"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_compressed_dump_is_unpacked_with_and_without_encoding(
    pack: Callable[[bytes], bytes], encoding: str
) -> None:
    headers = {"content-encoding": encoding} if encoding else {}
    assert post(pack(crash_dump()), **headers).status_code == 202


def test_unknown_encoding_is_415() -> None:
    assert post(crash_dump(), **{"content-encoding": "br"}).status_code == 415


def test_form_of_a_person_is_answered_as_a_body() -> None:
    reply = post_form({"minidump": file(crash_dump()), "log": file(b"a log")})
    assert (reply.status_code, reply.json()["state"]) == (202, "waiting")


@pytest.mark.parametrize(
    "program", ["Crashpad/1.0.0 WinHTTP/10.0 Windows_NT/10.0 (x64)", "Breakpad/1.0 (Linux)"]
)
def test_form_of_a_sender_is_answered_with_the_id(program: str) -> None:
    fields = {"prod": "App", "log": file(b"a log"), "upload_file_minidump": file(crash_dump()), "ver": "1"}
    reply = post_form(fields, **{"user-agent": program})
    dump_id = reply.content.decode()
    assert (reply.status_code, reply["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert get(dump_id).json()["state"] == "waiting"
    run_jobs()
    assert functions(get(dump_id).json())[0] == "by_price"


def test_sender_gets_the_id_after_its_dump_has_ended(runtime_options: Override) -> None:
    # So one that sends many dumps, one after the other, needs one place.
    runtime_options(minidump_deadline_seconds=60, minidump_client_dumps=1)
    with working():
        replies = [
            post_form({"upload_file_minidump": file(crash_dump())}, **{"user-agent": "Crashpad/0.8.0"})
            for _ in range(3)
        ]
    assert [reply.status_code for reply in replies] == [200] * 3
    assert [get(reply.content.decode()).json()["status"] for reply in replies] == ["OK"] * 3


def test_sender_does_not_wait_until_it_gives_up(
    runtime_options: Override, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Crashpad gives up after 20 seconds on iOS.
    assert SENDER_SECONDS <= 10
    monkeypatch.setattr("tecken.symbolication.api.minidump.SENDER_SECONDS", 0.1)
    runtime_options(minidump_deadline_seconds=300)
    reply = post_form({"upload_file_minidump": file(crash_dump())}, **{"user-agent": "Crashpad/0.8.0"})
    assert (reply.status_code, get(reply.content.decode()).json()["state"]) == (200, "waiting")


def test_form_of_another_program_with_the_field_of_senders_is_answered_with_json() -> None:
    reply = post_form({"upload_file_minidump": file(gzip.compress(crash_dump()))})
    assert (reply.status_code, reply.json()["state"]) == (202, "waiting")


def test_files_of_a_form_after_the_dump_are_skipped() -> None:
    fields = {"minidump": file(crash_dump()), "upload_file_minidump": file(b"two"), "log": file(b"a log")}
    assert post_form(fields).json()["state"] == "waiting"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "The file is empty"),
        (b"a text", "texts are for /symbolicate/ and /symbolicate/text"),
        (b"\x7fELF is no dump", "does not begin with MDMP"),
        (gzip.compress(b"text"), "does not begin with MDMP"),
        (gzip.compress(crash_dump())[:99], "broken gzip data|ends early"),
    ],
    ids=["empty", "text", "ELF", "packed text", "cut"],
)
def test_body_that_is_no_dump_is_400_and_nothing_is_stored(content: bytes, text: str) -> None:
    reply = post(content)
    assert reply.status_code == 400
    assert any(part in reply.json()["error"] for part in text.split("|"))
    assert stored() == sent_jobs() == []


def test_form_without_a_dump_is_400() -> None:
    assert post_form({"other": file(crash_dump())}).status_code == 400
    assert "Must be a minidump" in post_form({"minidump": "text"}).json()["error"]
    reply = post(b"--x", "multipart/form-data")
    assert (reply.status_code, stored()) == (400, [])


def test_dump_that_cannot_be_read_is_400_when_it_is_processed() -> None:
    dump_id = post(b"MDMP" + bytes(40)).json()["id"]
    run_jobs()
    reply = get(dump_id)
    assert (reply.status_code, stored()) == (400, [])
    assert "version" in reply.json()["error"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_dump_over_the_limit_is_413(pack: Callable[[bytes], bytes], runtime_options: Override) -> None:
    content = crash_dump()
    runtime_options(minidump_max_bytes=len(content) - 1)
    for reply in (post(pack(content)), post_form({"minidump": file(pack(content))})):
        assert reply.status_code == 413
        assert f"larger than {len(content) - 1} bytes" in reply.json()["error"]
    runtime_options(minidump_max_bytes=len(content))
    assert post(pack(content)).status_code == 202
    assert post_form({"minidump": file(pack(content))}).status_code == 202


def test_client_over_its_places_is_429_until_a_dump_has_ended(runtime_options: Override) -> None:
    runtime_options(minidump_client_dumps=2)
    assert [post(crash_dump()).status_code for _ in range(2)] == [202, 202]
    reply = post(crash_dump())
    assert (reply.status_code, reply["Retry-After"]) == (429, "5")
    assert reply.json()["error"].startswith("2 minidumps of this client")
    assert stored() == ["dmp", "dmp"]
    run_jobs()
    assert post(crash_dump()).status_code == 202


def test_client_over_its_places_is_refused_before_its_body_is_read(runtime_options: Override) -> None:
    runtime_options(minidump_client_dumps=1)
    request = RequestFactory().post(URL)
    admit_dump(request)
    assert post(crash_dump()).status_code == 202
    with pytest.raises(TooManyAtOnce) as refusal:
        admit_dump(request)
    front: dict[str, Any] = {REFUSAL: refusal.value}
    reply = Client().post(URL, b"", "text/plain", **front)
    assert (reply.status_code, reply["Retry-After"]) == (429, "5")


def test_requests_are_charged(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("2 requests/hour per address",))
    assert [post(b"no dump").status_code for _ in range(3)] == [400, 400, 429]
    assert get("0" * 32).status_code == 429


def test_frames_of_a_report_are_charged_after_it_is_made(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("1 frames/hour per address",))
    assert [post(crash_dump()).status_code for _ in range(2)] == [202, 202]
    run_jobs()
    refused = post(b"")
    assert (refused.status_code, refused.json()["error"]) == (429, "More than 1 frames/hour per address")
    # One frame of each report; the second one is above the limit.
    assert 3600 < int(refused["Retry-After"]) <= 7200


@pytest.mark.parametrize("dump_id", ["0" * 32, "x", "A" * 32, "..", "0" * 33])
def test_unknown_id_is_404(dump_id: str) -> None:
    assert get(dump_id).status_code == 404


def test_report_expires(tmp_path: Path) -> None:
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()
    assert get(dump_id).status_code == 200
    (report,) = tmp_path.glob("minidumps/*")
    os.utime(report, (0, 0))
    assert get(dump_id).status_code == 404


def test_kept_dump_stays(runtime_options: Override) -> None:
    runtime_options(minidump_keep_dumps=True)
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()
    assert sorted(stored()) == ["dmp", "json.zst"]
    with dump_files().open_dump(dump_id) as kept:
        assert kept.read() == crash_dump()


def test_kept_dump_whose_report_has_expired_does_not_wait(runtime_options: Override, tmp_path: Path) -> None:
    runtime_options(minidump_keep_dumps=True, minidump_keep_seconds=60)
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()
    (report,) = tmp_path.glob("minidumps/*.json.zst")
    os.utime(report, (0, 0))
    assert get(dump_id).status_code == 404
    # Until then a dump without a state would be one that waits.
    assert cache_client().ttl(state_key(dump_id)) > TASK_EXPIRES_SECONDS - 60


def test_kept_dump_is_processed_again_at_the_same_address(runtime_options: Override) -> None:
    runtime_options(minidump_keep_dumps=True)
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()
    dump_files().put_report(dump_id, b'{"status": "old"}')
    reply = again(dump_id)
    assert (reply.status_code, reply["Location"]) == (202, f"http://testserver{URL}/{dump_id}")
    assert again(dump_id).json()["state"] == "waiting"
    assert cache_client().zcard(ALL) == 1
    run_jobs()
    assert functions(get(dump_id).json())[0] == "by_price"


def test_kept_dump_is_answered_with_its_new_report(runtime_options: Override, tmp_path: Path) -> None:
    runtime_options(minidump_keep_dumps=True, minidump_deadline_seconds=60)
    with working():
        dump_id = post(crash_dump(), **{"User-Agent": "Crashpad/1"}).content.decode()
        (report,) = tmp_path.glob("minidumps/*.json.zst")
        os.utime(report, (0, 0))
        assert get(dump_id).status_code == 404
        assert again(dump_id).json()["status"] == "OK"


@pytest.mark.parametrize("is_kept", [True, False])
def test_dump_that_is_not_stored_is_not_processed_again(runtime_options: Override, *, is_kept: bool) -> None:
    runtime_options(minidump_keep_dumps=is_kept)
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()
    dump_files().delete(dump_id, "dmp")
    reply = again(dump_id)
    assert reply.status_code == 404
    assert reply.json()["error"] == "the dump of this id is not stored any more; send it again"
    assert get(dump_id).status_code == 200
    assert again("0" * 32).status_code == 404
    assert sent_jobs() == []


def test_report_stays_if_its_dump_cannot_be_processed_again(
    runtime_options: Override, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_options(minidump_keep_dumps=True)
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()

    def fail(*_arguments: object) -> None:
        raise Unavailable("the queue does not answer")

    monkeypatch.setattr(sending, "send", fail)
    assert again(dump_id).status_code == 503
    assert get(dump_id).status_code == 200
    assert cache_client().zcard(ALL) == 0


def test_client_without_a_place_does_not_process_again(runtime_options: Override) -> None:
    runtime_options(minidump_keep_dumps=True, minidump_client_dumps=1)
    dump_id = post(crash_dump()).json()["id"]
    run_jobs()
    post(crash_dump())
    assert again(dump_id).status_code == 429
    assert get(dump_id).status_code == 200


def test_state_that_redis_has_lost_is_found_in_the_storage() -> None:
    dump_id = post(crash_dump()).json()["id"]
    cache_client().flushdb()
    assert get(dump_id).json()["state"] == "waiting"
    run_jobs()
    cache_client().flushdb()
    assert get(dump_id).status_code == 200


def test_dump_without_redis_is_503_and_nothing_is_stored(settings: Settings, sample_source: None) -> None:
    from tecken import services  # noqa: PLC0415 - the caches are made again

    nowhere = {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    settings.CACHES = {alias: cache | nowhere for alias, cache in settings.CACHES.items()}
    services.discard_all()
    assert post(crash_dump()).status_code == 503
    assert stored() == []


def test_dump_without_storage_is_503_and_frees_its_place(tmp_path: Path, settings: Settings) -> None:
    from tecken import services  # noqa: PLC0415 - as above

    (tmp_path / "file").write_text("")
    settings.STORAGE_URL = f"file://{tmp_path}/file"
    services.discard_all()
    assert post(crash_dump()).status_code == 503
    assert cache_client().zcard(ALL) == 0
    assert sent_jobs() == []


def test_other_methods_are_405() -> None:
    assert (Client().get(URL).status_code, Client().get(URL)["Allow"]) == (405, "POST, OPTIONS")
    put = Client().put(f"{URL}/{'0' * 32}")
    assert (put.status_code, put["Allow"]) == (405, "GET, HEAD, POST, OPTIONS")
    assert Client().options(URL)["Access-Control-Allow-Methods"] == "POST, OPTIONS"
