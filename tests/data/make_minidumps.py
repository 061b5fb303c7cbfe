"""Make the minidumps and symbol files in `minidumps/`: crashes of programs on several processors.

    python -m tests.data.make_minidumps --breakpad DIRECTORY [--dump-syms PROGRAM]

DIRECTORY has Breakpad's sources with `third_party/lss` in or beside it (npm `minidump` 0.26.0: `deps/`). The
programs run with an empty environment and below /build, because a minidump contains both.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.data.core_to_minidump import AT_BASE, AT_PHDR, MODULES, auxiliary_vector, convert

HERE = Path(__file__).parent / "minidumps"
SOURCES = HERE / "src"
BUILD = Path("/build/minidumps")
FLAGS = [
    "-g", "-O2", "-fomit-frame-pointer", "-fno-stack-protector", "-std=gnu++20", "-Wl,--build-id=sha1",
    "-pthread",
    f"-ffile-prefix-map={SOURCES}=/build/minidumps",
]  # fmt: skip
WAYS = ["write-null", "jump-null", "overflow", "deep", "smash", "abort", "divide", "trap"]
WILD_WAYS = ["wild-write", "wild-call", "flip-read", "null-member"]
RUST_WAYS = ["panic", "read"]


class Target(NamedTuple):
    """Processor: its compiler, and the options with which its programs find their libraries."""

    name: str
    compiler: str
    host: str = ""
    options: tuple[str, ...] = ()


TARGETS = [
    Target("amd64", "g++"),
    Target(
        "x86",
        "i686-linux-gnu-g++",
        "i686-linux-gnu",
        (
            "-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2",
            "-Wl,-rpath,/usr/i686-linux-gnu/lib",
        ),
    ),
]

# Processors of programs that run in qemu-user, with the names of their compilers.
EMULATED = {"arm64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf"}
IMPORTS = {
    "kernel32": [
        "CreateThread", "CreateFileA", "GetCurrentProcess", "GetCurrentProcessId", "GetCurrentThreadId",
        "GetCommandLineA", "ExitProcess", "Sleep", "SetLastError", "RaiseException",
        "SetUnhandledExceptionFilter",
    ],
    "dbghelp": ["MiniDumpWriteDump"],
}  # fmt: skip
EMULATORS = {"arm64": "qemu-aarch64", "arm": "qemu-arm"}


def main() -> int:
    """Make everything again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--breakpad", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--dump-syms", default="dump_syms", metavar="PROGRAM")
    options = parser.parse_args()
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    for target in TARGETS:
        make_cpp(target, options.breakpad.resolve(), options.dump_syms)
    make_wild(options.dump_syms)
    make_rust(options.dump_syms)
    for processor, triplet in EMULATED.items():
        make_emulated(processor, triplet, options.dump_syms)
    make_windows(options.dump_syms)
    for file in HERE.glob("symbols/**/*.sym"):
        run("zstd", "-q", "-19", "-f", "--rm", file)
    return 0


def make_cpp(target: Target, breakpad: Path, dump_syms: str) -> None:
    """Write the dumps of the C++ program on one processor."""
    library = build_breakpad(target, breakpad)
    program, handler = BUILD / "crash", BUILD / f"handler-{target.name}.so"
    run(target.compiler, *FLAGS, *target.options, "-o", program, SOURCES / "crash.cc")
    includes = [f"-I{breakpad}", f"-I{breakpad}/breakpad/src"]
    sources = [SOURCES / "handler.cc", library]
    run(target.compiler, *FLAGS, *target.options, "-shared", "-fPIC", *includes, "-o", handler, *sources)
    for way in WAYS:
        crash(program, way, handler, f"{target.name}-{way}")
    write_symbols(program, dump_syms)


def make_wild(dump_syms: str) -> None:
    """Write the dumps of the program with wrong pointers, on x86-64, whose code is disassembled."""
    program = BUILD / "wild"
    run("g++", *FLAGS, "-o", program, SOURCES / "wild.cc")
    for way in WILD_WAYS:
        crash(program, way, BUILD / "handler-amd64.so", f"amd64-{way}")
    write_symbols(program, dump_syms)


def make_rust(dump_syms: str) -> None:
    """Write the dumps of the Rust program."""
    program, handler = BUILD / "panic", BUILD / "handler-amd64.so"
    flags = [
        "-g",
        "-Copt-level=2",
        "-Cpanic=abort",
        "-Clto=fat",
        f"--remap-path-prefix={SOURCES}=/build/minidumps",
    ]
    run("rustc", *flags, "-o", program, SOURCES / "panic.rs")
    for way in RUST_WAYS:
        crash(program, way, handler, f"rust-{way}")
    write_symbols(program, dump_syms)


def build_breakpad(target: Target, breakpad: Path) -> Path:
    """Return the library of Breakpad's client."""
    folder = BUILD / f"breakpad-{target.name}"
    folder.mkdir()
    host = [f"--host={target.host}"] if target.host else []
    flags = f"CPPFLAGS=-I{breakpad} -I{breakpad}/breakpad/src"
    run(breakpad / "breakpad/configure", *host, flags, cwd=folder)
    library = "src/client/linux/libbreakpad_client.a"
    run("make", "-j", os.cpu_count(), "CXXFLAGS=-g -O2 -std=gnu++20 -Wno-error", library, cwd=folder)
    return folder / library


def crash(program: Path, way: str, handler: Path, name: str) -> None:
    """Run the program until it crashes, and keep its dump, compressed."""
    folder = BUILD / "dumps"
    folder.mkdir(exist_ok=True)
    environment = {"LD_PRELOAD": str(handler), "MINIDUMP_DIRECTORY": str(folder)}
    done = subprocess.run(
        [program, way], env=environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert done.returncode < 0, f"{program} {way} did not crash"
    (dump,) = folder.glob("*.dmp")
    pack(dump, f"{name}.dmp.zst")


def make_emulated(processor: str, triplet: str, dump_syms: str) -> None:
    """Write the dumps of the C++ program in qemu-user, from its cores."""
    folder = BUILD / processor
    folder.mkdir()
    program = folder / "crash"
    run(f"{triplet}-g++", *FLAGS, "-o", program, SOURCES / "crash.cc")
    for way in WAYS:
        command: list[str | Path] = [
            EMULATORS[processor],
            "-L",
            f"/usr/{triplet}",
            "-E",
            "LD_DEBUG=files",
            program,
            way,
        ]
        done = subprocess.run(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
            check=False,
            capture_output=True,
            text=True,
            preexec_fn=allow_core,
        )
        cores = list(folder.glob("*.core"))
        if not cores:
            # Division by zero is no error on these processors.
            assert "not a way" in done.stdout or done.returncode >= 0, f"{processor} {way} wrote no core"
            continue
        dump = BUILD / "dump"
        core = cores[0].read_bytes()
        dump.write_bytes(convert(core, find_modules(core, done.stderr, program, f"/usr/{triplet}")))
        for file in [*cores, *folder.glob("core*")]:
            file.unlink()
        pack(dump, f"{processor}-{way}.dmp.zst")
    write_symbols(program, dump_syms)


def allow_core() -> None:
    """Let the emulator write a core."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def find_modules(core: bytes, log: str, program: Path, root: str) -> list[tuple[int, Path]]:
    """Return the modules of a core with their addresses: program, linker, and those in the linker's log."""
    vector = auxiliary_vector(core)
    image = program.read_bytes()
    interpreter = image[image.index(b"/lib/ld-") :].partition(b"\0")[0].decode()
    headers = 64 if image[4] == 2 else 52
    found = [(vector[AT_PHDR] - headers, program), (vector[AT_BASE], Path(root + interpreter))]
    for name, base in re.findall(r"file=(\S+) \[0\];  generating link map\n.*?base: (0x[0-9a-f]+)", log):
        found.append((int(base, 16), Path(root, "lib", name)))
    return found


def make_windows(dump_syms: str) -> None:
    """Write the dumps of the Windows program in Wine."""
    folder = BUILD / "windows"
    folder.mkdir()
    for library, functions in IMPORTS.items():
        definition = folder / f"{library}.def"
        definition.write_text("\n".join([f"LIBRARY {library}.dll", "EXPORTS", *functions]))
        run("llvm-dlltool", "-m", "i386:x86-64", "-d", definition, "-l", folder / f"{library}.lib")
    source = BUILD / "windows.c"
    shutil.copy(SOURCES / "windows.c", source)
    flags = ["-O2", "-g", "-gcodeview", "-fno-stack-protector", "-mno-stack-arg-probe", "-Wno-everything"]
    run("clang", "--target=x86_64-pc-windows-msvc", *flags, "-c", "-o", "windows.obj", source, cwd=folder)
    linking = ["/debug", "/pdb:windows.pdb", "/entry:start", "/subsystem:console", "/nodefaultlib"]
    libraries = [f"{library}.lib" for library in IMPORTS]
    run("lld-link", *linking, "/out:windows.exe", "windows.obj", *libraries, cwd=folder)
    environment = {
        "PATH": os.environ["PATH"],
        "WINEPREFIX": str(BUILD / "wine"),
        "WINEDEBUG": "-all",
        "USER": "user",
    }
    for way in ["deep", "jump-null", "raise"]:
        command = ["wine", "windows.exe", way[0]]
        # Wine prepares its folder in the first run, which may fail.
        for _ in range(2):
            subprocess.run(
                command, cwd=folder, env=environment, check=False, capture_output=True, timeout=120
            )
        dump = folder / "windows.dmp"
        dump.write_bytes(name_program(dump.read_bytes(), (folder / "windows.exe").read_bytes()))
        pack(dump, f"windows-{way}.dmp.zst")
    run(dump_syms, "--inlines", "-s", HERE / "symbols", folder / "windows.pdb", folder / "windows.exe")


def name_program(dump: bytes, program: bytes) -> bytes:
    """Return a dump with the program's CodeView record, which Wine leaves out."""
    at = program.index(b"RSDS")
    record = program[at : program.index(b"\0", at + 24) + 1]
    changed = bytearray(dump)
    streams, directory = struct.unpack_from("<2I", dump, 8)
    entries = [struct.unpack_from("<3I", dump, directory + 12 * i) for i in range(streams)]
    (modules,) = (place for kind, _, place in entries if kind == MODULES)
    # The first module is the program; the location of the record is 76 bytes after the start of its entry.
    struct.pack_into("<2I", changed, modules + 4 + 76, len(record), len(dump))
    return bytes(changed) + record


def write_symbols(program: Path, dump_syms: str) -> None:
    """Write the program's symbol file."""
    run(dump_syms, "--inlines", "-s", HERE / "symbols", program)


def pack(dump: Path, name: str) -> None:
    """Keep a dump, compressed."""
    dump.chmod(0o644)
    run("zstd", "-q", "-19", "-f", "--rm", dump, "-o", HERE / name)


def run(*command: object, cwd: Path | None = None) -> None:
    """Run a command; its output is shown if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, check=False, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr)
        raise SystemExit(f"failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    sys.exit(main())
