"""Compare our reports of minidumps with those of minidump-stackwalk, frame by frame.

    python -m bench.minidump_oracle                        the dumps in tests/data/minidumps
    python -m bench.minidump_oracle --symbols DIR X.dmp ...  any other dumps, such as rust-minidump's
    python -m bench.minidump_oracle --record               write expected.json.zst, which the tests compare

DIR has symbol files as <debug file>/<DEBUG ID>/<name>.sym. Prints the dumps with differences, the number of
frames that are equal, and what differs. The exit status is 1 if a dump differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import zstandard

from tests.oracle import minidumps
from tests.oracle.minidumps import UnwoundModule, comparable, differences


def main() -> int:
    """Compare the dumps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dumps", type=Path, nargs="*", metavar="X.dmp")
    parser.add_argument("--symbols", type=Path, default=minidumps.DATA / "symbols", metavar="DIR")
    parser.add_argument("--record", action="store_true", help="write the expected reports of the tests")
    options = parser.parse_args()
    program = minidumps.find_stackwalk()
    if not program:
        parser.error("install it first: cargo install minidump-stackwalk --version 0.27.0 --locked")
    if options.record:
        record(program)
        return 0
    symbols = minidumps.read_symbols(options.symbols)
    return compare(program, list(contents(options.dumps)), symbols)


def contents(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of dumps, by default those of the tests."""
    if not paths:
        for name in minidumps.DUMPS:
            yield name, minidumps.read_dump(name)
    for path in paths:
        yield path.name, minidumps.unpack(path) if path.suffix == ".zst" else path.read_bytes()


def compare(program: str, dumps: list[tuple[str, bytes]], symbols: minidumps.SymbolFiles) -> int:
    """Print the differences of all dumps."""
    modules = {key: UnwoundModule(sym) for key, sym in symbols.items()}
    different = frames = 0
    for name, content in dumps:
        with TemporaryDirectory() as folder:
            minidumps.write_symbols(symbols, Path(folder))
            theirs = minidumps.run_stackwalk(program, content, Path(folder))
        ours = minidumps.report_of(content, modules)
        found = list(differences(orjson.loads(orjson.dumps(comparable(ours))), comparable(theirs)))
        frames += sum(len(thread["frames"]) for thread in theirs["threads"])
        different += bool(found)
        print(f"{name}: {len(found)} differences" if found else f"{name}: equal")
        for line in found[:20]:
            print(f"    {line}")
    print(f"{len(dumps)} dumps with {frames} frames, {different} of them different")
    return int(different > 0)


def record(program: str) -> None:
    """Write the expected reports."""
    symbols = minidumps.read_symbols()
    reports = {}
    for name in minidumps.DUMPS:
        with TemporaryDirectory() as folder:
            minidumps.write_symbols(symbols, Path(folder))
            theirs = minidumps.run_stackwalk(program, minidumps.read_dump(name), Path(folder))
        reports[name] = comparable(theirs)
    packed = zstandard.ZstdCompressor(level=19).compress(orjson.dumps(reports, option=orjson.OPT_SORT_KEYS))
    minidumps.EXPECTED.write_bytes(packed)
    print(f"{len(reports)} reports, {len(packed)} bytes")


if __name__ == "__main__":
    sys.exit(main())
