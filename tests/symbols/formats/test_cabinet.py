from __future__ import annotations

import io

import pytest

from tecken.errors import Malformed
from tecken.symbols.formats import FileReader
from tecken.symbols.formats.cabinet import Cabinet, packed_name, read_cabinet, unpacked_name
from tests.support.cabinets import LZX, PLAIN, QUANTUM, cabinet

CONTENT = bytes(70_000)


def read(content: bytes) -> Cabinet | None:
    return read_cabinet(FileReader(io.BytesIO(content), len(content)))


def test_read_cabinet_returns_name_size_and_method() -> None:
    for method, name in ((PLAIN, "no compression"), (1, "MSZIP"), (LZX, "LZX")):
        found = read(cabinet(CONTENT, r"C:\build\xul.pdb", method))
        assert found
        assert (found.name, found.size, found.method, found.blocks) == ("xul.pdb", 70_000, name, 3)


def test_read_cabinet_of_another_file_returns_none() -> None:
    assert read(b"") is None
    assert read(b"MODULE windows") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (cabinet(CONTENT)[:20], "ends before"),
        (cabinet(CONTENT)[:50], "ends before"),
        (cabinet(CONTENT, files=2), "has 2 files in 1 folders, and not one"),
        (cabinet(CONTENT, files=0), "has 0 files"),
        (cabinet(CONTENT, flags=1), "is part of a set"),
        (cabinet(CONTENT, flags=2), "is part of a set"),
        (cabinet(CONTENT, method=QUANTUM), "is packed with Quantum, which is not supported"),
        (cabinet(CONTENT, method=9), "is packed with method 9, which is not supported"),
        (cabinet(CONTENT, size=3 * 32768 + 1), "contradict each other"),
        (cabinet(CONTENT, ""), "contradict each other"),
    ],
)
def test_read_cabinet_that_cannot_be_unpacked_raises_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        read(content)


def test_names_differ_in_the_last_character() -> None:
    found = read(cabinet(CONTENT, "XUL.PDB"))
    assert found
    assert unpacked_name("XUL.PD_", found) == "XUL.PDB"
    # Programs that pack a copy of the file leave its temporary name.
    assert unpacked_name("xul.pd_", found._replace(name="tmp1234.pdb")) == "xul.pdb"
    assert unpacked_name("symbols", found) == "XUL.PDB"
    assert packed_name(found) == "XUL.PD_"
