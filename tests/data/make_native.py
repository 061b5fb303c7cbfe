"""Build one small program as every format of native files.

Needs clang and lld 14, binutils, dsymutil, dwz and gcab (Debian 12: `apt-get install clang-14 lld-14 llvm-14
dwz gcab`), and pdbtool (`cargo install pdbtool --version 0.1.22`).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE / "native"
CABINETS = HERE / "cabinets"
# One path on every machine: linkers write it into some files.
BUILD = Path("/tmp/native")
SOURCE = Path("src") / "native.c"
COMPILE = (
    *("clang-14", "-O2", "-g", "-ffreestanding"),
    *(f"-ffile-prefix-map={BUILD}=/build", "-fdebug-compilation-dir=/build"),
)


def main() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(HERE / "src", BUILD / "src")
    make_elf()
    make_windows()
    make_apple()
    make_wasm()
    shutil.rmtree(BUILD / "src")
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.move(BUILD, OUT)


def make_elf() -> None:
    shared = ("-fPIC", "-shared", "-nostdlib", "-fuse-ld=lld-14")
    build_id = "-Wl,--build-id=sha1"
    linux = (*COMPILE, "--target=x86_64-linux-gnu", *shared)
    run(*linux, build_id, "-o", "libnative.so", str(SOURCE))
    run(*linux, build_id, "-gz=zlib", "-o", "compressed.so", str(SOURCE))
    run(*linux, "-Wl,--build-id=none", "-o", "without-id.so", str(SOURCE))
    run(*COMPILE, "--target=aarch64-linux-gnu", *shared, build_id, "-o", "arm64.so", str(SOURCE))
    run(*COMPILE, "--target=powerpc-linux-gnu", *shared, build_id, "-o", "big-endian.so", str(SOURCE))
    run("objcopy", "--only-keep-debug", "libnative.so", "libnative.so.debug")
    run("objcopy", "--strip-all", "libnative.so", "stripped.so")
    run("objcopy", "--strip-debug", "libnative.so", "symbols.so")
    run("objcopy", "--only-keep-debug", "symbols.so", "symbols.debug")
    make_mini()
    run(*linux, build_id, "-fasynchronous-unwind-tables", "-o", "frames", str(SOURCE))
    run("objcopy", "--only-keep-debug", "frames", "frames.debug")
    run("objcopy", "--strip-all", "frames", "frames.so")
    remove("frames")
    make_common(linux)
    run(*COMPILE, "--target=x86_64-linux-gnu", "-gsplit-dwarf", "-fPIC", "-c", "-o", "split.o", str(SOURCE))
    run("llvm-dwp-14", "split.dwo", "-o", "split.dwp")
    remove("split.o", "split.dwo")
    run(*linux, build_id, "-gsplit-dwarf", "-o", "split.so", str(SOURCE))
    remove("split.dwo")


def make_mini() -> None:
    """Put a symbol that is in no other table into a packed file in a section, as Fedora does it."""
    run("objcopy", "--add-symbol", "hidden=.text:0x10,function,local", "symbols.so", "mini")
    run("objcopy", "--only-keep-debug", "mini", "mini.debug")
    run("xz", "--keep", "mini.debug")
    run("objcopy", "--add-section", ".gnu_debugdata=mini.debug.xz", "stripped.so", "mini.so")
    remove("mini", "mini.debug", "mini.debug.xz")


def make_common(linux: tuple[str, ...]) -> None:
    """Move what two libraries have in common into a file of its own, with GCC's DWARF 4, which dwz reads."""
    for name in ("one.so", "two.so"):
        run(*linux, "-gdwarf-4", "-Wl,--build-id=sha1", f"-DNAME={name[:3]}", "-o", name, str(SOURCE))
    run("dwz", "-m", "common.debug", "-M", "/usr/lib/debug/.dwz/common.debug", "one.so", "two.so")
    remove("two.so")


def make_windows() -> None:
    for arch in ("x86_64", "aarch64"):
        name = "native" if arch == "x86_64" else "arm64"
        target = f"--target={arch}-pc-windows-msvc"
        run(
            *COMPILE,
            target,
            "-gcodeview",
            "-fdebug-compilation-dir=/build",
            "-c",
            "-o",
            f"{name}.obj",
            str(SOURCE),
        )
        link = ("lld-link-14", "/debug", "/nodefaultlib", "/entry:start", "/subsystem:console", "/Brepro")
        run(
            *link, f"/out:{name}.exe", f"/pdb:{name}.pdb", f"/pdbaltpath:C:\\build\\{name}.pdb", f"{name}.obj"
        )
        remove(f"{name}.obj")
    remove("arm64.pdb")
    run("pdbtool", "pdz-encode", "--compress-stream-dir", "native.pdb", "packed.pdb")
    CABINETS.mkdir(exist_ok=True)
    run("gcab", "--create", "--zip", str(CABINETS / "native.pd_"), "native.pdb")
    unwind = (*COMPILE, "-funwind-tables", "--target=x86_64-pc-windows-msvc", "-gcodeview", "-c")
    run(*unwind, "-o", "unwind.obj", str(SOURCE.with_name("unwind.c")))
    run(*link, "/out:unwind.exe", "/pdb:unwind.pdb", "/pdbaltpath:C:\\build\\unwind.pdb", "unwind.obj")
    remove("unwind.obj")
    mingw = (*COMPILE, "--target=x86_64-w64-mingw32", "-nostdlib", "-fuse-ld=lld-14")
    run(*mingw, "-Wl,--entry=start", "-Wl,--build-id", "-o", "mingw.exe", str(SOURCE))


def make_apple() -> None:
    for arch, name in (("x86_64", "intel"), ("arm64", "arm")):
        run(*COMPILE, f"--target={arch}-apple-macos11", "-c", "-o", f"{name}.o", str(SOURCE))
        link = ("ld64.lld-14", "-arch", arch, "-platform_version", "macos", "11", "11", "-dylib")
        run(*link, "-o", f"{name}.dylib", f"{name}.o")
        run("dsymutil-14", "--flat", f"{name}.dylib", "-o", f"{name}.dwarf")
    run("llvm-lipo-14", "-create", "intel.dylib", "arm.dylib", "-output", "fat.dylib")
    run("llvm-lipo-14", "-create", "intel.dwarf", "arm.dwarf", "-output", "fat.dwarf")
    remove("intel.o", "arm.o", "arm.dylib", "arm.dwarf")


def make_wasm() -> None:
    run(*COMPILE, "--target=wasm32", "-c", "-o", "wasm.o", str(SOURCE))
    run("wasm-ld-14", "--no-entry", "--export=start", "-o", "without-id.wasm", "wasm.o")
    remove("wasm.o")
    plain = (BUILD / "without-id.wasm").read_bytes()
    # wasm-ld writes a build id from version 17 on: a custom section, with the length before the id.
    build_id = bytes(range(16))
    content = b"\x08build_id" + bytes([len(build_id)]) + build_id
    (BUILD / "native.wasm").write_bytes(plain + b"\0" + bytes([len(content)]) + content)


def run(*command: str) -> None:
    subprocess.run(command, cwd=BUILD, check=True, timeout=120)


def remove(*names: str) -> None:
    for name in names:
        (BUILD / name).unlink()


if __name__ == "__main__":
    main()
