from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_django
import zstandard
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tecken import services
from tecken.errors import AccessDenied, NotFound, TooLarge
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.storage.backends.files import gzip_chunks
from tecken.storage.lookup_log import SourceResult
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.text import MAX_CHARACTERS
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.web import module_facts, shared_reports
from tests.support.options import Override
from tests.web.api.rows import file_of

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
PASTE = (SAMPLES / "stack.json").read_text()
CRASH_C = ("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
LIBC = ("libc.so.6", "EC61AC938E5A39B16F9FBD350E3169A50")
pytest_plugins = ["tests.symbolication.sample_source"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _symbols(sample_source: None) -> None:
    for module in (*[path.parts[-3:-1] for path in SAMPLES.glob("*/*/*.sym")], LIBC):
        symbolication_services.converter().convert(ObjectId.parse(*module))


def post(client: Client, text: str, **more: str) -> str:
    reply = client.post("/symbolicate/", {"text": text, **more})
    assert reply.status_code == 200, reply.content
    return reply.content.decode()


def test_symbolicate_form_is_public(client: Client) -> None:
    reply = client.get("/symbolicate/")
    assert reply.status_code == 200
    assert '<textarea id="text" name="text"' in reply.content.decode()


def test_symbolicate_shows_inlines_and_missing_module(client: Client) -> None:
    page = post(client, PASTE)
    assert '<span class="function"><bdi>crash_report</bdi></span>' in page
    assert '<span class="tag">inlined</span>' in page
    assert "It was never uploaded, and no upstream has it; upload it" in page  # libc.so.6
    assert "tecken-upload --url http://testserver libc.so.6" in page
    assert 'href="/explain/libc.so.6/EC61AC938E5A39B16F9FBD350E3169A50/"' in page


def test_symbolicate_shows_inlined_calls_above_their_caller(client: Client) -> None:
    stack = post(client, " ".join(CRASH_C) + " 0x1205").partition('<ol class="stack"')[2]
    inlined, caller = stack.index("<bdi>per_person</bdi>"), stack.index("<bdi>by_price</bdi>")
    assert inlined < stack.index('<span class="tag">inlined</span>') < caller
    assert "<details" not in stack[:caller]


def report_of(threads: int, crashed: int, **module: str) -> str:
    """A report with two modules, the second one without symbols."""
    known = {"filename": "known", "debug_file": CRASH_C[0], "debug_id": CRASH_C[1]}
    other = {"filename": "other.so", "debug_file": "other.so", "debug_id": "A" * 33, **module}
    frames = [{"module": "known", "module_offset": "0x1205"}, {"module": "other.so", "module_offset": "0x10"}]
    return json.dumps(
        {
            "modules": [known, other],
            "threads": [{"thread_name": f"worker-{number}", "frames": frames} for number in range(threads)],
            "crash_info": {"type": "SIGSEGV", "crashing_thread": crashed},
        }
    )


def test_symbolicate_shows_crashing_thread_first_and_counts_the_others(client: Client) -> None:
    page = post(client, report_of(30, 7))
    assert "29 other threads" in page
    first, _, others = page.partition('<details class="others">')
    assert first.count('class="crash"') == 1
    assert "worker-7" in first
    assert "worker-0" not in first
    assert others.partition("</table>")[0].count('<details class="thread">') == 29


def test_symbolicate_lists_missing_modules_first(client: Client) -> None:
    page = post(client, report_of(1, 0))
    assert "1 of 2 modules has no symbols" in page
    table = page.partition('<table class="modules">')[2]
    assert table.index("other.so") < table.index("crash-c")
    assert "other threads" not in page


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"debug_id": "A" * 33}, "removed"),
        ({"debug_id": "A" * 33, "completed_at": None}, "unfinished upload"),
        ({"debug_id": "A" * 33, "try_symbols": True}, "only try builds"),
        ({"debug_id": "A" * 32 + "1"}, "different age"),
        ({"debug_id": "code", "native_id": "A" * 32 + "1"}, "different age"),
        ({"debug_id": "B" * 33}, "wrong id"),
        ({"debug_id": "B" * 33, "try_symbols": True}, "never uploaded"),
    ],
)
def test_symbolicate_finds_cause_in_rows_of_files(
    client: Client, columns: dict[str, Any], cause: str
) -> None:
    symbolication_services.converter().convert(ObjectId("other.so", "A" * 33))
    file_of(None, **{"debug_file": "other.so", "code_id": "", **columns})
    assert f'<span class="no">{cause}</span>' in post(client, report_of(1, 0))


def test_symbolicate_finds_cause_in_last_search(client: Client) -> None:
    module = ObjectId("other.so", "A" * 33)
    symbolication_services.converter().convert(module)
    refused = SourceResult("https://x", AccessDenied("https://x: refused: 403"), 0.1)
    storage_services.lookup_log().note(module, [refused])
    assert '<span class="no">refused by the upstream</span>' in post(client, report_of(1, 0))


def test_symbolicate_without_database_has_remedies(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    symbolication_services.converter().convert(ObjectId("other.so", "A" * 33))

    def fail(_modules: object) -> None:
        raise OperationalError

    monkeypatch.setattr(module_facts, "_load_rows", fail)
    assert "No source has its symbols; upload them" in post(client, report_of(1, 0))


def test_symbolicate_looks_up_few_modules(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries, runtime_options: Override
) -> None:
    lines = "\n".join(f"m{number}.so A{number:031X}0 0x10" for number in range(1, 100))
    for number in range(1, 100):
        symbolication_services.converter().convert(ObjectId(f"m{number}.so", f"A{number:031X}0"))
    with django_assert_max_num_queries(30):
        page = post(client, lines)
    assert page.count('<span class="no">never uploaded</span>') == module_facts.MAX_MODULES
    assert page.count("Its page has the reason") == 99 - module_facts.MAX_MODULES


def test_symbolicate_executable_without_debug_file_has_remedy(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_facts, "is_only_executable", bool)
    only_table = {"modules": "MODULE Linux x86_64 " + "C" * 33 + " table.so\nPUBLIC 10 0 exported\n"}
    storage_services.own_files().put(
        symbol_file(ObjectId("table.so", "C" * 33)), gzip_chunks([only_table["modules"].encode()])
    )
    symbolication_services.converter().convert(ObjectId("table.so", "C" * 33))
    page = post(client, f"table.so {'C' * 33} 0x10\n{' '.join(CRASH_C)} 0x1205")
    assert page.count("Only the executable was uploaded") == 1


@pytest.mark.parametrize("name", ["<b>x</b>\u202egnp.so", "a\x1bb", "L" * 10_000, "a/../b"])
def test_symbolicate_hostile_module_has_short_row(client: Client, name: str) -> None:
    page = post(client, report_of(2, 0, debug_file=name))
    table = page.partition('<table class="modules">')[2].partition("</table>")[0]
    assert "No module can have this name and id" in table
    assert "<b>" not in table
    assert "\x1b" not in page.partition("<form")[0]
    assert "L" * 300 not in table


def test_symbolicate_very_long_function_unfolds(client: Client) -> None:
    frames = [{"module": "known", "module_offset": "0x1205"}, {"offset": "0x10", "function": "f<" * 5000}]
    given = json.loads(report_of(1, 0))
    given["threads"][0]["frames"] = frames
    page = post(client, json.dumps(given))
    assert '<details class="long"><summary><bdi>' + "f&lt;" * 100 + "</bdi>…</summary>" in page


def test_symbolicate_text_has_line_per_call(client: Client) -> None:
    page = post(client, " ".join(CRASH_C) + " 0x1205")
    plain = page.partition('<textarea id="plain"')[2].partition("</textarea>")[0]
    assert re.search(r"  0  crash-c!\w+ \[\S+crash\.c:\d+\]", plain)


def test_symbolicate_json_has_threads_and_modules(client: Client) -> None:
    reply = client.post("/symbolicate/", {"text": " ".join(CRASH_C) + " 0x1205", "do": "json"})
    told = json.loads(reply.content)
    assert reply["Content-Disposition"] == 'attachment; filename="stack.json"'
    assert told["threads"][0]["rows"][0]["call"]["at"]["line"] > 0
    assert told["modules"] == [{"debug_file": CRASH_C[0], "debug_id": CRASH_C[1], "why_not": ""}]


def test_symbolicate_unavailable_keeps_text(client: Client) -> None:
    line = "xul.pdb 44E4EC8C2F41492B9369D6B9A059577C2 0x10"
    reply = client.post("/symbolicate/", {"text": line})
    assert reply.status_code == 503
    assert "Try again in a moment" in reply.content.decode()
    assert line in reply.content.decode()


def test_symbolicate_text_without_stack_is_400(client: Client) -> None:
    reply = client.post("/symbolicate/", {"text": "hello <script>alert(1)</script>"})
    page = reply.content.decode()
    assert reply.status_code == 400
    assert "No stack found in this text." in page
    assert "hello &lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_symbolicate_escapes_names(client: Client) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202egnp.exe"
    page = post(
        client,
        json.dumps(
            {
                "modules": [
                    {"filename": hostile, "debug_file": hostile, "debug_id": CRASH_C[1]},
                    {"filename": "known", "debug_file": CRASH_C[0], "debug_id": CRASH_C[1]},
                ],
                "threads": [
                    {
                        "frames": [
                            {"module": hostile, "module_offset": "0x10", "function": hostile},
                            {"module": "known", "module_offset": "0x1205"},
                        ]
                    }
                ],
                "crash_info": {"type": hostile},
            }
        ),
    )
    shown = page.partition('<ol class="stack"')[2].partition("<form")[0]
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202egnp.exe" in shown
    assert "<img" not in page


def test_share_creates_link(client: Client) -> None:
    reply = client.post("/symbolicate/", {"text": PASTE, "do": "share"})
    assert reply.status_code == 302
    page = Client().get(reply["Location"]).content.decode()
    assert "crash_report" in page
    assert f"http://testserver{reply['Location']}" in page


def test_shared_unknown_is_not_found(client: Client) -> None:
    reply = client.get("/shared/nothing/")
    assert reply.status_code == 404
    assert "no longer" in reply.content.decode()


def test_symbolicate_over_limit_is_429(client: Client, runtime_options: Override) -> None:
    runtime_options(symbolicate_max_frames=2)
    reply = client.post("/symbolicate/", {"text": PASTE})
    assert reply.status_code == 400
    assert "Too many frames" in reply.content.decode()


def test_share_bounds_number_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_reports, "MAX_REPORTS", 2)
    client, guard = redis_services.counters_client(), redis_services.cache_guard()
    first, *others = [shared_reports.share_report(client, guard, f"text {number}") for number in range(3)]
    assert [shared_reports.load_report(client, guard, name).text for name in others] == [
        "text 1",
        "text 2",
    ]
    assert client.zcard(shared_reports.INDEX_KEY) == 2
    with pytest.raises(NotFound):
        shared_reports.load_report(client, guard, first)
    with pytest.raises(TooLarge):
        shared_reports.share_report(client, guard, "".join(map(str, range(200_000))))


def test_symbolicate_text_too_long_is_413(client: Client) -> None:
    reply = client.post("/symbolicate/", {"text": "\n" * (MAX_CHARACTERS + 1)})
    assert reply.status_code == 413
    assert f"longer than {MAX_CHARACTERS} characters" in reply.content.decode()
    assert client.post("/symbolicate/", {"text": "\n" * (MAX_CHARACTERS - 1) + "x"}).status_code == 400


def test_symbolicate_number_of_5000_digits_is_400(client: Client) -> None:
    assert client.post("/symbolicate/", {"text": "#" + "9" * 5000 + " 0x1 in a"}).status_code == 400


def test_symbolicate_charges_before_reading_text(client: Client, runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("2 requests/hour per address",))
    statuses = [client.post("/symbolicate/", {"text": "no stack"}).status_code for _ in range(3)]
    assert statuses == [400, 400, 429]
    assert client.post("/symbolicate/", {"text": "no stack", "do": "share"}).status_code == 429
    assert client.get("/symbolicate/").status_code == 200


def test_symbolicate_does_not_name_directories(
    client: Client, tmp_path: Path, settings: pytest_django.Settings
) -> None:
    settings.SYMBOL_SOURCES = [f"file://{tmp_path}/gone"]
    services.discard_all()
    missing = ObjectId("gone.so", "A" * 33)
    symbolication_services.converter().convert(missing)
    alone = client.post("/symbolicate/", {"text": f"gone.so {missing.debug_id} 0x10"})
    assert alone.status_code == 503
    beside = post(client, f"gone.so {missing.debug_id} 0x10\n{' '.join(CRASH_C)} 0x1205")
    for page in (alone.content.decode(), beside):
        assert "a source: no such bucket or directory" in page
        assert str(tmp_path) not in page


def share(client: Client, text: str) -> str:
    """Return the address."""
    reply = client.post("/symbolicate/", {"text": text, "do": "share"})
    assert reply.status_code == 302, reply.content
    return reply["Location"]


def arrive(module: ObjectId) -> None:
    """Store symbols with a function at offset 0x10."""
    text = f"MODULE Linux x86_64 {module.debug_id} {module.debug_file}\nFUNC 10 10 0 arrived\n10 10 7 0\n"
    storage_services.own_files().put(symbol_file(module), gzip_chunks([text.encode()]))
    symbolication_services.remove_derived(module)
    symbolication_services.converter().convert(module)


OTHER = ObjectId("other.so", "A" * 33)


@pytest.mark.parametrize("is_known", [True, False])
def test_shared_says_which_symbols_arrived(client: Client, is_known: bool) -> None:
    symbolication_services.converter().convert(OTHER)
    address = share(client, report_of(2, 0))
    page = client.get(address).content.decode()
    assert "arrived" not in page
    assert f'<a href="{address}">Look again</a>' in page
    arrive(OTHER)
    if is_known:
        at = timezone.now() + timedelta(hours=2, seconds=10)
        file_of(None, debug_file="other.so", debug_id=OTHER.debug_id, at=at)
    page = client.get(address).content.decode()
    when = "2 h after" if is_known else "after"
    told = f"Symbols of <bdi>other.so</bdi> arrived {when} this was shared; 2 more frames have functions."
    assert told in page
    assert "Look again" not in page
    assert "<bdi>arrived</bdi>" in page


def test_shared_by_former_release_is_read(client: Client) -> None:
    redis_services.counters_client().set("shared:old", zstandard.compress(report_of(1, 0).encode()), ex=60)
    symbolication_services.converter().convert(OTHER)
    arrive(OTHER)
    page = client.get("/shared/old/").content.decode()
    assert "<bdi>arrived</bdi>" in page
    assert "after this was shared" not in page


def test_shared_while_no_module_answers_has_no_state(
    client: Client, tmp_path: Path, settings: pytest_django.Settings
) -> None:
    address = share(client, f"cold.so {'B' * 33} 0x10")
    assert client.get(address).status_code == 503
    arrive(ObjectId("cold.so", "B" * 33))
    page = client.get(address).content.decode()
    assert "<bdi>arrived</bdi>" in page
    assert "after this was shared" not in page


def test_share_notes_missing_modules_within_bounds(client: Client) -> None:
    names = [f"m{number}.so A{number:031X}0 0x10" for number in range(300)]
    names += ["noid.so  0x10", "a\x1bb.so BAD 0x10"]
    symbolication_services.converter().convert(OTHER)
    address = share(client, "\n".join([*names, f"other.so {OTHER.debug_id} 0x10"]))
    guard = redis_services.cache_guard()
    report = shared_reports.load_report(redis_services.counters_client(), guard, address.split("/")[2])
    assert report.state
    assert len(report.state.missing) == shared_reports.MAX_MISSING
    assert report.state.functions == 0


def test_share_text_without_stack_is_400(client: Client) -> None:
    reply = client.post("/symbolicate/", {"text": "no stack", "do": "share"})
    assert reply.status_code == 400
    assert redis_services.counters_client().zcard(shared_reports.INDEX_KEY) == 0
