"""Compare the inline chains of native files with llvm-symbolizer, and measure the engines that are installed.

For random addresses of `.text`, the symbol file of each dumper must give the same number of frames, and the
same line and base name of the file in each, or nothing where llvm-symbolizer gives nothing. Names are not
compared. Needs llvm-symbolizer (Debian: llvm-19) and readelf.

PDB files are compared with pdb-addr2line instead, for random addresses between their functions, since the
reader of llvm-symbolizer crashes. Needs `cargo build --examples --manifest-path engine/dump/Cargo.toml`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import rig
from tecken.symbols.lookup import Frame
from tecken.symbols.pagefile.convert import PageFileWriter
from tests.support.engines import ENGINES, find_engines

SHOWN = 3
CHUNK = 1 << 20

# Line and base name of the file of each frame, from the inside to the outside.
Chain = list[tuple[int, str]]


class Dumper(NamedTuple):
    """Program that writes a symbol file to standard output."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None


class Dump(NamedTuple):
    """Symbol file, and what it cost."""

    path: Path
    cpu_seconds: float
    peak_bytes: int


class Text(NamedTuple):
    """Section `.text`, and the address that offsets in the module count from."""

    base: int
    start: int
    size: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--count", type=int, default=1000, help="addresses for each seed")
    parser.add_argument("--symbolizer", default="llvm-symbolizer-19")
    parser.add_argument("--pdb-frames", help="program of engine/dump/examples, for PDB files")
    parser.add_argument("--engine", choices=ENGINES, nargs="+", default=ENGINES)
    parser.add_argument("--dump-syms", help="Mozilla's dump_syms, measured too")
    parser.add_argument("--show", action="store_true", help="print examples of differences")
    options = parser.parse_args()
    dumpers = [
        Dumper(engine.title, engine.command, engine.environment) for engine in find_engines(options.engine)
    ]
    if options.dump_syms:
        dumpers.append(Dumper("dump_syms", (options.dump_syms, "--inlines")))
    rows = [row for file in options.files for row in compare(file, dumpers, options)]
    rig.table(["file", "dumper", "right", "differences", "CPU s", "peak MB", "text MB"], rows)


def compare(file: Path, dumpers: Sequence[Dumper], options: argparse.Namespace) -> list[list[object]]:
    """Return one row for each dumper."""
    if file.suffix == ".pdb":
        text = find_functions(file, dumpers[0])
        command: tuple[str, ...] = (options.pdb_frames, str(file))
    else:
        text = find_text(file)
        command = (options.symbolizer, f"--obj={file}", "--output-style=JSON", "--inlines", "--no-demangle")
    offsets = chosen(text, options.seeds, options.count)
    truth = symbolize(command, [text.base + offset for offset in offsets])
    rows: list[list[object]] = []
    for dumper in dumpers:
        with tempfile.TemporaryDirectory() as folder:
            dump = run_dumper(dumper, file, Path(folder) / "out.sym")
            results = judge(offsets, truth, frames_of(dump.path, offsets), options.show)
            size = dump.path.stat().st_size
        right = results["same"] + results["nothing"]
        others = results.keys() - {"same", "nothing"}
        differences = ", ".join(f"{name} {results[name]}" for name in sorted(others))
        share = f"{right / len(offsets):.1%}"
        cost = (f"{dump.cpu_seconds:.1f}", f"{dump.peak_bytes / 1e6:.0f}", f"{size / 1e6:.1f}")
        rows.append([file.name, dumper.name, share, differences, *cost])
    return rows


def find_text(file: Path) -> Text:
    """Return the section with code of an ELF file."""
    sections = readelf("-SW", file)
    match = re.search(r"\] \.text +\S+ +(\S+) +\S+ +(\S+)", sections)
    if match is None:
        sys.exit(f"{file} has no .text section")
    loads = [int(load, 16) for load in re.findall(r"^ +LOAD +\S+ +(\S+)", readelf("-lW", file), re.MULTILINE)]
    return Text(next(iter(loads), 0), int(match[1], 16), int(match[2], 16))


def find_functions(file: Path, dumper: Dumper) -> Text:
    """Return the addresses from the first to the last function of a PDB file."""
    with tempfile.TemporaryDirectory() as folder:
        text = run_dumper(dumper, file, Path(folder) / "out.sym").path.read_text(errors="replace")
    functions = re.findall(r"^FUNC (?:m )?(\w+) (\w+)", text, re.MULTILINE)
    start = min(int(address, 16) for address, _ in functions)
    return Text(0, start, max(int(address, 16) + int(size, 16) for address, size in functions) - start)


def readelf(option: str, file: Path) -> str:
    return subprocess.run(("readelf", option, file), check=True, capture_output=True, text=True).stdout


def chosen(text: Text, seeds: Sequence[int], count: int) -> list[int]:
    """Return random module offsets in ascending order."""
    offsets: set[int] = set()
    for seed in seeds:
        addresses = range(text.start, text.start + text.size)
        sample = random.Random(seed).sample(addresses, min(count, text.size))
        offsets.update(address - text.base for address in sample)
    return sorted(offsets)


def symbolize(command: Sequence[str], addresses: Sequence[int]) -> list[Chain]:
    """Return the chain of each address, as the lines that a command writes in JSON give it."""
    lines = "\n".join(map(hex, addresses))
    output = subprocess.run(command, input=lines, check=True, capture_output=True, text=True).stdout
    answers = [json.loads(line)["Symbol"] for line in output.splitlines() if line]
    return [llvm_chain(answer) for answer in answers]


def llvm_chain(symbols: Sequence[dict[str, str]]) -> Chain:
    chain = [(int(symbol["Line"]), base_name(symbol["FileName"])) for symbol in symbols]
    return chain if any(symbol["FunctionName"] for symbol in symbols) else []


def run_dumper(dumper: Dumper, file: Path, output: Path) -> Dump:
    """Dump a file, in a process of its own that is measured."""
    with output.open("wb") as out:
        process = subprocess.Popen(
            (*dumper.command, file), stdout=out, stderr=subprocess.DEVNULL, env=dumper.environment
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{dumper.name} failed with status {status} for {file}")
    return Dump(output, usage.ru_utime + usage.ru_stime, peak_bytes(usage))


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Return the largest resident size; macOS gives it in bytes, Linux in kilobytes."""
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024


def frames_of(path: Path, offsets: Sequence[int]) -> list[Frame | None]:
    """Return the frames that Tecken gives for module offsets."""
    with path.open("rb") as text, tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as pages:
        writer = PageFileWriter(spool, pages)
        while not writer.complete and (chunk := text.read(CHUNK)):
            writer.feed(chunk)
        writer.finish_scan()
        return [frame for _, frame in writer.frames_at(offsets)]


def judge(
    offsets: Sequence[int], truth: Sequence[Chain], frames: Sequence[Frame | None], show: bool
) -> Counter[str]:
    """Return how many answers are the same, and how the others differ."""
    results: Counter[str] = Counter()
    for offset, expected, frame in zip(offsets, truth, frames, strict=True):
        chain = chain_of(frame)
        result = difference(expected, chain)
        results[result] += 1
        if show and result not in ("same", "nothing") and results[result] <= SHOWN:
            print(f"{result} at {offset:#x}\n  ours {chain}\n  llvm {expected}")
    return results


def chain_of(frame: Frame | None) -> Chain:
    if frame is None:
        return []
    calls = [(call.line, base_name(call.file)) for call in frame.inlines]
    return [*calls, (frame.line, base_name(frame.file))]


def difference(expected: Chain, chain: Chain) -> str:
    """Return how a chain differs, "same" or "nothing" when it does not."""
    if not chain or not expected:
        return "nothing" if chain == expected else "missing" if expected else "more"
    if chain == expected:
        return "same"
    if len(chain) != len(expected):
        return "length"
    return "line" if [line for line, _ in chain] != [line for line, _ in expected] else "file"


def base_name(path: str) -> str:
    return os.path.basename(path.replace("\\", "/"))


if __name__ == "__main__":
    main()
