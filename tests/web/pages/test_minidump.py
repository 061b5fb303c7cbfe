"""The page of a minidump's result, and the form that sends one."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.jobs import sending
from tecken.symbolication.crash_dumps.dump_files import DUMP
from tecken.symbolication.crash_dumps.services import dump_files
from tecken.web.pages import minidump
from tests.support.options import Override
from tests.symbolication.minidump.reports import Report, crash_report, frame
from tests.web.minidumps import fail, finish, submit

pytestmark = pytest.mark.django_db
FROM_US = {"Origin": "http://testserver"}
MOST_BYTES = 3_000_000


@pytest.fixture(autouse=True)
def _site(
    tmp_path: Path,
    settings: Settings,
    clear_redis_store: None,
    runtime_options: Override,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    settings.STORAGE_URL = tmp_path.as_uri()
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    monkeypatch.setattr(sending, "send", lambda *_arguments, **_how: None)
    monkeypatch.setattr(minidump, "WAIT", 0.0)
    yield
    services.discard_all()


def show(client: Client, dump_id: str, status: int = 200) -> str:
    response = client.get(f"/symbolicate/minidump/{dump_id}/")
    assert response.status_code == status, response.content
    assert "noindex" in response["X-Robots-Tag"]
    assert "no-store" in response["Cache-Control"]
    return response.content.decode()


def show_report(client: Client, report: Report) -> str:
    dump_id = submit()
    finish(dump_id, report)
    return show(client, dump_id)


def test_form_without_a_script_leads_to_the_result(client: Client) -> None:
    form = client.get("/symbolicate/").content.decode()
    assert 'enctype="multipart/form-data" action="/symbolicate/minidump/"' in form
    dump = SimpleUploadedFile("crash.dmp", b"MDMP and more", "application/octet-stream")
    response = client.post("/symbolicate/minidump/", {"minidump": dump}, headers=FROM_US)
    assert response.status_code == 302, response.content
    match = re.fullmatch(r"/symbolicate/minidump/([0-9a-f]{32})/", response["Location"])
    assert match
    with dump_files().open_dump(match[1]) as file:
        assert file.read() == b"MDMP and more"


def test_form_of_a_script_gets_the_address_of_the_result(client: Client) -> None:
    dump = SimpleUploadedFile("crash.dmp", gzip.compress(b"MDMP and more"), "application/gzip")
    headers = {**FROM_US, "Accept": "application/json"}
    response = client.post("/symbolicate/minidump/", {"minidump": dump}, headers=headers)
    assert response.status_code == 201
    assert re.fullmatch(r"/symbolicate/minidump/[0-9a-f]{32}/", response.json()["url"])


def test_file_that_is_no_minidump_is_refused(client: Client) -> None:
    dump = SimpleUploadedFile("crash.dmp", b"a text", "application/octet-stream")
    response = client.post("/symbolicate/minidump/", {"minidump": dump}, headers=FROM_US)
    assert response.status_code == 400
    assert b"does not begin with MDMP" in response.content


def test_form_without_a_file_is_refused(client: Client) -> None:
    response = client.post("/symbolicate/minidump/", {"other": "x"}, headers=FROM_US)
    assert response.status_code == 400
    assert b"Must be a minidump" in response.content


def test_form_of_another_site_is_refused() -> None:
    response = Client(enforce_csrf_checks=True).post("/symbolicate/minidump/", {"other": "x"})
    assert response.status_code == 403


def test_dump_that_waits_has_a_page_that_refreshes_itself(client: Client) -> None:
    dump_id = submit()
    assert "The dump waits for a worker." in show(client, dump_id)
    assert client.get(f"/symbolicate/minidump/{dump_id}/")["Refresh"] == "2"


def test_result_is_a_sentence_then_threads_and_modules(client: Client) -> None:
    dump_id = submit()
    finish(dump_id, crash_report())
    page = show(client, dump_id)
    assert "shop crashed in abort, called from check_total (total.h:7): it ended itself" in page
    crashing, others = page.split('<details class="others">')
    assert '<span class="tag bad">crashed here</span>' in crashing
    assert '<span class="function"><bdi>check_total</bdi></span>' in crashing
    assert '<span class="tag">inlined</span>' in crashing
    assert '<li class=" doubtful">' in crashing
    assert "<dt>rip</dt><dd>0x00007f0000022e5d</dd>" in crashing
    assert "<bdi>poll</bdi>" in others
    assert 'href="/explain/libc.so.6/C0BCC3F19827FE653058404B2831D9E60/"' in others
    assert "tecken-upload --url http://testserver libc.so.6" in others
    assert "1 module without frames" in others
    assert f'href="/process/minidump/{dump_id}"' in others
    assert "Refresh" not in client.get(f"/symbolicate/minidump/{dump_id}/")


def test_result_has_the_instruction_of_the_crash_and_what_it_used(client: Client) -> None:
    report = crash_report()
    report["crash_info"] |= {
        "instruction": "mov rax, qword [rdi + 0x18]",
        "memory_accesses": [{"address": "0x0000000000000018", "size": 8, "access_type": "read"}],
        "adjusted_address": {"kind": "null-pointer", "offset": "0x0000000000000018"},
        "crash_inconsistencies": ["<b>"],
    }
    page = show_report(client, report)
    assert "<dt>Instruction</dt><dd><code>mov rax, qword [rdi + 0x18]</code></dd>" in page
    assert "<dt>Memory</dt><dd><bdi>8 bytes at 0x18 read</bdi></dd>" in page
    assert "<dt>Address</dt><dd><bdi>null pointer with offset 24</bdi></dd>" in page
    assert "<dt>Inconsistent</dt><dd><bdi>&lt;b&gt;</bdi></dd>" in page


def test_result_with_unavailable_symbols_asks_for_the_dump_again(client: Client) -> None:
    report = crash_report()
    report["modules"][1] |= {"symbols": "unavailable", "symbols_reason": "a source did not answer"}
    page = show_report(client, report)
    assert "(a source did not answer); process the dump again in some seconds" in page
    assert "look again" not in page
    assert '<a href="#again">send the dump again</a>' in page
    assert '<h2 id="again">Send the dump again, or another one</h2>' in page


def test_result_asks_for_no_symbols_of_the_kernels_code(client: Client) -> None:
    report = crash_report()
    report["modules"][1] |= {"filename": "linux-gate.so", "debug_file": "linux-gate.so"}
    page = show_report(client, report)
    assert "The kernel maps it into each process; stacks seldom need its symbols" in page
    assert "no symbols:" not in page
    assert "Process another minidump" in page


@pytest.mark.parametrize(("version", "column"), [(None, False), ("6.1.7601", True)])
def test_result_has_a_column_of_versions_if_there_are_any(
    client: Client, version: str | None, *, column: bool
) -> None:
    report = crash_report()
    for module in report["modules"]:
        module["version"] = version
    assert ('<th scope="col">version</th>' in show_report(client, report)) == column


def test_result_as_text_is_on_the_page(client: Client) -> None:
    page = show_report(client, crash_report())
    assert "#1   shop!checkout [/build/shop/cart.c:41] (cfi)" in page.partition('<textarea id="plain"')[2]


def test_dump_that_cannot_be_processed_has_a_page_with_the_reason(client: Client) -> None:
    dump_id = submit()
    fail(dump_id, "no minidump: it begins with MDMQ")
    assert "no minidump: it begins with MDMQ" in show(client, dump_id, 400)


@pytest.mark.parametrize("name", ["0" * 32, "x", "<script>"])
def test_unknown_result_is_404(client: Client, name: str) -> None:
    assert client.get(f"/symbolicate/minidump/{name}/").status_code == 404


def test_look_at_an_unknown_result_counts_as_a_request(client: Client, runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("1 requests/hour per address",))
    assert [client.get(f"/symbolicate/minidump/{'0' * 32}/").status_code for _ in range(2)] == [404, 429]


def test_kept_dump_is_processed_again(client: Client, runtime_options: Override) -> None:
    runtime_options(minidump_keep_dumps=True)
    dump_id = submit()
    finish(dump_id, crash_report())
    page = show(client, dump_id)
    assert '<a href="#again">process the dump again</a>.' in page
    assert '<button class="main">Process again</button>' in page
    assert "Everyone who has this address can process the dump again and read the result" in page
    response = client.post(f"/symbolicate/minidump/{dump_id}/")
    assert (response.status_code, response["Location"]) == (302, f"/symbolicate/minidump/{dump_id}/")
    assert "The dump waits for a worker." in show(client, dump_id)


def test_dump_that_was_deleted_is_not_processed_again(client: Client, runtime_options: Override) -> None:
    runtime_options(minidump_keep_dumps=True)
    dump_id = submit()
    finish(dump_id, crash_report())
    dump_files().delete(dump_id, DUMP)
    page = show(client, dump_id)
    assert "The dump has been deleted." in page
    assert "Process again" not in page
    response = client.post(f"/symbolicate/minidump/{dump_id}/")
    assert response.status_code == 404
    assert b"not stored any more; send it again" in response.content
    assert "crashed in abort" in show(client, dump_id)


def test_kept_dump_is_not_processed_again_by_another_site(runtime_options: Override) -> None:
    runtime_options(minidump_keep_dumps=True)
    dump_id = submit()
    finish(dump_id, crash_report())
    assert Client(enforce_csrf_checks=True).post(f"/symbolicate/minidump/{dump_id}/").status_code == 403


def test_attempts_to_process_again_count_as_requests(client: Client, runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("1 requests/hour per address",))
    url = f"/symbolicate/minidump/{'0' * 32}/"
    assert [client.post(url).status_code for _ in range(2)] == [404, 429]


def test_hostile_names_are_escaped(client: Client) -> None:
    report = crash_report()
    hostile = "<script>alert(1)</script>\u202e"
    report["threads"][0]["thread_name"] = hostile
    report["crash_info"]["type"] = report["crash_info"]["assertion"] = hostile
    report["crashing_thread"]["frames"][0] |= {"function": hostile, "module": hostile, "trust": hostile}
    report["modules"][0] |= {"filename": hostile, "debug_file": hostile, "debug_id": hostile}
    page = show_report(client, report)
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_page_of_the_largest_report_is_bounded(client: Client) -> None:
    long = [
        frame(n, function="f" * 2000, file="g" * 2000, inlines=[{"function": "i" * 2000}]) for n in range(400)
    ]
    short = [frame(number) for number in range(50)]
    report = {
        "threads": [{"frames": long}] * 10 + [{"frames": short}] * 1014,
        "crash_info": {"crashing_thread": 5, "type": "SIGSEGV"},
        "modules": [
            {"filename": "m" * 2000, "debug_file": f"m{n}", "debug_id": "A" * 33} for n in range(4096)
        ],
    }
    page = show_report(client, report)
    assert len(page) < MOST_BYTES
    assert "threads left out. The JSON has all." in page


@pytest.mark.parametrize(
    "report", [{}, {"threads": [{}], "modules": [None], "crashing_thread": {"frames": 3}}]
)
def test_report_with_nothing_in_it_has_a_page(client: Client, report: Report) -> None:
    assert "has no crash." in show_report(client, report)


def test_pasted_minidump_gets_the_next_step(client: Client) -> None:
    response = client.post("/symbolicate/", {"text": "MDMP\ufffd\ufffd\x01"})
    assert response.status_code == 400
    assert b"drop it on the page /symbolicate/" in response.content
