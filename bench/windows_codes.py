"""Make the names of Windows's codes that crash reasons need.

    cargo fetch                                   # in a crate that depends on minidump-common = "=0.27.0"
    python -m bench.windows_codes ~/.cargo/registry/src/*/minidump-common-0.27.0

The crate `minidump-common` (MIT) has the names of the Windows SDK 10.0.26100 that minidump-stackwalk writes.
Each line of the file is "<kind><code in hex> <name>": W is a Win32 error, S an NTSTATUS, F the code of a fast
fail.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

TARGET = Path("tecken/symbolication/minidump/crash_reason/windows_codes.txt")
SOURCE = (
    "# bench/windows_codes.py: names of minidump-common 0.27.0 (MIT), which are those of the Windows SDK\n"
)
ENUMS = {"F": "FastFailCode", "S": "NtStatusWindows", "W": "WinErrorWindows"}
VARIANT = re.compile(r"^ +(\w+) = (0x[0-9a-f]+|\d+)(?:u32)?,$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("crate", type=Path)
    source = (parser.parse_args().crate / "src/errors/windows.rs").read_text()
    lines = [
        f"{kind}{code:x} {name}\n" for kind, enum in ENUMS.items() for code, name in read_enum(source, enum)
    ]
    TARGET.write_text(SOURCE + "".join(lines))
    print(f"{TARGET}: {len(lines)} codes, {TARGET.stat().st_size} bytes")


def read_enum(source: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield each code of an enum and its name, by code."""
    _, _, rest = source.partition(f"pub enum {name} {{\n")
    body, _, _ = rest.partition("}\n")
    return iter(sorted((int(code, 0), variant) for variant, code in VARIANT.findall(body)))


if __name__ == "__main__":
    main()
