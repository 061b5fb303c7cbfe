from __future__ import annotations

import gzip
import shlex
from pathlib import Path
from typing import Any

import pytest

from tecken.errors import Malformed, TooLarge
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.memory import MemoryPageFiles, MemorySymbols
from tecken.storage.port import SymbolSource
from tecken.storage.upstreams.bucket import BucketTransport
from tecken.storage.upstreams.symbol_files import check_symbols
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing
from tecken.symbolication.conversion.converter import Converter, MissingLifetimes
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbolication.remedies import ModuleFacts, find_remedy
from tecken.symbols.ids import ObjectId
from tests.storage.upstreams.natives import (
    CODE,
    CODE_MODULE,
    DEBUG_INFO,
    ELF_MODULE,
    LIMITS,
    PACKED_PDB,
    PDB,
    PDB_MODULE,
    Natives,
)
from tests.support.cabinets import cabinet
from tests.support.clock import Clock
from tests.support.http_upstream import HttpUpstream, Reply
from tests.symbolication.conversion.memory import MemoryConversionLock
from tests.symbolication.samples import MIB, sym
from tests.upload.natives import DATA

pytest_plugins = ["tests.support.upstreams", "tests.storage.upstreams.spooled"]

SITE = "https://symbols.example.com"
UPLOAD = f"tecken-upload --url {SITE} libfoo.so"
CHECK = "tecken-upload check libfoo.so"
EXPLAIN = "/explain/libfoo.so/ID/"
FACTS = ModuleFacts("libfoo.so", "A" * 33, explain=EXPLAIN)
SEARCHED: dict[str, Any] = {"results": frozenset({"absent"}), "was_uploaded": False}


@pytest.mark.parametrize(
    ("known", "cause", "help_"),
    [
        (SEARCHED, "never uploaded", UPLOAD),
        ({**SEARCHED, "debug_file": "linux-gate.so"}, "kernel's code", ""),
        ({"was_uploaded": False}, "never uploaded", UPLOAD),
        ({"results": frozenset({"absent"})}, "absent", UPLOAD),
        ({**SEARCHED, "was_uploaded": True}, "removed", UPLOAD),
        ({**SEARCHED, "has_other_builds": True}, "wrong id", UPLOAD),
        ({**SEARCHED, "other_age": "A" * 32 + "1"}, "different age", UPLOAD),
        ({**SEARCHED, "only_try": True}, "only try builds", UPLOAD),
        ({**SEARCHED, "is_unfinished": True}, "unfinished upload", UPLOAD),
        ({"debug_id": ""}, "no id", CHECK),
        ({"debug_file": ""}, "no name", "tecken-upload check FILE"),
        ({"problem": "BadModule", "reason": "no hex"}, "no module", ""),
        ({"problem": "Pending", "reason": "wait"}, "not ready", EXPLAIN),
        ({"problem": "Throttled", "reason": "429"}, "throttled", EXPLAIN),
        ({"problem": "CouldNotAsk", "reason": "500"}, "no answer", EXPLAIN),
        (
            {"problem": "CouldNotAsk", "results": frozenset({"throttled", "absent"})},
            "throttled",
            EXPLAIN,
        ),
        ({"problem": "Malformed", "reason": "the symbol file is of another build: 1"}, "wrong id", UPLOAD),
        ({"problem": "Malformed", "reason": "it has no MODULE record"}, "malformed", CHECK),
        (
            {"problem": "Malformed", "reason": "symbol file is longer than 5 bytes"},
            "too large",
            "/config/#symbol_max_bytes",
        ),
        ({"results": frozenset({"too large"})}, "too large", "/config/#symbol_max_bytes"),
        ({"results": frozenset({"off", "absent"})}, "switched off", "/config/#sources_off"),
        ({"results": frozenset({"denied", "absent"})}, "refused by the upstream", UPLOAD),
        ({"results": frozenset({"refused"})}, "malformed", UPLOAD),
        ({"results": frozenset({"unreachable"})}, "no answer", EXPLAIN),
        ({"is_stored": True}, "not used yet", EXPLAIN),
        ({"is_found": True, "only_executable": True}, "only the executable", UPLOAD),
    ],
)
def test_find_remedy_names_cause_and_one_step(known: dict[str, Any], cause: str, help_: str) -> None:
    remedy = find_remedy(FACTS._replace(**known), SITE)
    assert remedy
    assert (remedy.cause, remedy.command or remedy.link) == (cause, help_)
    assert not (remedy.command and remedy.link)
    assert not remedy.text.endswith(".")


@pytest.mark.parametrize(
    "known",
    [
        {"problem": "Pending"},
        {"problem": "Throttled"},
        {"problem": "CouldNotAsk", "reason": "no answer"},
        {"results": frozenset({"there"})},
        {"results": frozenset({"throttled"})},
        {"results": frozenset({"unreachable"})},
        {**SEARCHED, "was_uploaded": True},
    ],
)
def test_find_remedy_in_a_report_of_a_dump_asks_for_the_dump_again(known: dict[str, Any]) -> None:
    remedy = find_remedy(FACTS._replace(is_of_dump=True, **known), SITE)
    assert remedy
    assert "process the dump again" in remedy.text
    assert "look again" not in remedy.text


@pytest.mark.parametrize(
    ("known", "cause", "command"),
    [
        ({"debug_id": ""}, "no id", UPLOAD),
        ({"debug_file": ""}, "no name", ""),
        ({"problem": "BadModule", "reason": "bad id"}, "no module", ""),
    ],
)
def test_find_remedy_in_a_report_of_a_dump_does_not_ask_for_a_text(
    known: dict[str, Any], cause: str, command: str
) -> None:
    remedy = find_remedy(FACTS._replace(is_of_dump=True, **known), SITE)
    assert remedy
    assert (remedy.cause, remedy.command) == (cause, command)
    assert "dump" in remedy.text
    assert "text" not in remedy.text


def test_find_remedy_of_module_with_symbols_is_none() -> None:
    assert find_remedy(FACTS._replace(is_found=True), SITE) is None


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("a b.so", "a b.so"),
        ("$(reboot); `x`'\".so", "$(reboot); `x`'\".so"),
        ("--token-file", "./--token-file"),
        ("a\u202eb.so", "FILE"),
        ("a\nb", "FILE"),
        ("x" * 10_000, "FILE"),
    ],
)
def test_find_remedy_command_has_hostile_name_as_one_argument(name: str, argument: str) -> None:
    remedy = find_remedy(FACTS._replace(debug_file=name, **SEARCHED), SITE)
    assert remedy
    assert shlex.split(remedy.command) == ["tecken-upload", "--url", SITE, argument]


# Reasons as the code that finds them words them. The remedy is told from their words.


def find_cause(reason: str) -> str:
    """Return the cause for a module whose symbol file cannot be used for this reason."""
    remedy = find_remedy(FACTS._replace(problem="Malformed", reason=reason), SITE)
    assert remedy
    return remedy.cause


def fail_to_read(source: SymbolSource, module: ObjectId) -> str:
    with pytest.raises((Malformed, TooLarge)) as raised, source.open(module) as chunks:
        b"".join(chunks)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "max_bytes", "cause"),
    [
        (sym(ObjectId("libfoo.so", "B" * 33)), MIB, "wrong id"),
        (sym(ObjectId("libfoo.so", "A" * 33)), 10, "too large"),
        (sym(ObjectId("libfoo.so", "A" * 33)) + b"x" * (5 * MIB), 9 * MIB, "malformed"),
        (b"<html>", MIB, "malformed"),
    ],
    ids=["another build", "too large", "a line too long", "no symbols"],
)
def test_find_remedy_tells_the_cause_of_a_failed_conversion(text: bytes, max_bytes: int, cause: str) -> None:
    module = ObjectId("libfoo.so", "A" * 33)
    converter = Converter(
        source=MemorySymbols({module: text}),
        stamp=lambda _module: 0,
        page_files=MemoryPageFiles(),
        store=MemoryPageStore(MIB, Clock()),
        lock=MemoryConversionLock(),
        conversion=Conversion(lambda: max_bytes),
        lifetimes=lambda: MissingLifetimes(absent=600, malformed=600, unreachable=600),
    )
    missing = converter.convert(module)
    assert isinstance(missing, Missing)
    assert find_cause(missing.reason) == cause


def test_find_remedy_tells_another_build_of_an_upstream() -> None:
    chunks = iter([sym(ObjectId("libfoo.so", "B" * 33))])
    with pytest.raises(Malformed) as raised:
        check_symbols(chunks, "A" * 33, "https://symbols.example.net")
    assert find_cause(str(raised.value)) == "wrong id"


@pytest.mark.parametrize(
    ("path", "module", "sent"),
    [
        (DEBUG_INFO, ELF_MODULE, "frames.debug"),
        (PDB, PDB_MODULE, "unwind.pdb"),
        (CODE, CODE_MODULE, "unwind.exe"),
    ],
)
def test_find_remedy_tells_another_native_build_of_an_upstream(
    upstream: HttpUpstream, natives: Natives, path: str, module: ObjectId, sent: str
) -> None:
    upstream.script[path] = Reply(body=(DATA / sent).read_bytes())
    source = natives.make_debuginfod() if path == DEBUG_INFO else natives.make_symsrv()
    assert find_cause(fail_to_read(source, module)) == "wrong id"


@pytest.mark.parametrize("name", ["plain", "gzip", "cabinet", "bucket"])
def test_find_remedy_tells_a_file_over_the_limit(
    upstream: HttpUpstream, natives: Natives, tmp_path: Path, name: str
) -> None:
    content = (DATA / "native.pdb").read_bytes()
    limits = LIMITS._replace(max_bytes=len(content) - 1)
    source = natives.make_symsrv(limits=limits)
    if name == "plain":
        upstream.script[PDB] = Reply(body=content)
    elif name == "gzip":
        upstream.script[PDB] = Reply(body=gzip.compress(content))
    elif name == "cabinet":
        upstream.script[PACKED_PDB] = Reply(body=cabinet(content))
    else:
        file = tmp_path / "store" / PDB.lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        bucket = bucket_for((tmp_path / "store").as_uri(), create=False)
        source = natives.make_symsrv(limits=limits, transport=BucketTransport(bucket, lambda: limits))
    assert find_cause(fail_to_read(source, PDB_MODULE)) == "too large"
