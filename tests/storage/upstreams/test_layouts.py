"""Files of each layout, and the identities of a module."""

from __future__ import annotations

import pytest

from tecken.errors import IncompleteId
from tecken.storage.upstreams.layouts import LAYOUTS, Identity, find_identities
from tecken.symbols.ids import ObjectId, debug_ids_of_code_id
from tecken.symbols.platforms import Platform
from tests.upload.natives import ARM_ID, BUILD_ID, ELF_ID, WINDOWS_ID

WINDOWS = Identity(Platform.WINDOWS, "Native.pdb", WINDOWS_ID)
PROGRAM = Identity(Platform.WINDOWS, "NTDLL.dll", "5D8A5E191AB000")
LINUX = Identity(Platform.LINUX, "libFoo.so", BUILD_ID)
MACOS = Identity(Platform.MACOS, "XUL", ARM_ID[:32].lower())
UUID = MACOS.some_id
BELOW = f"{BUILD_ID[:2]}/{BUILD_ID[2:]}"


@pytest.mark.parametrize(
    ("scheme", "identity", "expected"),
    [
        ("symsrv", WINDOWS, [f"Native.pdb/{WINDOWS_ID}/Native.pdb"]),
        ("symsrv", PROGRAM, ["NTDLL.dll/5D8A5E191ab000/NTDLL.dll"]),
        (
            "symsrv",
            LINUX,
            [f"_.debug/elf-buildid-sym-{BUILD_ID}/_.debug", f"libfoo.so/elf-buildid-{BUILD_ID}/libfoo.so"],
        ),
        (
            "symsrv",
            LINUX._replace(name="", some_id="0123456789abcdef"),
            [f"_.debug/elf-buildid-sym-0123456789abcdef{'0' * 24}/_.debug"],
        ),
        ("symsrv", MACOS, [f"_.dwarf/mach-uuid-sym-{UUID}/_.dwarf", f"xul/mach-uuid-{UUID}/xul"]),
        ("symsrv", WINDOWS._replace(some_id="3A5B7C9D1"), []),
        ("symsrv", PROGRAM._replace(some_id=WINDOWS_ID), []),
        ("symsrv", PROGRAM._replace(name="program"), []),
        ("debuginfod", LINUX, [f"buildid/{BUILD_ID}/debuginfo", f"buildid/{BUILD_ID}/executable"]),
        ("buildid", LINUX, [f".build-id/{BELOW}.debug", f".build-id/{BELOW}"]),
        ("unified", LINUX, [f"{BELOW}/{name}" for name in ("breakpad", "debuginfo", "executable")]),
        (
            "unified",
            WINDOWS,
            [f"00/{WINDOWS_ID[2:].lower()}/breakpad", f"00/{WINDOWS_ID[2:].lower()}/debuginfo"],
        ),
        ("unified", MACOS, [f"4c/{UUID[2:]}/{name}" for name in ("breakpad", "debuginfo", "executable")]),
        ("unified", PROGRAM, []),
        *((scheme, identity, []) for scheme in ("debuginfod", "buildid") for identity in (WINDOWS, MACOS)),
    ],
)
def test_layout_files_are_those_of_its_documents(
    scheme: str, identity: Identity, expected: list[str]
) -> None:
    assert [file.path for file in LAYOUTS[scheme].files(identity)] == expected


def identities(module: ObjectId, *build_ids: str) -> list[tuple[str, str]]:
    found = []
    try:
        for identity in find_identities(module, lambda _debug_id: build_ids):
            found.append((identity.platform.value, identity.some_id))
    except IncompleteId:
        found.append(("incomplete", ""))
    return found


def test_identities_of_a_module_are_those_that_it_may_have() -> None:
    other = f"{BUILD_ID[:32]}{'0' * 8}"
    (short_id,) = debug_ids_of_code_id("0123456789abcdef")
    assert identities(ObjectId("xul.pdb", WINDOWS_ID)) == [("windows", WINDOWS_ID)]
    assert identities(ObjectId("x.so.1", ELF_ID), BUILD_ID, other) == [("linux", BUILD_ID), ("linux", other)]
    assert identities(ObjectId("x.so.1", ELF_ID)) == [("incomplete", "")]
    assert identities(ObjectId("x.so.1", short_id)) == [("linux", "0123456789abcdef")]
    assert identities(ObjectId("x.so.1", BUILD_ID.upper())) == [("linux", BUILD_ID)]
    assert identities(ObjectId("x.dylib", ARM_ID)) == [("macos", UUID)]
    assert identities(ObjectId("XUL", ARM_ID)) == [("macos", UUID), ("incomplete", "")]
    # A module with a build id has no UUID.
    assert identities(ObjectId("XUL", ARM_ID), BUILD_ID) == [("linux", BUILD_ID)]
    assert identities(ObjectId("x.wasm", ARM_ID)) == []
