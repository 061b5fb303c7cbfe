"""Platforms of modules, by their names and ids."""

from __future__ import annotations

import pytest

from tecken.symbols.platforms import Platform, possible_platforms

BUILD_ID = "259af252018151781980d12ef214d9fab5fe9d52"
# Digits of a version and a variant that no UUID has, and those of the UUID of a Mach-O file.
ELF_ID = "52F29A2581017851F980D12EF214D9FA0"
UUID = "4C4C440055553144A1A3693FB126F9380"
CODE_ID = "5D8A5E191F0000"


@pytest.mark.parametrize(
    ("name", "some_id", "expected"),
    [
        ("xul.pdb", f"{ELF_ID[:-1]}1", "windows"),
        ("NTDLL.DLL", CODE_ID, "windows"),
        ("xul.pdb", ELF_ID, "windows"),
        ("program", f"{ELF_ID[:-1]}2", "windows"),
        ("program", f"{ELF_ID[:-1]}1A", "windows"),
        ("program", CODE_ID, "windows"),
        ("libc.so.6", ELF_ID, "linux"),
        ("libc.so.6", UUID, "linux"),
        ("libc.so.6", BUILD_ID, "linux"),
        ("nvidia.ko", UUID, "linux"),
        ("libxul.so", ELF_ID, "linux"),
        ("libxul.so", UUID, "linux macos"),
        ("libSystem.dylib", UUID, "macos"),
        # The name counts where both contradict each other.
        ("libSystem.dylib", ELF_ID, "macos"),
        ("libc.so.6", CODE_ID, "linux"),
        ("native.wasm", UUID, "wasm"),
        ("XUL", UUID, "linux macos wasm"),
        ("firefox", ELF_ID, "linux wasm"),
        ("program", BUILD_ID, "windows linux"),
        ("program", "A" * 32, "windows linux macos wasm"),
    ],
)
def test_platforms_follow_from_name_and_id(name: str, some_id: str, expected: str) -> None:
    found = possible_platforms(name, some_id)
    assert " ".join(platform.value for platform in Platform if platform in found) == expected
