"""Contract of PageFiles in every storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tecken.errors import MalformedPageFile, NotFound
from tecken.storage.backends.memory import MemoryPageFiles
from tecken.storage.port import PageFiles
from tecken.storage.services import page_files_for
from tecken.symbols.ids import ObjectId
from tests.support.s3_server import S3Bucket
from tests.support.symbol_names import ODD_NAMES

pytest_plugins = ["tests.support.upstreams"]

MODULE = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(params=["memory", "local", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> PageFiles:
    makers: dict[str, Callable[[], PageFiles]] = {
        "memory": MemoryPageFiles,
        "local": lambda: page_files_for((tmp_path / "not yet" / "there").as_uri()),
        "s3": lambda: page_files_for(f"s3://{request.getfixturevalue('s3_bucket').name}/some prefix"),
    }
    return makers[request.param]()


def broken(error: Exception) -> Iterator[bytes]:
    for _ in range(20):
        yield b"x" * (1 << 20)
    raise error


def test_page_files_spans_are_returned_in_order(files: PageFiles) -> None:
    files.write(MODULE, [CONTENT[:1000], CONTENT[1000:]])
    spans = [
        (900_000, 900_100),
        (0, 10),
        (5, 300),
        (1, 2),
        (0, len(CONTENT)),
        (len(CONTENT) - 1, len(CONTENT)),
    ]
    assert files.read(MODULE, spans) == [CONTENT[start:end] for start, end in spans]


def test_page_files_no_spans_read_nothing(files: PageFiles) -> None:
    files.write(MODULE, [CONTENT])
    assert files.read(MODULE, []) == []


def test_page_files_unknown_module_is_absent(files: PageFiles) -> None:
    with pytest.raises(NotFound, match=r"xul\.pdb"):
        files.read(MODULE, [(0, 1)])


def test_page_files_of_try_symbols_are_separate(files: PageFiles) -> None:
    of_try = MODULE.in_try()
    files.write(MODULE, [b"one"])
    with pytest.raises(NotFound):
        files.read(of_try, [(0, 3)])
    files.write(of_try, [b"two"])
    assert {module for module, _ in files.entries()} == {MODULE, of_try}
    files.delete(of_try)
    assert files.read(MODULE, [(0, 3)]) == [b"one"]


def test_page_files_of_modules_are_separate(files: PageFiles) -> None:
    other = ObjectId(MODULE.debug_file, MODULE.debug_id[:-1] + "3")
    files.write(MODULE, [b"one"])
    with pytest.raises(NotFound):
        files.read(other, [(0, 1)])
    files.write(other, [b"two"])
    assert (files.read(MODULE, [(0, 3)]), files.read(other, [(0, 3)])) == ([b"one"], [b"two"])


@pytest.mark.parametrize(
    "spans",
    [
        [(90, 101)],
        [(100, 101)],
        [(5000, 5010)],
        [(0, 10), (101, 102)],
        [(0, 10), (50_000_000, 50_000_010)],
        [(5, 5)],
        [(7, 5)],
        [(-1, 5)],
    ],
)
def test_page_files_span_outside_the_file_is_malformed(
    files: PageFiles, spans: list[tuple[int, int]]
) -> None:
    files.write(MODULE, [b"x" * 100])
    with pytest.raises(MalformedPageFile):
        files.read(MODULE, spans)


def test_page_files_write_replaces_the_earlier_file(files: PageFiles) -> None:
    files.write(MODULE, [b"first and long"])
    files.write(MODULE, [b"second"])
    assert files.read(MODULE, [(0, 6)]) == [b"second"]
    with pytest.raises(MalformedPageFile):
        files.read(MODULE, [(0, 14)])


def test_page_files_failed_write_keeps_the_old_file_and_raises(files: PageFiles) -> None:
    files.write(MODULE, [b"old"])
    with pytest.raises(RuntimeError, match="converter"):
        files.write(MODULE, broken(RuntimeError("converter")))
    assert files.read(MODULE, [(0, 3)]) == [b"old"]


def test_page_files_failed_first_write_stores_nothing(
    files: PageFiles, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(RuntimeError):
        files.write(MODULE, broken(RuntimeError("converter")))
    with pytest.raises(NotFound):
        files.read(MODULE, [(0, 1)])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    if "s3_bucket" in request.fixturenames:
        bucket: S3Bucket = request.getfixturevalue("s3_bucket")
        assert bucket.unfinished_uploads() == 0


def test_page_files_file_of_many_parts_is_read_whole(files: PageFiles) -> None:
    files.write(MODULE, (bytes([n]) * (1 << 20) for n in range(20)))
    assert files.read(MODULE, [((n << 20) - 1, (n << 20) + 1) for n in range(1, 20)]) == [
        bytes([n - 1, n]) for n in range(1, 20)
    ]


def test_page_files_delete_twice_succeeds(files: PageFiles) -> None:
    files.delete(MODULE)
    files.write(MODULE, [CONTENT])
    files.delete(MODULE)
    files.delete(MODULE)
    with pytest.raises(NotFound):
        files.read(MODULE, [(0, 1)])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_page_files_unusual_names_are_stored(files: PageFiles, name: str) -> None:
    module = ObjectId.parse(name, "A" * 33)
    files.write(module, [name.encode()])
    assert files.read(module, [(0, len(name.encode()))]) == [name.encode()]
    files.delete(module)
    with pytest.raises(NotFound):
        files.read(module, [(0, 1)])


def test_page_files_name_too_long_for_storage_is_absent(files: PageFiles) -> None:
    module = ObjectId.parse("x" * 1024, "A" * 33)
    files.delete(module)
    with pytest.raises(NotFound):
        files.read(module, [(0, 1)])


def test_write_in_one_spelling_replaces_the_file_of_another(files: PageFiles) -> None:
    one, other = (ObjectId.parse(name, MODULE.debug_id) for name in ("Foo.pdb", "foo.PDB"))
    files.write(one, [b"first"])
    files.write(other, [b"second"])
    assert files.read(one, [(0, 6)]) == [b"second"]
    assert [module for module, _ in files.entries()] == [one]
    files.delete(one)
    with pytest.raises(NotFound):
        files.read(other, [(0, 1)])


@pytest.mark.parametrize(
    ("root", "name"), [("v1", "xul.sym.pages"), ("try/v1", "xul.sym.pages"), ("texts/v1", "xul.sym")]
)
def test_former_file_is_listed_and_deleted_and_never_read(tmp_path: Path, root: str, name: str) -> None:
    path = tmp_path / root / str(MODULE) / name
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    own = tmp_path / "v1" / str(MODULE) / "xul.sym"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(b"MODULE")
    files = page_files_for(tmp_path.as_uri())
    assert list(files.entries()) == []
    (former,) = files.former()
    assert former == f"{root}/{MODULE}/{name}"
    files.delete_former(former)
    assert list(files.former()) == []
    files.delete_former(f"v1/{MODULE}/xul.sym")
    assert own.exists()
