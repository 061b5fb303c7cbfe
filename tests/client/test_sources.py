"""Source bundles that `tecken-upload --sources` makes from the debug information and the files on disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tecken.client.__main__ import DONE, SOME_FAILED, USAGE, main
from tecken.client.files import find
from tecken.client.sources import NO_PROGRAM, Bundle, bundle_sources
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.formats.source_bundle import MAX_FILE_BYTES, read_entries
from tests.client.conftest import MakeSym
from tests.client.server import SymbolServer

NATIVE = Path(__file__).parents[1] / "data" / "native"
Make = Callable[..., Bundle]
KEY = f"libx.so/{'A' * 33}/libx.so.src.zip"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "src" / "main.c").write_text("int main;\n")
    return root


@pytest.fixture
def make_bundle(make_sym: MakeSym, root: Path, tmp_path: Path) -> Make:
    """Return the bundle of a symbol file with FILE records of these paths."""

    def make(*paths: object) -> Bundle:
        records = "".join(f"FILE {number} {path}\n" for number, path in enumerate(paths))
        found = find([make_sym("x.sym", more=f"{records}FUNC 10 8 0 f\n10 8 1 0\n")])
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        (bundle,) = bundle_sources(found.modules, root, out, found.problems)
        assert found.problems == []
        return bundle

    return make


def paths_in(bundle: Bundle) -> list[str]:
    assert bundle.file
    with bundle.file.path.open("rb") as file:
        return [entry.path for entry in read_entries(FileReader(file, bundle.file.size))]


def bytes_of(bundle: Bundle) -> bytes:
    assert bundle.file
    return bundle.file.path.read_bytes()


def test_bundle_has_the_files_below_the_root(make_bundle: Make, root: Path) -> None:
    (root / "inc").mkdir()
    (root / "inc" / "x y.h").write_text("#pragma once\n")
    bundle = make_bundle(root / "src/main.c", root / "src/../inc/x y.h", "src/main.c", "/usr/include/stdio.h")
    assert (bundle.file and bundle.file.key, bundle.found, bundle.left_out) == (KEY, 3, 1)
    assert sorted(paths_in(bundle)) == sorted([f"{root}/src/main.c", f"{root}/inc/x y.h", "src/main.c"])


def test_files_that_lead_outside_the_root_are_left_out(make_bundle: Make, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (root / "file").symlink_to(secret)
    (root / "directory").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    paths = [
        *(secret, root / "file", root / "directory/secret", root / "../secret", "../secret", root / "loop"),
        *(root / "absent.c", root / "src", "/etc/passwd", "/dev/zero", "hg:x/y:main.c:1", "C:\\a.c"),
    ]
    bundle = make_bundle(*paths)
    assert (bundle.file, bundle.found, bundle.left_out) == (None, 0, len(paths))


def test_link_within_the_root_is_followed(make_bundle: Make, root: Path) -> None:
    (root / "link.c").symlink_to(root / "src/main.c")
    assert paths_in(make_bundle(root / "link.c")) == [f"{root}/link.c"]


def test_file_over_the_bound_is_left_out(make_bundle: Make, root: Path) -> None:
    with (root / "large.c").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    bundle = make_bundle(root / "large.c", root / "src/main.c")
    assert (bundle.found, bundle.left_out) == (1, 1)


def test_same_files_make_the_same_bytes(make_bundle: Make, root: Path) -> None:
    first = bytes_of(make_bundle(root / "src/main.c"))
    (root / "src/main.c").touch()
    assert bytes_of(make_bundle(root / "src/main.c")) == first


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Put a program in place of those that are installed."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
    (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))


@pytest.mark.parametrize(
    ("name", "output"),
    [("tecken-dump", "FUNC 1 1 0 f\nFILE 0 $R/src/main.c"), ("llvm-dwarfdump", "$R/src/main.c")],
)
def test_program_lists_the_source_files_of_a_native_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, output: str
) -> None:
    program(tmp_path, monkeypatch, name, f"echo '{output.replace('$R', str(root))}'")
    found = find([NATIVE / "libnative.so"])
    (bundle,) = bundle_sources(found.modules, root, tmp_path, found.problems)
    assert (paths_in(bundle), found.problems) == ([f"{root}/src/main.c"], [])


def test_program_that_fails_is_a_problem(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "llvm-dwarfdump", "echo /a.c; echo 'no such option' >&2; exit 1")
    found = find([NATIVE / "libnative.so"])
    assert list(bundle_sources(found.modules, root, tmp_path, found.problems)) == []
    reason = "llvm-dwarfdump cannot list its source files: no such option"
    assert list(map(str, found.problems)) == [f"{NATIVE / 'libnative.so'}: {reason}"]


def test_old_dwarfdump_is_named_as_too_old(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "llvm-dwarfdump", "echo \"Unknown argument '--show-sources'\" >&2; exit 1")
    found = find([NATIVE / "libnative.so"])
    assert list(bundle_sources(found.modules, root, tmp_path, found.problems)) == []
    assert list(map(str, found.problems)) == [
        f"{NATIVE / 'libnative.so'}: llvm-dwarfdump here is too old: {NO_PROGRAM}"
    ]


def test_native_file_without_a_program_is_a_problem(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "other", "")
    found = find([NATIVE / "libnative.so"])
    assert list(bundle_sources(found.modules, root, tmp_path, found.problems)) == []
    assert list(map(str, found.problems)) == [f"{NATIVE / 'libnative.so'}: {NO_PROGRAM}"]


# The command


def test_command_sends_the_bundle_and_prints_what_is_in_it(
    server: SymbolServer, make_sym: MakeSym, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sym = make_sym("x.sym", more=f"FILE 0 {root}/src/main.c\nFILE 1 /usr/include/stdio.h\nPUBLIC 10 0 f\n")
    assert main(["--sources", str(root), str(sym)]) == DONE
    members = server.only("POST /upload/").members()
    assert set(members) == {f"libx.so/{'A' * 33}/libx.so.sym", KEY}
    assert members[KEY].startswith(b"SYSB")
    assert f"libx.so: 1 source files below {root}, 1 others left out" in capsys.readouterr().err


def test_command_sends_the_symbols_although_sources_cannot_be_listed(
    server: SymbolServer, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "other", "")
    assert main(["--sources", str(root), str(NATIVE / "libnative.so")]) == SOME_FAILED
    assert len(server.only("POST /upload/").members()) == 1


def test_command_without_the_root_is_wrong_usage(server: SymbolServer, sym_file: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--sources", "/absent", str(sym_file)])
    assert ended.value.code == USAGE
    assert not server.requests


@pytest.fixture
def sym_file(make_sym: MakeSym) -> Path:
    return make_sym("x.sym")


def test_bundle_below_the_paths_is_sent_as_any_other_file(
    server: SymbolServer, make_bundle: Make, root: Path
) -> None:
    bundle = make_bundle(root / "src/main.c")
    assert bundle.file
    assert main([str(bundle.file.path.parent)]) == DONE
    assert set(server.only("POST /upload/").members()) == {KEY}
