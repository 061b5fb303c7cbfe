"""Text that both engines write for one small program, in every format of native files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tecken.storage.dump import DumpEngine
from tests.support.engines import ENGINES, engine_for

DATA = Path(__file__).parents[2] / "data" / "native"
INLINES = DATA.with_name("inlines")
# What the engine in Python does not read, by test (docs/formats.md, "What the engine in Python lacks").
LACKS = {
    "test_dump_of_file_that_is_not_linked_counts_from_its_code": "Relocations",
    "test_dump_of_compressed_pdb_is_that_of_the_plain_one": "Compressed PDB files",
    "test_dump_with_package_has_the_calls_of_split_units": "Split units",
    "test_dump_with_supplementary_file_has_the_names_in_it": "Common files",
}
# The engine of the present test.
ENGINE: list[DumpEngine] = []

MALFORMED, WRONG_USAGE = 2, 64

# A loop in which a call is inlined whose own call of a function in another file is inlined.
FUNC_WITH_CALLS = """\
FUNC 1320 46 0 total
INLINE 0 16 /build/src/inlines.c price 1332 1b
INLINE 1 9 /build/src/inlines.c add_tax 1339 14
1320 4 15 /build/src/inlines.c
1324 e 0 /build/src/inlines.c
1332 7 9 /build/src/inlines.c
1339 14 4 /build/src/inlines.h
134d 3 15 /build/src/inlines.c
1350 9 0 /build/src/inlines.c
1359 4 15 /build/src/inlines.c
135d 6 18 /build/src/inlines.c
1363 2 0 /build/src/inlines.c
1365 1 18 /build/src/inlines.c
"""

X86_64_ELF = """\
FILE 1 /build/src/native.c
FUNC 1320 28 0 steps
1320 2 8 1
1322 5 10 1
1327 9 0 1
1330 f 11 1
133f 3 12 1
1342 5 10 1
1347 1 14 1
FUNC 1350 8 0 start
1350 8 19 1
STACK CFI INIT 1320 28 .cfa: $rsp 8 + .ra: .cfa -8 + ^
STACK CFI INIT 1350 8 .cfa: $rsp 8 + .ra: .cfa -8 + ^
"""
ARM64_ELF = """\
FILE 1 /build/src/native.c
FUNC 10318 38 0 steps
10318 8 10 1
10320 4 0 1
10324 c 11 1
10330 4 12 1
10334 4 11 1
10338 8 10 1
10340 10 14 1
FUNC 10350 8 0 start
10350 8 19 1
STACK CFI INIT 10318 38 .cfa: sp 0 + .ra: x30
STACK CFI INIT 10350 8 .cfa: sp 0 + .ra: x30
"""
BIG_ENDIAN_ELF = """\
FILE 1 /build/src/native.c
FUNC 10204 40 0 steps
10204 c 10 1
10210 4 0 1
10214 10 11 1
10224 c 0 1
10230 4 12 1
10234 8 10 1
1023c 8 14 1
FUNC 10244 24 0 start
10244 c 18 1
10250 18 19 1
PUBLIC 10268 0 00000000.plt_pic32.steps
STACK CFI INIT 10204 40 .cfa: r1 0 + .ra: lr
STACK CFI INIT 10244 24 .cfa: r1 0 + .ra: lr
STACK CFI 10250 .cfa: r1 16 + .ra: .cfa 4 + ^
"""
SYMBOL_TABLE = """\
PUBLIC 1320 0 steps
PUBLIC 1350 0 start
"""
X86_64_MACHO = """\
FILE 1 /build/src/native.c
FUNC 240 29 0 steps
240 6 8 1
246 5 10 1
24b 5 0 1
250 f 11 1
25f 3 12 1
262 5 10 1
267 2 14 1
FUNC 270 d 0 start
270 4 18 1
274 9 19 1
STACK CFI INIT 240 29 .cfa: $rsp 8 + .ra: .cfa -8 + ^
STACK CFI 241 .cfa: $rsp 16 + $rbp: .cfa -16 + ^
STACK CFI 244 .cfa: $rbp 16 +
STACK CFI INIT 270 d .cfa: $rsp 8 + .ra: .cfa -8 + ^
STACK CFI 271 .cfa: $rsp 16 + $rbp: .cfa -16 + ^
STACK CFI 274 .cfa: $rbp 16 +
"""
PDB = """\
FILE 1 /build/src/native.c
FUNC 1000 27 0 steps(int)
1000 10 10 1
1010 e 11 1
101e 3 12 1
1021 5 10 1
1026 1 14 1
FUNC 1030 8 0 start(int)
1030 8 19 1
"""
MINGW = """\
FILE 1 /build/src/native.c
FUNC 1000 27 0 steps
1000 2 8 1
1002 5 10 1
1007 9 0 1
1010 e 11 1
101e 3 12 1
1021 5 10 1
1026 1 14 1
FUNC 1030 8 0 start
1030 8 19 1
"""
WASM = """\
FILE 1 /build/src/native.c
FUNC 2 3c 0 steps
2 d 8 1
f 3 10 1
12 a 0 1
1c 3 12 1
1f 4 0 1
23 f 11 1
32 4 0 1
36 5 10 1
3b 3 14 1
FUNC 3f d 0 start
3f 5 18 1
44 8 19 1
"""
# Operating system and processor, debug id, code id and text of each file.
FILES = {
    "libnative.so": (
        "Linux x86_64",
        "52F29A25810178511980D12EF214D9FA0",
        "259AF252018151781980D12EF214D9FAB5FE9D52",
        X86_64_ELF,
    ),
    "compressed.so": (
        "Linux x86_64",
        "15006341770B2C05AD1CBCBE0BE1A2280",
        "416300150B77052CAD1CBCBE0BE1A228B4E06FA8",
        X86_64_ELF,
    ),
    "arm64.so": (
        "Linux arm64",
        "AC426426A5937F549C52D921EC419F570",
        "266442AC93A5547F9C52D921EC419F575D44820B",
        ARM64_ELF,
    ),
    "big-endian.so": (
        "Linux ppc",
        "4D7679F218E5C12FDFB30D76596D8D190",
        "4D7679F218E5C12FDFB30D76596D8D1980471EA9",
        BIG_ENDIAN_ELF,
    ),
    "stripped.so": (
        "Linux x86_64",
        "52F29A25810178511980D12EF214D9FA0",
        "259AF252018151781980D12EF214D9FAB5FE9D52",
        SYMBOL_TABLE,
    ),
    "symbols.debug": (
        "Linux x86_64",
        "52F29A25810178511980D12EF214D9FA0",
        "259AF252018151781980D12EF214D9FAB5FE9D52",
        SYMBOL_TABLE,
    ),
    "fat.dwarf": (
        "mac x86_64",
        "4C4C44CC55553144A19875D9B8EAD5440",
        "4C4C44CC55553144A19875D9B8EAD544",
        X86_64_MACHO,
    ),
    "native.pdb": ("windows x86_64", "00AA3880D78BE4BB4C4C44205044422E1", "", PDB),
    "mingw.exe": ("windows x86_64", "5D7B1532156764824C4C44205044422E1", "6B0BAF299000 mingw.exe", MINGW),
    "native.wasm": (
        "wasm wasm32",
        "000102030405060708090A0B0C0D0E0F0",
        "000102030405060708090A0B0C0D0E0F",
        WASM,
    ),
}


@pytest.fixture(autouse=True, params=ENGINES)
def each_engine(request: pytest.FixtureRequest) -> None:
    """Run each test with both engines."""
    ENGINE[:] = [engine_for(request.param)]
    if request.param == "symbolic" and (lack := LACKS.get(request.node.originalname)):
        request.applymarker(pytest.mark.xfail(reason=lack, strict=True))


def native(name: str) -> Path:
    """Return the path of a file of `tests/data/make_native.py`."""
    return DATA / name


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    (engine,) = ENGINE
    command = (*engine.command, *arguments)
    environment = dict(engine.environment)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def dump(*arguments: str | Path) -> str:
    """Return the text without the version of the generator."""
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("INFO GENERATOR "))


def resolve(text: str) -> str:
    """Return FUNC blocks with names instead of the numbers of files and functions."""
    files, origins, lines = {}, {}, []
    for line in text.splitlines():
        kind, *fields = line.split(" ")
        if kind == "FILE":
            files[fields[0]] = " ".join(fields[1:])
        elif kind == "INLINE_ORIGIN":
            origins[fields[0]] = " ".join(fields[1:])
        elif kind == "INLINE":
            depth, number, file, origin, *ranges = fields
            lines.append(" ".join(("INLINE", depth, number, files[file], origins[origin], *ranges)))
        elif kind == "FUNC":
            lines.append(line)
        elif kind not in {"MODULE", "INFO", "PUBLIC", "STACK"}:
            lines.append(" ".join((kind, *fields[:2], files[fields[2]])))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", FILES)
def test_dump_of_each_format_has_module_functions_and_lines(name: str) -> None:
    target, debug_id, code_id, text = FILES[name]
    information = f"INFO CODE_ID {code_id}\n" if code_id else ""
    assert dump(native(name)) == f"MODULE {target} {debug_id} {name}\n{information}{text}"


@pytest.mark.parametrize("name", ["plain.so", "zstd.so", "zdebug.so"])
def test_dump_of_inlined_calls_has_the_whole_chain(name: str) -> None:
    assert resolve(dump(INLINES / name)) == FUNC_WITH_CALLS


def test_dump_of_mangled_names_has_them_as_dump_syms_writes_them() -> None:
    names = [line.split(" ", 3)[3] for line in dump(INLINES / "names").splitlines() if "PUBLIC" in line]
    assert names[:6] == [
        "plain_c",
        "store::Page::read(std::string const&, int)",
        "store::Page::write()",
        "core::ptr::drop_in_place<alloc::string::String>",
        "mycrate::foo",
        "store::Page::read(int)",
    ]


def test_dump_of_names_that_unfold_without_end_keeps_them_mangled() -> None:
    names = [line.split(" ", 3)[3] for line in dump(INLINES / "names").splitlines() if "PUBLIC" in line]
    assert names[6].startswith("_Z1f1AIiiES_IS0_S0_E")
    assert names[7] == "_ZN6broken"


def test_dump_of_file_that_is_not_linked_counts_from_its_code() -> None:
    text = dump(INLINES / "relocatable")
    assert "FUNC 0 46 0 total\nINLINE 0 16 1 2 12 1b\nINLINE 1 9 1 3 19 14\n0 4 15 1\n" in text
    assert "STACK" not in text


def test_dump_with_package_has_the_calls_of_split_units() -> None:
    assert "INLINE" not in dump(INLINES / "split.so")
    assert resolve(dump("--package", INLINES / "split.dwp", INLINES / "split.so")) == FUNC_WITH_CALLS


def test_dump_with_supplementary_file_has_the_names_in_it() -> None:
    path = INLINES / "common.so"
    assert resolve(dump("--supplementary", INLINES / "common.debug", path)) == FUNC_WITH_CALLS
    alone = resolve(dump(path))
    assert "FUNC 1320 46 0 total\n" in alone
    assert " <name omitted> 1332 1b\n" in alone


def test_dump_of_packed_symbols_has_them_beside_the_others() -> None:
    lines = dump(native("mini.so")).splitlines(keepends=True)
    symbols = [line for line in lines if line.startswith("PUBLIC ")]
    assert sorted(symbols) == sorted([*SYMBOL_TABLE.splitlines(keepends=True), "PUBLIC 1330 0 hidden\n"])


def test_dump_of_compressed_pdb_is_that_of_the_plain_one() -> None:
    assert dump("--name", "x", native("packed.pdb")) == dump("--name", "x", native("native.pdb"))


def test_dump_of_pdb_for_x86_has_its_unwind_information() -> None:
    text = dump(INLINES / "x86.pdb")
    price = "INLINE 0 16 /build/src/inlines.c price(int) 1020 19\n"
    calls = f"{price}INLINE 1 9 /build/src/inlines.c add_tax(int) 102c d\n"
    assert f"FUNC 1000 54 0 total(int)\n{calls}" in resolve(text)
    first = "STACK WIN 4 1000 54 4 0 4 0 0 0 1 $T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =\n"
    assert first in text
    assert text.count("STACK WIN 4 ") == 5


def test_dump_of_debug_file_without_code_has_the_same_functions() -> None:
    text = dump(native("libnative.so.debug"))
    assert text.partition("INFO")[2] == dump(native("libnative.so")).partition("INFO")[2]


def test_dump_of_file_without_build_id_has_the_id_of_its_code() -> None:
    first, second = dump(native("without-id.so")).splitlines()[:2]
    assert first == "MODULE Linux x86_64 00CAFFFBF55BF30E426CE4810F44F9830 without-id.so"
    assert second.startswith("FILE ")


def test_dump_with_arch_has_the_program_for_it() -> None:
    first, *records = dump("--arch", "arm64", native("fat.dwarf")).splitlines()
    assert first == "MODULE mac arm64 4C4C440055553144A1A3693FB126F9380 fat.dwarf"
    assert any(record.endswith(" steps") for record in records)


def test_dump_with_arch_of_no_program_is_refused() -> None:
    result = run("--arch", "ppc", native("fat.dwarf"))
    assert result.returncode == MALFORMED
    assert result.stderr == "the file has no program for ppc, only x86_64, arm64\n"


def test_dump_with_name_has_it_in_the_module_record() -> None:
    first = dump("--name", "my program", native("libnative.so.debug")).splitlines()[0]
    assert first == "MODULE Linux x86_64 52F29A25810178511980D12EF214D9FA0 my program"


def test_dump_with_executable_has_its_unwind_information() -> None:
    text = dump("--cfi", native("libnative.so"), native("symbols.debug"))
    assert text.endswith(SYMBOL_TABLE + X86_64_ELF[X86_64_ELF.index("STACK") :])


@pytest.mark.parametrize("name", ["libnative.so", "frames.so", "unwind.exe"])
def test_dump_with_itself_as_executable_has_each_stack_record_once(name: str) -> None:
    assert dump("--cfi", native(name), native(name)) == dump(native(name))


def test_dump_of_pdb_with_executable_has_its_code_id() -> None:
    lines = dump("--cfi", native("native.exe"), native("native.pdb")).splitlines()
    assert lines[1] == "INFO CODE_ID CF9A71C03000 native.exe"


def test_dump_with_executable_of_another_module_is_refused() -> None:
    result = run("--cfi", native("compressed.so"), native("symbols.debug"))
    assert result.returncode == MALFORMED
    other, own = "15006341770B2C05AD1CBCBE0BE1A2280", "52F29A25810178511980D12EF214D9FA0"
    assert result.stderr == f"the executable has the debug id {other}, not {own}\n"


@pytest.mark.parametrize("name", ["native.exe", "common.debug", "split.dwp"])
def test_dump_of_file_without_symbols_is_refused(name: str) -> None:
    result = run(native(name))
    assert result.returncode == MALFORMED
    assert result.stderr == "the file has neither symbols nor unwind information\n"


@pytest.mark.parametrize("name", FILES)
def test_dump_of_cut_file_ends_with_a_reason_or_symbols(name: str, tmp_path: Path) -> None:
    content = native(name).read_bytes()
    for part in (0, 3, 64, len(content) // 2, len(content) - 1):
        (tmp_path / name).write_bytes(content[:part])
        result = run(tmp_path / name)
        assert result.returncode in (0, MALFORMED)
        assert bool(result.stderr) == (result.returncode == MALFORMED)
        assert result.stderr.count("\n") <= 1


def test_dump_of_absent_file_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path / "absent")
    assert result.returncode == MALFORMED
    assert "No such file" in result.stderr


def test_dump_without_file_explains_the_usage() -> None:
    result = run()
    assert result.returncode == WRONG_USAGE
    assert "tecken-dump --help" in result.stderr
    assert run("--help").stdout.startswith("usage: tecken-dump")


def test_dump_lacks_are_documented() -> None:
    document = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
    assert all(f"| {lack}" in document for lack in LACKS.values())
