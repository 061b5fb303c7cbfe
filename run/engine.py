"""Build of the engine, a Rust module that is faster than its Python form: `python -m run.engine`.

It needs cargo and a C compiler. The module is installed in the virtual environment that runs this script;
without it the site works in Python.
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


def main() -> None:
    """Build the module with cargo and install it."""
    if shutil.which("cargo") is None:
        sys.exit("cargo is not installed; the engine is optional, and Tecken works without it")
    manifest = ROOT / "engine" / "Cargo.toml"
    command = ("cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", str(manifest))
    # Python's symbols come from the process that loads the module, not from a library that it links.
    environment = {**os.environ, "PYO3_BUILD_EXTENSION_MODULE": "1", "CARGO_TARGET_DIR": str(TARGET)}
    build = subprocess.run(command, env=environment, check=False)
    if build.returncode:
        sys.exit("The engine was not built; the errors are above")
    install(TARGET / "release" / LIBRARY_NAMES.get(sys.platform, "libtecken_engine.so"))


def install(library: Path) -> None:
    """Copy the library into the site packages of this interpreter."""
    module = Path(sysconfig.get_path("platlib")) / "tecken_engine.abi3.so"
    # Replaced in one step: processes that have the old module loaded keep it.
    copy = module.with_suffix(".new")
    shutil.copyfile(library, copy)
    copy.replace(module)
    print(f"Installed {module}")


if __name__ == "__main__":
    main()
