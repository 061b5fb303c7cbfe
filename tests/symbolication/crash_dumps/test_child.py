"""The child process that walks a dump, and programs in its place that misbehave."""

from __future__ import annotations

import io
import marshal
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from struct import pack, pack_into
from tempfile import TemporaryFile

import orjson
import pytest

from tecken.errors import Malformed
from tecken.storage.child_process import MAX_FILE_BLOCKS, ChildLimits
from tecken.symbolication.crash_dumps.child import WalkedDump, process_dump
from tecken.symbolication.crash_dumps.symbols import ModuleNames
from tecken.symbolication.minidump.messages import MAX_MESSAGE_BYTES, read_message
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbols.frame import Frame, Inline
from tests.support.minidump_samples import CORES, SAMPLES
from tests.support.minidumps import (
    CONTENT_START,
    EXCEPTION,
    HEADER_BYTES,
    LINUX,
    STACK,
    DumpWriter,
    Module,
    amd64_context,
    elf_record,
    minidump,
)

BASE = 0x40_0000
BUILD_ID = "6cb9dbdaed91f95812fb09f7f2655e6f00000000"
LIMITS = ChildLimits(memory_bytes=1 << 30, cpu_seconds=20, seconds=60)
FUNCTION = Frame("f", 0x1200, "a.c", 3, (Inline("g", "b.c", 7),), 0x20)
SEND = """
import sys
def send(text, end=True):
    sys.stdout.buffer.write(len(text).to_bytes(4, "little") + text)
    sys.stdout.flush()
def ask(text):
    send(text)
    sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(4), "little"))
"""


class Symbols:
    """Symbols of one function, which every place is in."""

    def __init__(self, modules: Sequence[ModuleNames]) -> None:
        self.modules = modules

    def prepare(self, modules: Sequence[int]) -> None:
        pass

    def unwind_info(self, places: Sequence[ModulePlace]) -> list[UnwindInfo | None]:
        return [UnwindInfo("", (), 0)] * len(places)

    def are_functions(self, places: Sequence[ModulePlace]) -> list[bool | None]:
        return [True] * len(places)

    def frames(self, places: Sequence[ModulePlace]) -> list[Frame | None]:
        return [FUNCTION] * len(places)

    def states(self) -> list[ModuleState]:
        return [ModuleState("loaded")] * len(self.modules)


def run(content: bytes, limits: ChildLimits = LIMITS) -> WalkedDump:
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        return process_dump(file, Symbols, limits)


def run_program(code: str, limits: ChildLimits = LIMITS) -> WalkedDump:
    with TemporaryFile() as file:
        return process_dump(file, Symbols, limits, ("-c", SEND + code))


def test_dump_is_walked_with_the_symbols_of_the_parent() -> None:
    module = Module("/opt/bin/crash-c", BASE, 0x10000, elf_record(BUILD_ID))
    walked = run(minidump(LINUX, [module], BASE + 0x1205, []))
    report = orjson.loads(walked.report)
    frame = report["threads"][0]["frames"][0]
    assert (frame["function"], frame["file"], frame["line"]) == ("f", "a.c", 3)
    assert frame["inlines"] == [{"function": "g", "file": "b.c", "line": 7}]
    assert report["modules"][0]["symbols"] == "loaded"
    assert (walked.threads, walked.frames) == (1, len(report["threads"][0]["frames"]))


def test_instruction_of_a_crash_is_disassembled_after_files_are_renounced() -> None:
    dump = DumpWriter(LINUX)
    stack = dump.memory(STACK, bytes(64))
    dump.memory(BASE, bytes.fromhex("488b4718"))
    context = dump.thread(1, amd64_context(rip=BASE, rsp=STACK), stack)
    dump.exception(1, 11, 1, 0x18, context=context)
    crash = orjson.loads(run(dump.content()).report)["crash_info"]
    assert crash["instruction"] == "mov rax, qword [rdi + 0x18]"
    assert crash["adjusted_address"] == {"kind": "null-pointer", "offset": "0x0000000000000018"}


@pytest.mark.parametrize("sample", SAMPLES | CORES)
def test_sample_of_every_system_is_walked_without_opening_files(sample: str) -> None:
    assert run((SAMPLES | CORES)[sample]()).threads


@pytest.mark.parametrize(
    ("sample", "is_loaded"),
    [("linux", True), ("core", True), ("windows", False), ("ios", False), ("core_arm", False)],
)
def test_disassembler_is_loaded_for_crashes_of_its_processor_only(sample: str, *, is_loaded: bool) -> None:
    code = """
import tecken.symbolication.minidump.__main__ as program
def read(content):
    raise program.Malformed(f"loaded: {'iced_x86' in sys.modules}")
program.read_dump = read
sys.exit(program.main([sys.argv[-1]]))
"""
    with TemporaryFile() as file:
        file.write((SAMPLES | CORES)[sample]())
        file.flush()
        with pytest.raises(Malformed, match=f"^loaded: {is_loaded}$"):
            process_dump(file, Symbols, LIMITS, ("-c", SEND + code))


@pytest.mark.parametrize("content", [b"", b"MDMP", b"not a dump" * 100])
def test_file_that_is_no_dump_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed, match="file"):
        run(content)


def test_dump_whose_exception_is_past_the_end_of_the_file_has_a_warning() -> None:
    content = bytearray(SAMPLES["windows"]())
    entry = content.index(pack("<I", EXCEPTION), HEADER_BYTES, CONTENT_START)
    pack_into("<I", content, entry + 8, len(content))
    [warning] = orjson.loads(run(bytes(content)).report)["warnings"]
    assert warning.startswith("cannot read the exception")


def test_dump_over_its_memory_is_malformed() -> None:
    code = "import tecken.symbolication.minidump.__main__ as m; m.process = lambda _: bytearray(1 << 30)\n"
    with pytest.raises(Malformed, match="more memory than it may have"):
        run_program(f"{code}sys.exit(m.main(['0']))", LIMITS._replace(memory_bytes=256 << 20))


def test_error_of_the_program_has_no_contents_of_the_dump(caplog: pytest.LogCaptureFixture) -> None:
    code = "import tecken.symbolication.minidump.__main__ as m; m.process = lambda _: {}['secret']\n"
    with pytest.raises(Malformed, match="ended with status 1") as caught:
        run_program(f"{code}sys.exit(m.main(['0']))")
    assert "KeyError at " in caplog.text
    assert "secret" not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "more time"),
        ("import os; os.kill(os.getpid(), 11)", "signal 11"),
        ("print('no such stream', file=sys.stderr); sys.exit(2)", "no such stream"),
        ("sys.exit(2)", "no dump that can be read"),
        ("", "status 0"),
        ("send(b'nonsense')", "sent no JSON"),
        ("send(b'[1]')", "sent no JSON"),
        ("""send(b'["prepare",[0]]')""", "unexpected question"),
        ("""send(b'["modules",[["a"]]]')""", "modules that cannot be read"),
        ("""send(b'["modules",5]')""", "modules that cannot be read"),
        ("""send(b'["modules",[["a","b","c",5]]]')""", "too many modules"),
        ("""send(b'["modules",[' + b'["","","",""],' * 4096 + b'["","","",""]]]')""", "too many modules"),
        ("""ask(b'["modules",[]]'); send(b'["modules",[]]')""", "unknown question"),
        ("""ask(b'["modules",[]]'); send(b'["prepare",[0]]')""", "unknown module"),
        ("""ask(b'["modules",[]]'); send(b'["frames",[0,5]]')""", "unknown module"),
        ("""ask(b'["modules",[["","","",""]]]'); send(b'["frames",[0]]')""", "places that cannot be read"),
        ("""ask(b'["modules",[["","","",""]]]'); send(b'["frames",[0,-1]]')""", "places that cannot be read"),
        (
            """ask(b'["modules",[["","","",""]]]'); send(b'["frames",[0,true]]')""",
            "places that cannot be read",
        ),
        ("""ask(b'["modules",[["","","",""]]]'); send(b'["other",[]]')""", "unknown question"),
        ("""ask(b'["modules",[]]'); send(b'["walked",[1]]')""", "numbers that cannot be read"),
        ("sys.stdout.buffer.write(b'\\xff' * 4)", "status 0"),
        ("sys.stdout.buffer.write(b'\\x09\\0\\0\\0{')", "status 0"),
        ("sys.stdin.close(); sys.stdout.buffer.write(b'x')", "status 0"),
    ],
)
def test_program_that_misbehaves_is_malformed(code: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        run_program(code)


def test_program_over_its_cpu_time_is_malformed() -> None:
    with pytest.raises(Malformed, match="more time than it may have"):
        run_program("while True: pass", LIMITS._replace(cpu_seconds=1))


def test_program_that_hangs_is_ended() -> None:
    with pytest.raises(Malformed, match="more time than it may have"):
        run_program("import time; time.sleep(1000)", LIMITS._replace(seconds=0.5))


def test_program_has_no_environment_and_writes_no_large_files(tmp_path: Path) -> None:
    code = f"""
import os
path = {str(tmp_path / "file")!r}
try:
    open(path, "wb").write(bytes(5 << 20))
except OSError as error:
    size = os.stat(path).st_size
    print(size, error.errno, sorted(os.environ), os.getcwd(), file=sys.stderr)
sys.exit(2)
"""
    with pytest.raises(Malformed, match=r"^4194304 27 \[.*\] /$") as caught:
        run_program(code)
    assert "SECRET" not in str(caught.value)
    assert "REDIS" not in str(caught.value)


def test_bytecode_that_the_program_may_write_is_never_truncated() -> None:
    # Python stores what fits, and then no process can import the module any more.
    for name in ("Code", "Mnemonic"):
        spec = find_spec(f"iced_x86.{name}")
        assert spec
        assert spec.origin
        path = spec.origin
        size = len(marshal.dumps(compile(Path(path).read_bytes(), path, "exec")))
        assert size < MAX_FILE_BLOCKS * 512 / 4


def test_program_opens_nothing_after_its_dump() -> None:
    code = """
import socket
import tecken.symbolication.minidump.__main__ as program
def walk(descriptor):
    program.renounce_files()
    for open_anything in (socket.socket, lambda: open("/etc/hostname")):
        try:
            open_anything()
        except OSError as error:
            print(error.errno, end=" ", file=sys.stderr)
    raise program.Malformed("end")
program.process = walk
sys.exit(program.main(["0"]))
"""
    with pytest.raises(Malformed, match=r"^24 24 end$"):
        run_program(code)


def test_message_that_is_too_long_is_not_read() -> None:
    assert read_message(io.BytesIO((MAX_MESSAGE_BYTES + 1).to_bytes(4, "little") + b"x")) == b""
