"""`tecken-upload check`: ids, pairs, and reasons why files will not symbolicate."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from struct import pack

import pytest

from tecken.client.__main__ import DONE, SOME_FAILED, USAGE, main
from tecken.client.modules import Module, check, follow_debug_links, read_module
from tecken.symbols.formats.base import Kind, ObjectInfo
from tests.client.conftest import MakeSym

Output = pytest.CaptureFixture[str]
DATA = Path(__file__).parents[1] / "data" / "native"
ELF_ID = "52F29A25810178511980D12EF214D9FA0"
WINDOWS_ID = "00AA3880D78BE4BB4C4C44205044422E1"


def read(name: str) -> Module:
    module = read_module(DATA / name)
    assert module
    return module


def problems(*names: str) -> list[list[str]]:
    return [finding.problems for finding in check(map(read, names))]


@pytest.mark.parametrize(
    "name", ["libnative.so", "compressed.so", "native.pdb", "fat.dwarf", "mingw.exe", "native.wasm"]
)
def test_check_file_with_debug_information_has_no_problem(name: str) -> None:
    assert problems(name) == [[]]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("stripped.so", f"no debug file with the id {ELF_ID} is there: was it stripped?"),
        ("native.exe", f"its debug file native.pdb with the id {WINDOWS_ID} is not there"),
        ("intel.dylib", "has no debug information"),
        ("symbols.debug", "has the names of functions, but no files"),
        ("without-id.wasm", "has no build_id section"),
    ],
)
def test_check_file_that_will_not_symbolicate_has_the_reason(name: str, reason: str) -> None:
    ((problem,),) = problems(name)
    assert reason in problem


@pytest.mark.parametrize(
    ("executable", "debug_file"),
    [
        ("stripped.so", "libnative.so.debug"),
        ("native.exe", "native.pdb"),
        ("intel.dylib", "intel.dwarf"),
        ("fat.dylib", "intel.dwarf"),
    ],
)
def test_check_executable_beside_its_debug_file_has_no_problem(executable: str, debug_file: str) -> None:
    assert problems(executable, debug_file) == [[], []]


def test_check_executable_beside_its_symbol_file_has_no_problem(make_sym: MakeSym) -> None:
    symbols = read_module(make_sym("x.sym", "libnative.so", ELF_ID))
    assert symbols
    assert [finding.problems for finding in check([read("stripped.so"), symbols])] == [[], []]


def test_check_symbol_file_without_a_usable_record_has_the_reason(make_sym: MakeSym) -> None:
    symbols = read_module(make_sym("x.sym", more="FUNC 0x1000 0x20 0 f\n"))
    assert symbols
    assert "begin with 0x" in check([symbols])[0].problems[0]
    assert str(symbols.keys[0]) == f"libx.so/{'A' * 33}/libx.so.sym"


def test_check_debug_file_without_its_executable_has_a_remark() -> None:
    (finding,) = check([read("libnative.so.debug")])
    assert finding.remarks == [f"the executable with the id {ELF_ID} is not there: stacks cannot be unwound"]
    assert check([read("libnative.so.debug"), read("stripped.so")])[0].remarks == []
    (finding,) = check([read("native.pdb")])
    assert "64-bit stacks cannot be unwound" in finding.remarks[0]
    assert check([read("native.pdb"), read("native.exe")])[0].remarks == []


def elf(path: Path, debug_id: str, kind: Kind, link: str = "", checksum: int = 0) -> Module:
    path.write_bytes(path.name.encode())
    info = ObjectInfo(kind, "elf", "x86_64", "", debug_id)
    module = Module(path, path.stat().st_size, "elf", "build id", (info,), (), kind is Kind.EXECUTABLE)
    return module._replace(debug_link=link, debug_link_checksum=checksum)


def test_follow_debug_links_debug_file_without_a_build_id_gets_the_id_of_its_executable(
    tmp_path: Path,
) -> None:
    executable = read("without-id.so")
    debug = elf(tmp_path / "x.debug", "", Kind.DEBUG)
    linked = executable._replace(debug_link="x.debug", debug_link_checksum=zlib.crc32(b"x.debug"))
    first, second = follow_debug_links([linked, debug])
    assert (first, second.ids) == (linked, linked.ids)
    (key,) = second.keys
    assert (key.debug_id, key.file_name) == (linked.ids[0], "x.debug")
    assert [finding.problems for finding in check([first, second])] == [[], []]
    assert follow_debug_links([linked._replace(debug_link_checksum=1), debug])[1].ids == []


@pytest.mark.parametrize("others", [[], ["B" * 33]])
def test_check_executable_with_a_debug_link_names_what_is_missing(tmp_path: Path, others: list[str]) -> None:
    executable = elf(tmp_path / "x", "A" * 33, Kind.EXECUTABLE, "x.debug")
    debug = [elf(tmp_path / "x.debug", debug_id, Kind.DEBUG) for debug_id in others]
    problem = check([executable, *debug])[0].problems[0]
    expected = f"is of another build: its id is {'B' * 33}" if others else "is not there"
    assert problem == f"has no debug information, and x.debug, which it names, {expected}"


def linked_elf(link: bytes) -> bytes:
    """Return an ELF file whose only section has these bytes as its debug link."""
    names = b"\0.gnu_debuglink\0.names\0"
    start = 64 + len(link) + len(names)
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, start, 0, 64, 56, 0, 64, 3, 2)
    rows = (
        (0,) * 10,
        (1, 1, 0, 0, 64, len(link), 0, 0, 1, 0),
        (16, 3, 0, 0, 64 + len(link), len(names), 0, 0, 1, 0),
    )
    return head + link + names + b"".join(pack("<IIQQQQIIQQ", *row) for row in rows)


def test_read_module_debug_link_of_an_elf_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(linked_elf(b"x.debug\0" + pack("<I", 0x12345678)))
    module = read_module(path)
    assert module
    assert (module.debug_link, module.debug_link_checksum) == ("x.debug", 0x12345678)
    assert (module.keys, module.has_code) == ((), False)


# The command


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    shutil.copy(DATA / "stripped.so", folder / "libnative.so")
    shutil.copy(DATA / "libnative.so.debug", folder / "libnative.so.debug")
    return folder


def test_command_check_shows_ids_and_verdicts_without_a_server(
    build: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TECKEN_URL", raising=False)
    assert main(["check", str(build)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    build_id = "259af252018151781980d12ef214d9fab5fe9d52"
    assert lines[0] == str(build / "libnative.so")
    assert lines[1].startswith(f"  elf executable x86_64, debug id {ELF_ID}, build id {build_id}")
    assert f"  stored as libnative.so/{ELF_ID}/libnative.so" in lines
    assert lines[-1] == "2 files: 2 will symbolicate, 0 will not"


def test_command_check_exits_with_1_and_the_reason(build: Path, capsys: Output) -> None:
    (build / "libnative.so.debug").unlink()
    (build / "cut.so").write_bytes((DATA / "libnative.so").read_bytes()[:300])
    assert main(["check", str(build)]) == SOME_FAILED
    out, err = capsys.readouterr()
    assert "  will not symbolicate: has no debug information" in out
    assert f"tecken-upload: {build / 'cut.so'}: cannot be identified: " in err
    assert out.endswith("1 file: 0 will symbolicate, 1 will not\n")


def test_command_check_without_symbol_files_exits_as_usage_error(tmp_path: Path, capsys: Output) -> None:
    assert main(["check", str(tmp_path)]) == USAGE
    assert main(["check", str(tmp_path / "gone")]) == USAGE
    assert "no symbol files found" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    assert ended.value.code == USAGE


def test_command_check_help_lists_its_exit_statuses(capsys: Output) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    out = capsys.readouterr().out
    assert all(f"\n {status:3}  " in out for status in (DONE, SOME_FAILED, USAGE))


def test_command_dry_run_warns_of_files_that_will_not_symbolicate(build: Path, capsys: Output) -> None:
    (build / "libnative.so.debug").unlink()
    assert main(["--dry-run", str(build)]) == DONE
    out, err = capsys.readouterr()
    assert out.startswith(f"libnative.so/{ELF_ID}/libnative.so\t")
    assert err.startswith(f"tecken-upload: warning: {build / 'libnative.so'}: has no debug information")
