"""Make the names of Windows's codes that crash reasons need.

    cargo fetch                                   # in a crate that depends on windows-sys = "0.61"
    apt-get download mingw-w64-common && dpkg-deb -x mingw-w64-common_*.deb mingw
    python -m bench.windows_codes ~/.cargo/registry/src/*/windows-sys-0.61.2 mingw/usr/share/mingw-w64/include

The crate `windows-sys` (MIT or Apache-2.0) has the constants of the Windows SDK; the headers of mingw-w64
(public domain) add those that the crate lacks. Each line of the file is "<kind><code in hex> <name>": W is a
Win32 error, S an NTSTATUS, F the code of a fast fail.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

TARGET = Path("tecken/symbolication/minidump/crash_reason/windows_codes.txt")
SOURCE = "# bench/windows_codes.py: names of windows-sys (MIT or Apache-2.0) and mingw-w64 (public domain)\n"
# For each kind: names that are wanted, the most wanted first, because a code can have several.
WANTED = {
    "W": ("ERROR_", "RPC_S_", "RPC_X_", "RPC_E_"),
    "S": ("STATUS_", "DBG_", "RPC_NT_", "EPT_NT_"),
    "F": ("FAST_FAIL_",),
}
CRATE = re.compile(r"const (\w+): (\w+) = (-?\w+?)(?:_?[iu]32)?(?: as _)?;")
CRATE_KINDS = {"WIN32_ERROR": "W", "RPC_STATUS": "W", "NTSTATUS": "S", "u32": "F"}
CRATE_FILES = ("Foundation/mod.rs", "System/Rpc/mod.rs", "System/SystemServices/mod.rs")
HEADERS = {
    "W": ("winerror.h", re.compile(r"#define\s+(\w+)\s+(?:_?\w*\()?(\d+)L?\)?\s*$", re.MULTILINE)),
    "S": ("ntstatus.h", re.compile(r"#define\s+(\w+)\s+\(?\(NTSTATUS\)\s*(0x[0-9a-fA-F]+)")),
    "F": ("winnt.h", re.compile(r"#define\s+(\w+)\s+(\d+)\s*$", re.MULTILINE)),
}
# Codes of the Windows SDK 10.0.26100 that neither has yet.
NEWEST = {
    71: "FAST_FAIL_ASAN_ERROR",
    72: "FAST_FAIL_CLR_EXCEPTION_AOT",
    73: "FAST_FAIL_POINTER_AUTH_INVALID_RETURN_ADDRESS",
    74: "FAST_FAIL_INVALID_THREAD_STATE",
    75: "FAST_FAIL_CORRUPT_WOW64_STATE",
    76: "FAST_FAIL_INVALID_EXTENDED_STATE",
}
# Constants that are larger are HRESULTs, which can be equal to an NTSTATUS of another meaning.
LARGEST_WIN32_ERROR = 0xFFFF
Constant = tuple[str, int, str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("crate", type=Path)
    parser.add_argument("headers", type=Path)
    options = parser.parse_args()
    codes = {("F", code): name for code, name in NEWEST.items()}
    for constants in (crate_constants(options.crate), header_constants(options.headers)):
        for kind, code, name in sorted(constants, key=preference):
            codes.setdefault((kind, code), name)
    lines = "".join(f"{kind}{code:x} {name}\n" for (kind, code), name in sorted(codes.items()))
    TARGET.write_text(SOURCE + lines)
    print(f"{TARGET}: {len(codes)} codes, {TARGET.stat().st_size} bytes")


def crate_constants(crate: Path) -> Iterable[Constant]:
    for file in CRATE_FILES:
        for name, kind, value in CRATE.findall((crate / "src/Windows/Win32" / file).read_text()):
            if kind in CRATE_KINDS:
                yield from wanted(CRATE_KINDS[kind], int(value, 0) & 0xFFFF_FFFF, name)


def header_constants(headers: Path) -> Iterable[Constant]:
    for kind, (file, pattern) in HEADERS.items():
        for name, value in pattern.findall((headers / file).read_text(errors="replace")):
            yield from wanted(kind, int(value, 0), name)


def wanted(kind: str, code: int, name: str) -> Iterable[Constant]:
    if name.startswith(WANTED[kind]) and (kind != "W" or code <= LARGEST_WIN32_ERROR):
        yield kind, code, name


def preference(constant: Constant) -> tuple[int, str]:
    kind, _, name = constant
    return next(place for place, start in enumerate(WANTED[kind]) if name.startswith(start)), name


if __name__ == "__main__":
    main()
