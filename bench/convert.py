"""Converts a .sym file to pages and, with the symbolic library, to a SymCache: in fresh processes, in turns.

    python -m bench.convert FILE.sym [--runs 5] [--ways symbols pages] [--no-engine]

"pages" have the symbols and the STACK records, as page files have them. "symbols" have no STACK records, and
the text is not read beyond the symbols. With --no-engine both are made in Python. The symbolic library reads
what dump_syms writes, and not what tecken-dump writes.

Prints medians. "cpu" counts all threads; "peak" is the largest resident set of the process, which for
symbolic has its mapped input in it; "output" is what would be kept: header and pages, or the SymCache.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

from symbolic.debuginfo import Archive
from symbolic.symcache import SymCache

from tecken.symbols import engine
from tecken.symbols.pagefile.convert import PageFileWriter
from tecken.symbols.pagefile.cutter import WINDOW

COLUMNS = ("wall s", "cpu s", "peak MB", "output MB", "of .sym %")


def pages(path: Path, scratch: Path, out: BinaryIO, *, has_stack_records: bool = True) -> int:
    with ExitStack() as opened:
        text = opened.enter_context(path.open("rb", buffering=0))
        spool, cfi = (opened.enter_context(tempfile.TemporaryFile(dir=scratch)) for _ in range(2))
        converter = PageFileWriter(spool, out, cfi=cfi if has_stack_records else None)
        is_scanned = False
        while not converter.complete and (chunk := text.read(WINDOW)):
            converter.feed(chunk)
            # As a worker does: the rest is for the scanner of STACK records alone.
            if converter.has_all_symbols and not is_scanned:
                converter.finish_scan()
                is_scanned = True
        return len(converter.finish().raw)


def symcache(path: Path, _scratch: Path, out: BinaryIO) -> int:
    (symbols,) = Archive.open(str(path)).iter_objects()
    SymCache.from_object(symbols).dump_into(out)  # type: ignore[no-untyped-call]
    return 0


WAYS: dict[str, Callable[[Path, Path, BinaryIO], int]] = {
    "pages": pages,
    "symbols": partial(pages, has_stack_records=False),
    "symcache": symcache,
}


def measure(way: str, path: Path, scratch: Path) -> None:
    with tempfile.TemporaryFile(dir=scratch) as out:
        wall, cpu = time.perf_counter(), time.process_time()
        size = WAYS[way](path, scratch, out) + out.tell()
        took = (time.perf_counter() - wall, time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps((*took, peak, size / 1e6, 100 * size / path.stat().st_size)))


def fresh(way: str, args: argparse.Namespace) -> list[float]:
    command = [sys.executable, "-m", "bench.convert", str(args.file), "--scratch", str(args.scratch)]
    command += ["--way", way, *(["--no-engine"] if args.no_engine else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    return list(json.loads(done.stdout))


def table(rows: dict[str, list[float]]) -> str:
    lines = ["".join(name.rjust(12) for name in ("", *COLUMNS))]
    lines += [way.rjust(12) + "".join(f"{value:12.2f}" for value in row) for way, row in rows.items()]
    first, *_others, last = rows.values()
    ratios = [theirs / ours for ours, theirs in zip(first, last, strict=True)]
    return "\n".join([*lines, "last/first".rjust(12) + "".join(f"{ratio:11.2f}x" for ratio in ratios)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--scratch", type=Path, default=Path(tempfile.gettempdir()), help="for spool and output"
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="at least two")
    parser.add_argument("--no-engine", action="store_true", help="make the pages in Python")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.no_engine:
        engine.MODULE = None
    if args.way:
        measure(args.way, args.file, args.scratch)
        return
    runs = [{way: fresh(way, args) for way in args.ways} for _ in range(args.runs)]
    medians = {
        way: list(map(statistics.median, zip(*(run[way] for run in runs), strict=True))) for way in args.ways
    }
    print(f"{args.file.name}: {args.file.stat().st_size / 1e6:.1f} MB, medians of {args.runs} runs")
    print(table(medians))


if __name__ == "__main__":
    main()
