"""Minidumps beside minidump-stackwalk, in one run: `python -m bench.minidump --data DIR`.

DIR has symbol files as <debug file>/<DEBUG ID>/<name>.sym: a large module, which `bench.joined_symbols` can
make of several, and ten or more small ones. The dumps are synthetic (`bench.minidump_dumps`): "crash" has 10
threads, "many" has 100, each with 30 frames, half of them in the large module.

minidump-stackwalk reads the same files; they are in the cache of the system. Ours is a process like a
worker's, with everything warm: page files are made, pages are in redis-store, and the first dump is not
counted. Both take turns. CPU is that of all processes, without redis-store. Memory is the peak of
minidump-stackwalk, and for us the peak of the child process plus what the worker's process has grown by
since it was started.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import orjson

from bench import rig
from bench.minidump_dumps import make_dump
from tecken.symbols.source_paths import clean
from tests.oracle.minidumps import differences, find_stackwalk

THREADS = {"crash": 10, "many": 100}
FRAMES = 30
SMALL = 10
MIB = 1024


class Cost(NamedTuple):
    """Wall and CPU seconds of one dump, and memory in MiB."""

    seconds: float
    cpu: float
    memory: float


def main() -> None:
    """Measure, or be the worker that is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=rig.DATA)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return
    program = find_stackwalk()
    if not program:
        parser.error("install it first: cargo install minidump-stackwalk --version 0.27.0 --locked")
    found = rig.modules(options.data)
    modules = [found[0], *found[-SMALL:]]
    environment = {"SYMBOL_SOURCES": f"file://{options.data.resolve()}/"}
    with rig.redis_pair(**environment) as environment, tempfile.TemporaryDirectory() as folder:
        rig.configure(environment, symbol_max_bytes=1 << 30)
        prepare(environment, modules)
        sizes = ", ".join(f"{module.path.name} {module.size / 1e6:.1f} MB" for module in modules)
        print(f"{sizes}\n")
        with worker(environment) as walk:
            for name, threads in THREADS.items():
                dump = Path(folder, f"{name}.dmp")
                dump.write_bytes(make_dump(modules, threads, FRAMES))
                report(name, dump, program, options, walk)


def prepare(environment: dict[str, str], modules: Sequence[rig.Module]) -> None:
    """Make the page files, and fill the store."""
    code = (
        "import sys; from pathlib import Path; from bench import rig; import os; rig.enter(os.environ)\n"
        "for path in sys.argv[1:]: m = rig.Module(Path(path)); rig.convert(m); rig.fill_store(m)"
    )
    paths = [str(module.path.resolve()) for module in modules]
    subprocess.run([sys.executable, "-c", code, *paths], cwd=rig.ROOT, env=environment, check=True)


def report(name: str, dump: Path, program: str, options: argparse.Namespace, walk: Walk) -> None:
    """Print the costs of one dump."""
    first, ours = walk(dump)
    theirs = stackwalk(program, options.data, dump)[1]
    check(ours, theirs)
    costs: dict[str, list[Cost]] = {"stackwalk": [], "ours": []}
    for _ in range(options.rounds):
        costs["stackwalk"].append(stackwalk(program, options.data, dump)[0])
        costs["ours"].append(walk(dump)[0])
    print(f"{name}: {THREADS[name]} threads, {FRAMES} frames each; first dump {first.seconds:.2f} s")
    middle = {who: Cost(*map(statistics.median, zip(*found, strict=True))) for who, found in costs.items()}
    for who, cost in middle.items():
        print(f"  {who:<10} {cost.seconds:6.3f} s  CPU {cost.cpu:6.3f} s  memory {cost.memory:6.1f} MiB")
    theirs_cost, ours_cost = middle["stackwalk"], middle["ours"]
    ratios = [a / b for a, b in zip(theirs_cost, ours_cost, strict=True)]
    print("  ratio      {:6.1f}    CPU {:6.1f}    memory {:6.1f}\n".format(*ratios))


def check(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Exit unless both reports have the same frames, and all that the dump was made of."""
    for thread in theirs["threads"]:
        for frame in thread["frames"]:
            for place in (frame, *(frame["inlines"] or ())):
                place["file"] = place["file"] and clean(place["file"])
    found = list(differences(ours["threads"], theirs["threads"]))
    keys = ("trust", "offset", "module", "function", "file", "line", "inlines")
    found = [line for line in found if any(f"/{key}" in line for key in keys)]
    if found or any(thread["frame_count"] != FRAMES for thread in ours["threads"]):
        sys.exit("the reports differ:\n" + "\n".join(found[:10]))


def stackwalk(program: str, symbols: Path, dump: Path) -> tuple[Cost, dict[str, Any]]:
    """Run minidump-stackwalk."""
    start = time.perf_counter()
    command = [program, "--json", "--symbols-path", str(symbols), str(dump)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    output = process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    seconds = time.perf_counter() - start
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MIB), orjson.loads(output)


class Walk:
    """Connection to the worker's process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __call__(self, dump: Path) -> tuple[Cost, dict[str, Any]]:
        """Have a dump processed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{dump}\n".encode())
        self._process.stdin.flush()
        cost = orjson.loads(self._process.stdout.readline())
        return Cost(*cost), orjson.loads(self._process.stdout.readline())


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[Walk]:
    """Start the process that is measured."""
    command = [sys.executable, "-m", "bench.minidump", "--work"]
    process = subprocess.Popen(
        command, cwd=rig.ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Walk(process)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait()


def work() -> None:
    """Process dumps whose paths come on stdin, as a worker does."""
    rig.enter(os.environ)
    from tecken.symbolication.crash_dumps import services  # noqa: PLC0415 - reads the environment
    from tecken.symbolication.crash_dumps.child import WalkedDump, process_dump  # noqa: PLC0415

    services.dump_processor()
    started = resident()
    print(f"worker of {started:.0f} MiB", file=sys.stderr)

    def walk(path: Path) -> WalkedDump:
        with path.open("rb") as file:
            return process_dump(
                file, lambda modules: services.open_symbols(modules, services.worker_conversion())
            )

    for line in sys.stdin:
        path = Path(line.strip())
        # In a run of its own: the thread that reads the child's memory takes CPU time.
        with watched_children() as peak:
            walk(path)
        before, start = cpu(), time.perf_counter()
        walked = walk(path)
        seconds, used = time.perf_counter() - start, cpu() - before
        memory = peak[0] + resident() - started
        sys.stdout.buffer.write(orjson.dumps([seconds, used, memory]) + b"\n" + walked.report + b"\n")
        sys.stdout.buffer.flush()


@contextmanager
def watched_children() -> Iterator[list[float]]:
    """Yield a list with the largest memory of a child process in MiB, which is complete at the end.

    The usage that wait4() returns has the memory of this process in it, from before the child's program
    began.
    """
    peak, over = [0.0], Event()

    def watch() -> None:
        while not over.wait(0.002):
            for task in Path("/proc/self/task").iterdir():
                # Threads and children end at any time.
                with suppress(OSError, IndexError):
                    for child in (task / "children").read_text().split():
                        status = Path("/proc", child, "status").read_text()
                        if "Name:\tpython" in status:
                            peak[0] = max(peak[0], int(status.split("VmHWM:")[1].split()[0]) / MIB)

    thread = Thread(target=watch)
    thread.start()
    yield peak
    over.set()
    thread.join()


def cpu() -> float:
    """Return the CPU seconds of this process and its children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def resident() -> float:
    """Return the memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


if __name__ == "__main__":
    main()
