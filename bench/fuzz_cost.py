"""Search for symbol files and requests that cost much CPU time, memory or bytes of answer.

    python -m bench.fuzz_cost --seconds 3600 --seed 1 --out /tmp/fuzz

Symbol files are built by generators of costly shapes and by mutation of the samples in tests/data and of the
costliest files found so far. Each is converted and asked for in a child process with limits on CPU time and
address space. `worst.json` in the directory has the costliest cases; their symbol files and requests lie
beside it. A child that ends by its limits, or with an error that is not one of ours, is a finding by itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from tecken.errors import TeckenError
from tecken.symbolication.api.answer import V4, V5, ApiVersion
from tecken.symbolication.api.schema import RequestLimits, v4_job, v5_jobs
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbolication.memory_cache import FrameCache
from tecken.symbolication.service import Parts, symbolicate
from tecken.symbols.ids import ObjectId
from tests.symbolication.memory import MemoryConversionQueue, MemoryModules, PageFile

SAMPLES = sorted((Path(__file__).parent.parent / "tests" / "data").glob("samples*/*/*/*.sym"))
KEY = ObjectId("fuzz.so", "000000000000000000000000000000AA0")
HEAD = f"MODULE Linux x86_64 {KEY.debug_id} {KEY.debug_file}\n".encode()
MIB = 1 << 20
TEXT_BYTES = 8 * MIB
ANSWER_BYTES = 64 * MIB
DEADLINE_SECONDS = 15.0
CPU_SECONDS = 90
MEMORY_BYTES = 3 << 30
KEPT = 8


@dataclass
class Case:
    """A symbol file, a request for it, and what they cost.

    CPU is in milliseconds. `convert` is per KB of symbol file; `lookup` and `answer` are per byte of request,
    `lookup` in milliseconds per KB of it. `outcome` is "answered", "refused", or what went wrong.
    """

    name: str
    text: bytes = field(repr=False)
    request: bytes = field(repr=False)
    outcome: str = ""
    convert_ms: float = 0.0
    lookup_ms: float = 0.0
    answer_bytes: int = 0
    peak_mb: int = 0

    @property
    def scores(self) -> dict[str, float]:
        return {
            "convert ms per KB": self.convert_ms / max(1.0, len(self.text) / 1024),
            "lookup ms": self.lookup_ms,
            "lookup ms per KB": self.lookup_ms / max(1.0, len(self.request) / 1024),
            "answer bytes per byte": self.answer_bytes / max(256, len(self.request)),
            "peak MB": float(self.peak_mb),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz-cost"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    search = Search(random.Random(options.seed))
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        search.step()
        if search.runs % 50 == 0:
            search.write(options.out)
    search.write(options.out)
    print(search.report())


class Search:
    """The costliest cases so far, by score; new ones are made of them and of the generators."""

    def __init__(self, chance: random.Random) -> None:
        self.runs = 0
        self.failures: list[Case] = []
        self._chance = chance
        self._worst: dict[str, list[Case]] = {}
        self._generators = iter(list(GENERATORS))

    def step(self) -> None:
        case = self._next()
        measure(case)
        self.runs += 1
        if case.outcome not in ("answered", "refused"):
            self.failures.append(case)
        for score in case.scores:
            ranked = self._worst.setdefault(score, [])
            ranked.append(case)
            ranked.sort(key=lambda each: -each.scores[score])
            del ranked[KEPT:]

    def write(self, out: Path) -> None:
        rows = []
        for score, cases in self._worst.items():
            rows += [{"by": score, **self._saved(case, out)} for case in cases]
        rows += [{"by": "failure", **self._saved(case, out)} for case in self.failures[:50]]
        (out / "worst.json").write_text(json.dumps({"runs": self.runs, "cases": rows}, indent=1))

    def report(self) -> str:
        lines = [f"{self.runs} runs, {len(self.failures)} failures"]
        for score, cases in self._worst.items():
            lines += [f"{score:>22}: {case.scores[score]:12.2f}  {case.name}" for case in cases[:3]]
        return "\n".join(lines)

    def _saved(self, case: Case, out: Path) -> dict[str, object]:
        name = hashlib.sha256(case.text + case.request).hexdigest()[:16]
        (out / f"{name}.sym").write_bytes(case.text)
        (out / f"{name}.json").write_bytes(case.request)
        values = {key: value for key, value in asdict(case).items() if key not in ("text", "request")}
        return {"file": name, "text_bytes": len(case.text), "request_bytes": len(case.request), **values}

    def _next(self) -> Case:
        generator = next(self._generators, None)
        if generator:
            text = GENERATORS[generator](self._chance)
            return Case(generator, text, request_for(text, self._chance))
        found = [case for cases in self._worst.values() for case in cases]
        origin = self._chance.random()
        if origin < 0.3:
            name = self._chance.choice(list(GENERATORS))
            text = GENERATORS[name](self._chance)
        elif origin < 0.5:
            path = self._chance.choice(SAMPLES)
            name, text = path.name, rewritten(path.read_bytes())
        else:
            parent = self._chance.choice(found)
            name, text = parent.name, parent.text
        text = mutated(text, self._chance)
        return Case(f"{name}+"[:120], text, request_for(text, self._chance))


def measure(case: Case) -> None:
    """Fill in what a case costs, in a child process."""
    with TemporaryFile() as report:
        child = os.fork()
        if child == 0:
            os._exit(_child(case, report.fileno()))
        _, status, usage = os.wait4(child, 0)
        report.seek(0)
        result = json.loads(report.read() or b"{}")
    case.peak_mb = usage.ru_maxrss // 1024 - result.get("base_mb", 0)
    case.outcome = result.get("outcome") or f"ended by status {status}"
    case.convert_ms = result.get("convert_ms", 0.0) or 1000 * usage.ru_utime
    case.lookup_ms = result.get("lookup_ms", 0.0)
    case.answer_bytes = result.get("answer_bytes", 0)


def _child(case: Case, report: int) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    result: dict[str, object] = {"base_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    try:
        _run(case, result)
        result["outcome"] = "answered"
    except TeckenError:
        result["outcome"] = "refused"
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        result["outcome"] = traceback.format_exc(limit=-4)[-800:]
    os.write(report, json.dumps(result).encode())
    return 0


def _run(case: Case, result: dict[str, object]) -> None:
    start = time.process_time()
    try:
        with Conversion(lambda: 256 * MIB).of([case.text]) as made:
            file = PageFile(made.header, b"".join(made.chunks()))
    finally:
        result["convert_ms"] = 1000 * (time.process_time() - start)
    modules = MemoryModules({KEY: file})
    parts = Parts(
        modules,
        MemoryConversionQueue(modules),
        FrameCache(64 * MIB),
        DEADLINE_SECONDS,
        max_answer_bytes=ANSWER_BYTES,
    )
    start = time.process_time()
    try:
        limits = RequestLimits(10, 20_000)
        is_v4 = b'"version"' in case.request
        jobs = [v4_job(case.request, limits)] if is_v4 else v5_jobs(case.request, limits)
        version: ApiVersion = V4() if is_v4 else V5()
        result["answer_bytes"] = len(symbolicate(parts, version, jobs, debug=True))
    finally:
        result["lookup_ms"] = 1000 * (time.process_time() - start)


# Requests


def request_for(text: bytes, chance: random.Random) -> bytes:
    """Return a request for offsets near the records of a file: a few, or as many as a request may have."""
    addresses = [0x1000]
    for line in chance.sample(text.splitlines()[:20_000] or [b""], 1):
        addresses += _addresses(line)
    tail = text[chance.randrange(max(1, len(text))) :][:4000]
    addresses += [address for line in tail.splitlines() for address in _addresses(line)]
    start = chance.choice(addresses)
    count = chance.choice((1, 40, 1000, 20_000))
    step = chance.choice((0, 1, 2, 16, 4096))
    if chance.random() < 0.3:
        offsets = [chance.choice(addresses) + chance.randrange(-1, 40) for _ in range(count)]
    else:
        offsets = [start + step * i for i in range(count)]
    frames = [[0, offset] for offset in offsets]
    name = "x" * chance.choice((0, 0, 0, 100_000))
    body: dict[str, object] = {"memoryMap": [list(KEY), [name, KEY.debug_id]], "stacks": [frames]}
    if chance.random() < 0.2:
        body["version"] = 4
    return json.dumps(body, separators=(",", ":")).encode()


def _addresses(line: bytes) -> Iterator[int]:
    for word in line.split()[:40]:
        try:
            number = int(word, 16)
        except ValueError:
            continue
        if number < 1 << 32:
            yield number


# Symbol files


def rewritten(text: bytes) -> bytes:
    """Return a sample under the key that requests use."""
    return HEAD + text.partition(b"\n")[2].partition(b"\nSTACK ")[0] + b"\n"


def mutated(text: bytes, chance: random.Random) -> bytes:
    """Return the text with one to six changed lines; the MODULE record stays."""
    lines = text.removeprefix(HEAD).split(b"\n")
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines))
        change = chance.choice(MUTATIONS)
        # A change may take the only line away.
        lines[at : at + 1] = change(lines, at, chance)
        lines = lines or [b""]
    return (HEAD + b"\n".join(lines))[:TEXT_BYTES]


Lines = Sequence[bytes]


def _fitting(text: bytes, count: int) -> int:
    """Return as many copies of a text as a file may have, at most `count`."""
    return min(count, TEXT_BYTES // (len(text) + 1) + 1)


def _repeat(lines: Lines, at: int, chance: random.Random) -> Lines:
    return [lines[at]] * _fitting(lines[at], chance.choice((2, 100, 10_000, 100_000)))


def _count_up(lines: Lines, at: int, chance: random.Random) -> Lines:
    """Repeat the line, with one of its numbers growing or falling."""
    fields = lines[at].split()
    numbers = [i for i, each in enumerate(fields) if _is_hex(each)]
    if not numbers:
        return [lines[at]]
    place, step = chance.choice(numbers), chance.choice((-1, 1, 2, 16))
    first = int(fields[place], 16)
    form = b"%d" if fields[0].startswith(b"INLINE") and place == 1 else b"%x"
    count = _fitting(lines[at], chance.choice((100, 5000, 60_000)))
    return [
        b" ".join([*fields[:place], form % max(0, first + step * i), *fields[place + 1 :]])
        for i in range(count)
    ]


def _widen(lines: Lines, at: int, chance: random.Random) -> Lines:
    """Repeat one word of the line many times, or make it long."""
    fields = lines[at].split() or [b"x"]
    place = chance.randrange(len(fields))
    if chance.random() < 0.5:
        fields[place] = fields[place] * _fitting(fields[place], chance.choice((2, 50, 100_000)))
    else:
        fields[place:place] = [fields[place]] * _fitting(fields[place], chance.choice((2, 50, 200_000)))
    return [b" ".join(fields)]


def _splice(lines: Lines, at: int, chance: random.Random) -> Lines:
    start = chance.randrange(len(lines))
    return [lines[at], *lines[start : start + chance.choice((1, 20, 2000))]]


def _number(lines: Lines, at: int, chance: random.Random) -> Lines:
    fields = lines[at].split() or [b""]
    values = (b"0", b"1", b"ffffffff", b"100000000", b"-1", b"9" * 30, b"0x10", b"1_0", b"\\", b'"', b"\x01")
    fields[chance.randrange(len(fields))] = chance.choice(values)
    return [b" ".join(fields)]


def _cut(_lines: Lines, _at: int, _chance: random.Random) -> Lines:
    return []


def _is_hex(word: bytes) -> bool:
    return 0 < len(word) <= 8 and not word.strip(b"0123456789abcdefABCDEF")


MUTATIONS: Sequence[Callable[[Lines, int, random.Random], Lines]] = (
    _repeat,
    _count_up,
    _widen,
    _splice,
    _number,
    _cut,
)


def _body(*parts: bytes) -> bytes:
    return (HEAD + b"".join(parts))[:TEXT_BYTES]


def _lines_backwards(chance: random.Random) -> bytes:
    count = chance.choice((1000, 80_000, 200_000))
    records = (b"%x 1 1 1\n" % (0x1000 + 2 * (count - i)) for i in range(count))
    return _body(b"FUNC 1000 1000000 0 f\n", *records)


def _lines_overlapping(chance: random.Random) -> bytes:
    count = chance.choice((1000, 60_000))
    records = (b"%x %x 1 1\n" % (0x1000 + i, 2 * count - 2 * i) for i in range(count))
    return _body(b"FUNC 1000 1000000 0 f\n", *records, b"PUBLIC 1001 0 p\n")


def _calls_at_one_depth(chance: random.Random) -> bytes:
    count = chance.choice((1000, 40_000))
    records = (b"INLINE 0 1 1 1 %x %x\n" % (0x1000 + i, count) for i in range(count))
    return _body(b"FUNC 1000 100000 0 f\n", *records, b"1000 100000 1 1\n")


def _calls_deep(chance: random.Random) -> bytes:
    depth, width = chance.choice((200, 255)), chance.choice((1, 100))
    names = (b"INLINE_ORIGIN %d %s\n" % (i, b"n" * chance.choice((1, 8000))) for i in range(depth))
    records = (b"INLINE %d 1 1 %d 1000 100000\n" % (i, i) for i in range(depth) for _ in range(width))
    return _body(*names, b"FUNC 1000 100000 0 f\n", *records, b"1000 100000 1 1\n")


def _call_of_many_ranges(chance: random.Random) -> bytes:
    ranges = b"".join(b" %x 1" % (0x1000 + 2 * i) for i in range(chance.choice((1000, 120_000))))
    return _body(b"FUNC 1000 10000000 0 f\n", b"INLINE 0 1 1 1", ranges, b"\n", b"1000 10000000 1 1\n")


def _functions_at_one_address(chance: random.Random) -> bytes:
    line = chance.choice((b"", b"1000 0 1 1\n", b"1000 1 1 1\n" * 2000))
    return _body(*(b"FUNC 1000 %x 0 f\n%b" % (i + 1, line) for i in range(chance.choice((300, 30_000)))))


def _functions_overlapping(chance: random.Random) -> bytes:
    return _body(*(b"FUNC %x ffffff 0 f\n" % (i * 4) for i in range(chance.choice((1000, 300_000)))))


def _publics_in_a_function(chance: random.Random) -> bytes:
    count = chance.choice((1000, 100_000))
    return _body(b"FUNC 1000 ffffff 0 f\n", *(b"PUBLIC %x 0 p\n" % (0x1001 + i) for i in range(count)))


def _publics_alone(chance: random.Random) -> bytes:
    return _body(*(b"PUBLIC %x 0 p\n" % (16 * i) for i in range(chance.choice((1000, 300_000)))))


def _boundaries(chance: random.Random) -> bytes:
    count = chance.choice((1000, 40_000))
    calls = (b"INLINE %d 1 1 1 %x 1\n" % (i % 7, 0x1000 + 2 * i) for i in range(count))
    lines = (b"%x 1 1 1\n" % (0x1000 + 3 * i) for i in range(count))
    return _body(b"FUNC 1000 1000000 0 f\n", *calls, *lines, b"PUBLIC 1001 0 p\n")


def _run_of_lines(chance: random.Random) -> bytes:
    run = b"1000" + b" 1 1 1" * chance.choice((100, 80_000))
    return _body(b"FUNC 1000 1000000 0 f\n", run, b"\n")


def _long_names(chance: random.Random) -> bytes:
    letter = chance.choice((b"n", b"\x01", "é".encode(), b"\xff", b'"'))
    name = letter * chance.choice((100, 8000, 1_000_000))
    return _body(b"FILE 1 ", name, b"\nFUNC 1000 100000 0 ", name, b"\n1000 100000 1 1\n")


def _paths(chance: random.Random) -> bytes:
    path = chance.choice((b"a/../", b"a/", b"../", b"./", b"\\a\\..")) * chance.choice((10, 1500))
    count = chance.choice((10, 900))
    names = (b"FILE %d %b\n" % (i, path) for i in range(count))
    lines = (b"%x 1 1 %d\n" % (0x1000 + i, i % count) for i in range(20_000))
    return _body(*names, b"FUNC 1000 100000 0 f\n", *lines)


def _names_backwards(chance: random.Random) -> bytes:
    count = chance.choice((1000, 400_000))
    names = (b"FILE %d a\n" % (count - i) for i in range(count))
    return _body(*names, b"FUNC 1000 10 0 f\n1000 10 1 1\n")


def _many_modules_of_text(chance: random.Random) -> bytes:
    size = chance.choice((16_000, 260_000, 1_000_000))
    block = b"".join(b"%x 1 1 1\n" % (2 * i) for i in range(size // 12))
    return _body(*(b"FUNC %x 1000 0 f%d\n%b" % (0x1000 * i, i, block) for i in range(TEXT_BYTES // size)))


GENERATORS: dict[str, Callable[[random.Random], bytes]] = {
    make.__name__.strip("_"): make
    for make in (
        _lines_backwards,
        _lines_overlapping,
        _calls_at_one_depth,
        _calls_deep,
        _call_of_many_ranges,
        _functions_at_one_address,
        _functions_overlapping,
        _publics_in_a_function,
        _publics_alone,
        _boundaries,
        _run_of_lines,
        _long_names,
        _paths,
        _names_backwards,
        _many_modules_of_text,
    )
}


if __name__ == "__main__":
    main()
