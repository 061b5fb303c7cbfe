from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tecken.client import files as client_files
from tecken.client.files import Found, Remark, SymbolFile
from tests.client.conftest import MakeSym
from tests.support.symbol_names import ODD_NAMES

ID = "A" * 33
DATA = Path(__file__).parents[1] / "data" / "native"
ELF_ID = "52F29A25810178511980D12EF214D9FA0"
WINDOWS_ID = "00AA3880D78BE4BB4C4C44205044422E1"


class Result(NamedTuple):
    files: list[SymbolFile]
    problems: list[Remark]


def find(paths: list[Path], extensions: list[str] | None = None) -> Result:
    return Result(*search(paths, extensions)[:2])


def search(paths: list[Path], extensions: list[str] | None = None) -> Found:
    return client_files.find(paths, extensions)


def write(path: Path, content: bytes = b"native") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_find_symbol_file_has_the_key_of_its_module_record(make_sym: MakeSym, tmp_path: Path) -> None:
    path = make_sym("objdir/any name.sym", "xul.pdb", "44e4ec8c2f41492b9369d6b9a059577c2")
    ((file,), problems) = find([tmp_path])
    assert file == SymbolFile("xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym", path, path.stat().st_size)
    assert problems == []


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if name == name.strip()])
def test_find_unusual_names_are_kept(name: str, make_sym: MakeSym, tmp_path: Path) -> None:
    make_sym("x.sym", name)
    stem = name.removesuffix(".pdb")
    assert [file.key for file in find([tmp_path]).files] == [f"{name}/{ID}/{stem}.sym"]


def test_find_directory_lists_files_in_the_order_of_names(make_sym: MakeSym, tmp_path: Path) -> None:
    for place in ("b/2.SYM", "b/1.sym", "a/b/c.sym", "d.sym"):
        make_sym(place, name=place.replace("/", "-"))
    write(tmp_path / "a" / "notes.txt")
    keys = [file.path.relative_to(tmp_path).as_posix() for file in find([tmp_path]).files]
    assert keys == ["d.sym", "a/b/c.sym", "b/1.sym", "b/2.SYM"]


def test_find_module_record_without_line_end_is_read(make_sym: MakeSym) -> None:
    assert len(find([make_sym("x.sym", more="")]).files) == 1
    path = make_sym("y.sym", more="")
    path.write_text(path.read_text().strip())
    assert len(find([path]).files) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"\x7fELF\x00\x01", "MODULE"),
        (b"MODULE Linux x86_64 " + b"A" * 8 + b" short", "debug id"),
        (b"MODULE Linux x86_64 " + b"A" * 33 + b" a/b", "debug file"),
        (b"MODULE" + b" " * 100_000, "MODULE"),
    ],
)
def test_find_invalid_file_is_a_problem_with_a_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.sym", content)
    files, (problem,) = find([tmp_path])
    assert files == []
    assert problem.path == path
    assert reason in problem.reason


def test_find_unreadable_file_does_not_stop_the_others(make_sym: MakeSym, tmp_path: Path) -> None:
    good = make_sym("x.sym")
    files, (problem,) = find([tmp_path / "gone.sym", good])
    assert [file.path for file in files] == [good]
    assert "No such file" in problem.reason


def test_find_same_file_twice_is_sent_once(make_sym: MakeSym, tmp_path: Path) -> None:
    first = make_sym("a.sym")
    make_sym("b.sym")
    files, problems = find([first, tmp_path])
    assert [file.path for file in files] == [first]
    assert problems == []


def test_find_another_file_with_the_same_key_is_a_problem(make_sym: MakeSym, tmp_path: Path) -> None:
    make_sym("a.sym")
    make_sym("b.sym", more="PUBLIC 20 0 g\n")
    files, (problem,) = find([tmp_path])
    assert [file.path.name for file in files] == ["a.sym"]
    assert "b.sym: is not" in str(problem)


@pytest.mark.parametrize("name", ["xul.pd_", "XUL.PDB", "libx.so.dbg.gz", "XUL.dSYM.tar.bz2", "libx.so"])
def test_find_native_file_in_a_symbol_store_has_its_key(name: str, tmp_path: Path) -> None:
    write(tmp_path / "xul.dll" / "60b9d9c91d4f000" / name)
    assert [file.key for file in find([tmp_path]).files] == [f"xul.dll/60B9D9C91D4F000/{name}"]


def copy(name: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA / name, path)
    return path


@pytest.mark.parametrize(
    ("name", "place", "keys"),
    [
        ("libnative.so", "bin/tool", [f"tool/{ELF_ID}/tool"]),
        ("libnative.so.debug", "x.so.1.debug", [f"x.so.1/{ELF_ID}/x.so.1.debug"]),
        ("native.pdb", "out/native.pdb", [f"native.pdb/{WINDOWS_ID}/native.pdb"]),
        ("intel.dwarf", "x.dSYM/Contents/Resources/DWARF/x", ["x/4C4C44CC55553144A19875D9B8EAD5440/x.dSYM"]),
    ],
)
def test_find_native_file_outside_a_symbol_store_has_the_key_of_its_id(
    name: str, place: str, keys: list[str], tmp_path: Path
) -> None:
    path = copy(name, tmp_path / place)
    found = search([tmp_path])
    assert [(file.key, file.path) for file in found.files] == [(key, path) for key in keys]
    assert (found.problems, found.notes) == ([], [])


def test_find_pe_file_has_the_keys_of_its_debug_id_and_code_id(tmp_path: Path) -> None:
    copy("native.exe", tmp_path / "native.exe")
    first, second = (file.key for file in find([tmp_path]).files)
    assert first == f"native.pdb/{WINDOWS_ID}/native.exe"
    assert second.split("/")[::2] == ["native.exe", "native.exe"]


def test_find_file_that_is_no_module_is_a_note_in_a_directory_and_else_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "bin" / "tool.exe")
    found = search([tmp_path])
    assert (found.files, found.problems) == ([], [])
    assert found.notes == [Remark(path, "is no symbol file of a known format")]
    assert find([path]) == Result([], found.notes)


def test_find_file_without_an_id_is_a_note_and_an_object_file_is_skipped(tmp_path: Path) -> None:
    path = copy("without-id.wasm", tmp_path / "app.wasm")
    write(tmp_path / "x.o", b"\x7fELF")
    reason = "has no build_id section: nothing can find its symbols, so build it with one"
    assert search([tmp_path]).notes == [Remark(path, reason)]


def test_find_link_to_a_library_is_not_followed(tmp_path: Path) -> None:
    path = copy("libnative.so", tmp_path / "libx.so.1")
    (tmp_path / "libx.so").symlink_to(path)
    assert [file.path for file in find([tmp_path]).files] == [path]
    assert [file.path.name for file in find([tmp_path / "libx.so"]).files] == ["libx.so"]


def test_find_stripped_copy_gives_way_to_the_file_with_debug_information(tmp_path: Path) -> None:
    copy("stripped.so", tmp_path / "a" / "x.so")
    full = copy("libnative.so", tmp_path / "b" / "x.so")
    found = search([tmp_path])
    assert [file.path for file in found.files] == [full]
    assert found.problems == []
    assert "is not" in found.notes[0].reason


def test_find_relative_path_uses_the_directories_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x.so" / ID / "x.so")
    monkeypatch.chdir(tmp_path / "x.so" / ID)
    assert [file.key for file in find([Path("x.so")]).files] == [f"x.so/{ID}/x.so"]


def test_find_with_extensions_leaves_out_native_files(make_sym: MakeSym, tmp_path: Path) -> None:
    make_sym("x.sym")
    write(tmp_path / "bin" / "tool.exe")
    assert find([tmp_path], [".so"]) == find([tmp_path], [])
    assert len(find([tmp_path], []).files) == 1


@pytest.mark.parametrize("name", ["libz.so.1.2", "firefox", "xul.dll.1"])
@pytest.mark.parametrize("magic", [b"\x7fELF", b"MZ", b"Microsoft C/C++ MSF 7.00", b"\xcf\xfa\xed\xfe"])
def test_find_native_file_in_a_store_is_identified_by_its_first_bytes(
    tmp_path: Path, name: str, magic: bytes
) -> None:
    path = tmp_path / name / ID / name
    path.parent.mkdir(parents=True)
    path.write_bytes(magic + bytes(8))
    assert [file.key for file in find([tmp_path]).files] == [f"{name}/{ID}/{name}"]
    assert find([tmp_path], [".so"]) == ([], [])


def test_find_other_files_without_a_known_suffix_are_skipped(tmp_path: Path) -> None:
    """A text inside a symbol store is none that was built."""
    (tmp_path / "firefox").write_bytes(b"text")
    note = tmp_path / "store" / ID / "notes"
    note.parent.mkdir(parents=True)
    note.write_bytes(b"text")
    assert find([tmp_path]) == ([], [])
