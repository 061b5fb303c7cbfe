from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from hypothesis import given
from hypothesis import strategies as st

from tecken.client.archives import pack
from tecken.client.files import SymbolFile, find
from tecken.client.uploads import Bar, batches
from tests.client.conftest import MakeSym


def files_of(sizes: list[int]) -> list[SymbolFile]:
    return [SymbolFile(f"x{number}", Path("x"), size) for number, size in enumerate(sizes)]


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 100), st.integers(1, 10))
def test_batches_have_each_file_once_and_keep_the_limits(
    sizes: list[int], most_bytes: int, most_files: int
) -> None:
    files = files_of(sizes)
    cut = list(batches(files, most_bytes, most_files))
    assert [file for batch in cut for file in batch] == files
    for batch in cut:
        assert 1 <= len(batch) <= most_files
        assert len(batch) == 1 or sum(file.size for file in batch) <= most_bytes


def test_pack_stores_each_file_under_its_key(make_sym: MakeSym, tmp_path: Path) -> None:
    for name in ("a.so", "日本語.pdb"):
        make_sym(f"{name}.sym", name=name)
    files = find([tmp_path]).files
    with BytesIO() as archive, Bar("", 0) as bar:
        pack(files, archive, bar)
        with ZipFile(archive) as zipped:
            assert {name: zipped.read(name) for name in zipped.namelist()} == {
                file.key: file.path.read_bytes() for file in files
            }


def test_pack_same_files_makes_the_same_archive(make_sym: MakeSym, tmp_path: Path) -> None:
    make_sym("a.sym")
    archives = []
    for _ in range(2):
        with BytesIO() as archive, Bar("", 0) as bar:
            pack(find([tmp_path]).files, archive, bar)
            archives.append(archive.getvalue())
    assert archives[0] == archives[1]
