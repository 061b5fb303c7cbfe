"""Build one small library with its DWARF in one file, in a package, and in a common file of dwz.

The object file that is not linked stands for a kernel module.

Needs clang and lld 14, binutils 2.40 and dwz (Debian 12: `apt-get install clang-14 lld-14 llvm-14 dwz`).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE / "inlines"
# PDB files have the paths of all that they were made from, so those are the same on every machine.
BUILD = Path("/tmp/inlines")
SOURCE = "src/inlines.c"
CLANG = ("clang-14", "--target=x86_64-linux-gnu")
PATHS = (f"-ffile-prefix-map={BUILD}=/build", "-ffile-compilation-dir=/build")
COMPILE = (*CLANG, "-O2", "-fno-unroll-loops", "-fno-vectorize", "-ffreestanding", "-fPIC", *PATHS)
LINK = (*CLANG, "-shared", "-nostdlib", "-fuse-ld=lld-14", "-Wl,--build-id=sha1")

RESULTS = (
    *("plain.so", "zstd.so", "zdebug.so", "split.so", "split.dwp", "common.so", "common.debug"),
    *("relocatable", "x86.pdb", "names"),
)


def main() -> None:
    for folder in (OUT, BUILD):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (BUILD / "src").mkdir()
    for name in ("inlines.c", "inlines.h", "names.s"):
        shutil.copy(HERE / "src" / name, BUILD / "src")
    build("plain.so", "-gdwarf-5")
    build("split.so", "-gdwarf-5", "-gsplit-dwarf", "-fno-split-dwarf-inlining")
    run("llvm-dwp-14", "split.dwo", "-o", "split.dwp")
    run("objcopy", "--compress-debug-sections=zstd", "plain.so", "zstd.so")
    run("objcopy", "--compress-debug-sections=zlib-gnu", "plain.so", "zdebug.so")
    # dwz reads DWARF 4, and moves what two files have in common.
    build("common.so", "-gdwarf-4")
    build("other.so", "-gdwarf-4")
    run("dwz", "-m", "common.debug", "-M", "/usr/lib/debug/.dwz/common.debug", "common.so", "other.so")
    build_windows()
    run(*CLANG, "-c", "-o", "names", "src/names.s")
    (BUILD / "plain.o").rename(BUILD / "relocatable")
    for name in RESULTS:
        shutil.copy(BUILD / name, OUT)
    shutil.rmtree(BUILD)


def build_windows() -> None:
    """Build a PDB for x86, which has the unwind information itself."""
    paths = (f"-ffile-prefix-map={BUILD}=/build", "-fdebug-compilation-dir=/build")
    flags = ("-O2", "-fno-unroll-loops", "-fno-vectorize", "-ffreestanding", "-g", "-gcodeview")
    run("clang-14", "--target=i686-pc-windows-msvc", *flags, *paths, "-c", "-o", "x86.o", SOURCE)
    link = ("lld-link-14", "/debug", "/nodefaultlib", "/noentry", "/dll", "/safeseh:no", "/Brepro")
    run(*link, "/out:x86.dll", "/pdb:x86.pdb", "/pdbaltpath:x86.pdb", "x86.o")


def build(name: str, *debug: str) -> None:
    """Compile and link the library."""
    objects = Path(name).with_suffix(".o").name
    run(*COMPILE, *debug, "-c", "-o", objects, SOURCE)
    run(*LINK, "-o", name, objects)


def run(*command: str) -> None:
    subprocess.run(command, cwd=BUILD, check=True, timeout=120)


if __name__ == "__main__":
    main()
