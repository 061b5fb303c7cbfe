"""Build the three sample modules, dump their symbols and note the stack on which the program dies.

Needs gcc, g++, rustc, gdb and both dump_syms; README.md beside this file has the command and the versions.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = ("crash-c", "libcrash-cpp.so", "libcrash-rs.so")
ORIGIN = "-Wl,-rpath,$ORIGIN"
# Each physical frame of the crashed thread: file of its module, and where it stands in that module. A caller
# stands one byte before its return address, inside the call instruction, as stackwalkers report it.
GDB_BACKTRACE = """
import gdb
frame, first = gdb.newest_frame(), True
while frame is not None:
    if frame.type() != gdb.INLINE_FRAME:
        pc = int(frame.pc()) - (0 if first else 1)
        base = min(m[0] for m in mappings(gdb.solib_name(pc) or gdb.current_progspace().filename))
        print("FRAME", gdb.solib_name(pc) or gdb.current_progspace().filename, pc - base)
        first = False
    frame = frame.older()
"""
GDB_MAPPINGS = """
import gdb, os
def mappings(name):
    lines = [l.split() for l in open(f"/proc/{gdb.selected_inferior().pid}/maps")]
    real = os.path.realpath(name)
    return [(int(l[0].split("-")[0], 16), l[-1]) for l in lines if l[-1] == real]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dump-syms", default="dump_syms", help="Mozilla's dump_syms")
    parser.add_argument("--breakpad-dump-syms", required=True, help="Breakpad's dump_syms")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder)
        compile_modules(build)
        frames = backtrace(build)
        for name in MODULES:
            dump(build, name, options.dump_syms, options.breakpad_dump_syms)
        write_stack(frames, {path: debug_id(path, options.breakpad_dump_syms) for path, _ in frames})


def compile_modules(build: Path) -> None:
    """No path of this machine reaches the debug data: sources appear under /build/crash."""
    run = Runner(build)
    maps = [f"-ffile-prefix-map={HERE}=/build/crash", f"-ffile-prefix-map={build}=/build/crash"]
    remaps = [f"--remap-path-prefix={path}=/build/crash" for path in (HERE, build)]
    rust = ["-C", "opt-level=2", "-C", "panic=abort", "-C", "lto=fat", "-g"]
    soname = ["-C", "link-arg=-Wl,-soname,libcrash-rs.so", "-o", "libcrash-rs.so"]
    run("rustc", "--edition=2021", "--crate-type=cdylib", *rust, *remaps, *soname, f"{HERE}/src/crash.rs")
    shared = ["-O2", "-g", "-fPIC", "-shared", "-Wl,-soname,libcrash-cpp.so", "-o", "libcrash-cpp.so"]
    run("g++", *maps, *shared, f"{HERE}/src/crash.cpp", "-L.", "-lcrash-rs", ORIGIN)
    program = ["-L.", "-lcrash-cpp", ORIGIN]
    run("gcc", "-O2", "-g", *maps, "-o", "crash-c", f"{HERE}/src/crash.c", *program)


class Runner:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *command: str) -> str:
        return subprocess.check_output(command, cwd=self.folder, text=True, timeout=120)


def backtrace(build: Path) -> list[tuple[str, int]]:
    script = build / "backtrace.py"
    script.write_text(GDB_MAPPINGS + GDB_BACKTRACE)
    out = Runner(build)("gdb", "-nx", "-batch", "-ex", "run", "-x", str(script), "./crash-c")
    rows = [line.split() for line in out.splitlines() if line.startswith("FRAME ")]
    return [(os.path.realpath(path), int(offset)) for _, path, offset in rows]


def dump(build: Path, name: str, mozilla: str, breakpad: str) -> None:
    run = Runner(build)
    store(HERE / "samples", run(mozilla, "--inlines", name))
    store(HERE / "samples-breakpad", run(breakpad, "-d", "-m", name))


def store(tree: Path, text: str) -> None:
    _, _, _, identifier, name = text.splitlines()[0].split(" ", 4)
    shutil.rmtree(tree / name, ignore_errors=True)
    path = tree / name / identifier / f"{name}.sym"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def debug_id(path: str, breakpad: str) -> str:
    return Runner(HERE)(breakpad, "-i", path).split()[3]


def write_stack(frames: list[tuple[str, int]], ids: dict[str, str]) -> None:
    paths = list(ids)
    memory_map = [[Path(path).name, ids[path]] for path in paths]
    stack = [[paths.index(path), offset] for path, offset in frames]
    job = {"memoryMap": memory_map, "stacks": [stack]}
    (HERE / "samples" / "stack.json").write_text(json.dumps({"jobs": [job]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
