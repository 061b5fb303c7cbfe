"""Build of the two programs in Rust: `python -m run.engine`.

The engine is a module that is faster than its Python form, and `tecken-dump` converts native debug files to
symbol files. Both need cargo and a C compiler, and both are installed in the virtual environment that runs
this script; without them the site works in Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from run.install import ROOT

TARGET = ROOT / ".cache" / "engine"
LIBRARY_NAMES = {"darwin": "libtecken_engine.dylib"}
DUMP = "tecken-dump"


def main() -> None:
    """Build the module and the program with cargo and install them."""
    if shutil.which("cargo") is None:
        sys.exit("cargo is not installed; the engine is optional, and Tecken works without it")
    manifest = ROOT / "engine" / "Cargo.toml"
    options = ("--release", "--locked", "--quiet", "--workspace", "--manifest-path", str(manifest))
    # Python's symbols come from the process that loads the module, not from a library that it links.
    environment = {**os.environ, "PYO3_BUILD_EXTENSION_MODULE": "1", "CARGO_TARGET_DIR": str(TARGET)}
    build = subprocess.run(("cargo", "build", *options), env=environment, check=False)
    if build.returncode:
        sys.exit("The engine was not built; the errors are above")
    built = TARGET / "release"
    module = Path(sysconfig.get_path("platlib")) / "tecken_engine.abi3.so"
    install(built / LIBRARY_NAMES.get(sys.platform, "libtecken_engine.so"), module)
    install(built / DUMP, Path(sysconfig.get_path("scripts")) / DUMP)


def install(built: Path, target: Path) -> None:
    """Copy a file that was built to its place in the environment of this interpreter."""
    # Replaced in one step: processes that have the old file loaded keep it.
    copy = target.with_suffix(".new")
    shutil.copy(built, copy)
    copy.replace(target)
    print(f"Installed {target}")


if __name__ == "__main__":
    main()
