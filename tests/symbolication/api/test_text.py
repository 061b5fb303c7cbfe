"""`POST /symbolicate/text`, with symbols of the sample modules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.text import MAX_CHARACTERS, decode_text
from tecken.symbols.ids import ObjectId
from tests.support.minidump_samples import CORES
from tests.support.options import Override

CRASH_C = ("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0")
LIBC = ("libc.so.6", "EC61AC938E5A39B16F9FBD350E3169A50")
LINE = f"{' '.join(CRASH_C)} 0x1205\n"
pytest_plugins = ["tests.symbolication.sample_source"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _symbols(sample_source: None) -> None:
    for module in (CRASH_C, LIBC):
        symbolication_services.converter().convert(ObjectId.parse(*module))


def post(text: str | bytes, **headers: str) -> Any:
    content = text.encode() if isinstance(text, str) else text
    kind = "application/x-www-form-urlencoded"  # what curl sends with --data-binary
    return Client(enforce_csrf_checks=True).post("/symbolicate/text", content, kind, headers=headers)


def test_text_is_answered_with_text() -> None:
    reply = post(LINE)
    assert (reply.status_code, reply["Content-Type"]) == (200, "text/plain; charset=utf-8")
    lines = reply.content.decode().splitlines()
    assert lines[0] == "Kind: list of modules and offsets"
    assert lines[-2:] == [
        "  0  crash-c!per_person [/build/crash/src/crash.c:15] (inlined)",
        "  0  crash-c!by_price [/build/crash/src/crash.c:25]",
    ]
    assert reply["Access-Control-Allow-Origin"] == "*"


def test_text_names_missing_modules_and_where_to_read_more() -> None:
    lines = post(LINE + " ".join(LIBC) + " 0x10\n").content.decode().splitlines()
    assert lines[-2:] == [
        f"{' '.join(LIBC)}: No source has its symbols.",
        f"  http://testserver/explain/{'/'.join(LIBC)}/",
    ]


def test_text_names_a_module_without_id_once() -> None:
    lines = post(LINE + "foo.so+0x10\n").content.decode().splitlines()
    assert [line for line in lines if "foo.so" in line] == [
        "  1  foo.so+0x10",
        "No debug id for foo.so: write it once, as `foo.so ID`.",
    ]


def test_text_with_accept_json_is_answered_with_json() -> None:
    reply = post(LINE, accept="application/json")
    document = json.loads(reply.content)
    assert reply["Content-Type"] == "application/json"
    assert document["kind"] == "list of modules and offsets"
    assert document["threads"][0]["rows"][0]["call"]["function"] == "by_price"
    assert document["modules"] == [{"debug_file": CRASH_C[0], "debug_id": CRASH_C[1], "why_not": ""}]


def test_text_without_stack_is_400_as_text_and_as_json() -> None:
    reply = post("hello")
    assert (reply.status_code, reply["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert reply.content.decode().startswith("No stack found in this text.")
    reply = post("hello", accept="application/json")
    assert (reply.status_code, reply["Content-Type"]) == (400, "application/json")
    assert json.loads(reply.content)["error"].startswith("No stack found in this text.")


def test_text_whose_modules_are_unavailable_is_503() -> None:
    reply = post("xul.pdb 44E4EC8C2F41492B9369D6B9A059577C2 0x10")
    assert reply.status_code == 503
    assert int(reply["Retry-After"]) > 0
    assert reply.content.decode().endswith("\n")


def test_text_too_long_is_413(runtime_options: Override) -> None:
    reply = post("\n" * (MAX_CHARACTERS + 1))
    assert (reply.status_code, reply["Content-Type"]) == (413, "text/plain; charset=utf-8")
    runtime_options(symbolicate_max_body_bytes=1024)
    assert b"The body is larger than 1024 bytes" in post(" " * 1025).content


def test_text_of_a_known_kind_without_modules_names_the_kind() -> None:
    reply = post("#0  0x0000555555555205 in ?? ()\n", accept="application/json")
    assert (reply.status_code, json.loads(reply.content)["kind"]) == (400, "gdb backtrace without build ids")


def test_minidump_of_any_size_is_recognized() -> None:
    reply = post(b"MDMP\x93\xa7" + bytes(2 * MAX_CHARACTERS))
    assert reply.status_code == 400
    assert reply.content.startswith(b"Recognized as minidump. Send the file itself")


def test_core_file_of_any_size_is_recognized_apart_from_other_elf_files() -> None:
    core = CORES["core"]() + b"\xff" * 2 * MAX_CHARACTERS
    assert post(core).content.startswith(b"Recognized as core file. Send the file itself")
    library = core[:16] + b"\3\0" + core[18:]
    assert post(library).content.startswith(b"Recognized as ELF file. ")


def test_text_with_too_many_frames_is_413(runtime_options: Override) -> None:
    runtime_options(symbolicate_max_frames=2)
    assert b"Too many frames: 3, at most 2" in post(LINE * 3).content


def test_text_is_charged_before_it_is_read_and_for_its_frames(runtime_options: Override) -> None:
    runtime_options(limit_symbolicate=("2 requests/hour per address",))
    assert [post("no stack").status_code for _ in range(3)] == [400, 400, 429]
    runtime_options(limit_symbolicate=("3 frames/hour per address",))
    assert [post(LINE * 2).status_code for _ in range(2)] == [200, 429]


def test_get_is_405() -> None:
    reply = Client().get("/symbolicate/text")
    assert (reply.status_code, reply["Allow"]) == (405, "POST, OPTIONS")
    assert reply.content == b"Must use HTTP POST\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_decode_text_follows_the_byte_order_mark(encoding: str) -> None:
    assert decode_text("größer\n".encode(encoding)) == "größer\n"


def test_decode_text_replaces_what_is_not_text() -> None:
    assert decode_text(b"\xff\x00") == "�\x00"
