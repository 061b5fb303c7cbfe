"""Mutation testing of one package or module: `make mutants ARGS="tecken/limits"`.

Cosmic Ray makes one small fault at a time in a copy of the checkout, and the package's tests run against
it. A fault that no test notices is a survivor: either a test is missing or the fault changes nothing. The
latter are listed with a reason in tests/equivalent_mutants.toml and do not count.

All faults would take hours, so that each run takes a sample, the same for the same code and seed. What to
sample and which tests belong to which package is in pyproject.toml, [tool.mutants].
"""

from __future__ import annotations

import argparse
import ast
import compileall
import difflib
import fcntl
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any, NamedTuple

import orjson
import pytest
from cosmic_ray.commands import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import use_db

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.toml"
CACHE = ROOT / ".cache" / "mutants"
COPY = CACHE / "tree"
OUTPUT = CACHE / "pytest.log"
PYTEST = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of packages that are imported already
NOT_PRELOADED = re.compile(r"(tecken|tests|conftest|__main__|_?pytest|xdist)\b|.*(pytest|django|ninja|axes)")
BASELINE_DEADLINE = 1200.0  # seconds
TIMED_OUT = -1

Position = tuple[int, int]


class Mutant(NamedTuple):
    """A fault: its place, the kind of fault, and the module's text with it."""

    module: str
    begin: Position
    kind: str
    old: str
    new: str
    text: str

    @property
    def change(self) -> str:
        """Return an id that stays the same when lines move, and for equal lines of one module."""
        return f"{self.module}: {self.old} -> {self.new}"

    def __str__(self) -> str:
        return f"{self.module}:{self.begin[0]}\n    - {self.old}\n    + {self.new}"


def main() -> int:
    arguments = parse_arguments()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        return run_sample(arguments)


def run_sample(arguments: argparse.Namespace) -> int:
    copy_checkout()
    os.chdir(COPY)
    results_path = CACHE / f"{arguments.target.replace('/', '.')}.json"
    results = orjson.loads(results_path.read_bytes()) if arguments.again else {}
    chosen = sample(mutants_of(arguments.target), arguments.size, arguments.seed)
    listed = equivalent()
    counted = [mutant for mutant in chosen if mutant.change not in listed]
    tests = CONFIG["tests"][arguments.target]
    preload(tests)
    deadline = measured_deadline(tests)
    for number, mutant in enumerate(counted, 1):
        if results.get(str(mutant)) == "killed":
            continue
        began = monotonic()
        outcome = results[str(mutant)] = outcome_of(mutant, tests, deadline)
        print(f"{number}/{len(counted)} {outcome} in {monotonic() - began:.1f} s: {mutant}", flush=True)
        results_path.write_bytes(orjson.dumps(results))
    return summary(arguments.target, counted, results, len(chosen) - len(counted))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=CONFIG["tests"], help="package or module")
    parser.add_argument("--size", type=int, default=CONFIG["sample"], help="mutants to run (%(default)s)")
    parser.add_argument("--seed", type=int, default=CONFIG["seed"])
    parser.add_argument("--again", action="store_true", help="leave out those killed the last time")
    return parser.parse_args()


def copy_checkout() -> None:
    """Copy what git knows, with uncommitted changes: faults are never made in the checkout itself."""
    shutil.rmtree(COPY, ignore_errors=True)
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name)
    # Runs write no byte code, so that a fault never outlives its run; this saves them the time.
    compileall.compile_dir(COPY, quiet=1)


def mutants_of(target: str) -> Iterator[Mutant]:
    """Yield all mutants of the allowed operators, without those of annotations."""
    allowed = re.compile("|".join(CONFIG["operators"]))
    session = CACHE / "session.sqlite"
    session.unlink(missing_ok=True)
    with use_db(str(session)) as database:
        # Migrations are history: they are compared with the models, which have faults of their own.
        modules = [path for path in find_modules([Path(target)]) if "migrations" not in path.parts]
        init(sorted(modules), database, {})
        faults = [item.mutations[0] for item in database.work_items]
    texts = {path: path.read_text() for path in {fault.module_path for fault in faults}}
    inert = {path: list(annotated(text)) for path, text in texts.items()}
    for fault in faults:
        path, begin = fault.module_path, (fault.start_pos[0], fault.start_pos[1])
        if allowed.fullmatch(fault.operator_name) and not any(a <= begin < b for a, b in inert[path]):
            try:
                text = mutate_code(texts[path], get_operator(fault.operator_name)(), fault.occurrence)
            except AttributeError:
                # Cosmic Ray's ExceptionReplacer knows names alone, and not `except redis.RedisError`.
                continue
            kind = fault.operator_name.split("_")[0]
            yield Mutant(str(path), begin, kind, *changed_lines(texts[path], text), text)


def annotated(text: str) -> Iterator[tuple[Position, Position]]:
    """Yield where annotations begin and end: they are never evaluated, so that a fault there is none."""
    for node in ast.walk(ast.parse(text)):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if isinstance(part, ast.expr):
                yield (part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0)


def changed_lines(old: str, new: str) -> tuple[str, str]:
    lines = list(difflib.ndiff(old.splitlines(), new.splitlines()))
    removed, added = (
        " ".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in ("- ", "+ ")
    )
    return removed, added


def sample(mutants: Iterable[Mutant], size: int, seed: int) -> list[Mutant]:
    """Return a seeded choice, at most one mutant for each kind of fault and place.

    Without that rule one `==`, which Cosmic Ray replaces in seven ways, would count as much as seven numbers.
    """
    places: dict[tuple[str, Position, str], list[Mutant]] = {}
    for mutant in mutants:
        places.setdefault((mutant.module, mutant.begin, mutant.kind), []).append(mutant)
    random = Random(seed)
    chosen = [random.choice(sorted(places[place])) for place in sorted(places)]
    random.shuffle(chosen)
    return chosen[:size]


def equivalent() -> set[str]:
    """Return the reviewed changes that have no effect."""
    entries = tomllib.loads(EQUIVALENT.read_text()).get("mutant", [])
    return {f"{entry['module']}: {entry['old']} -> {entry['new']}" for entry in entries}


def preload(tests: list[str]) -> None:
    """Import the packages that the tests need, which takes longer than most tests: each run is then a fork.

    None of our own modules may be among them, nor any that needs Django's settings or pytest's plugins.
    """
    script = f"import sys, pytest; pytest.main({['--collect-only', *PYTEST, *tests]!r}); print(*sys.modules)"
    listed = subprocess.check_output([sys.executable, "-c", script], text=True).splitlines()[-1].split()
    for name in listed:
        if not NOT_PRELOADED.match(name):
            with suppress(Exception):
                importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in ("tecken", "tests")]:
        del sys.modules[name]
    sys.path[:] = [str(COPY) if path in ("", str(ROOT)) else path for path in sys.path]


def measured_deadline(tests: list[str]) -> float:
    """Return the seconds after which a run counts as killed; without a fault all tests must pass."""
    began = monotonic()
    if run_tests(tests, BASELINE_DEADLINE) != 0:
        sys.exit(f"The tests fail without any mutant:\n{OUTPUT.read_text()}")
    seconds = monotonic() - began
    print(f"The tests take {seconds:.1f} s", flush=True)
    return float(CONFIG["patience"]) * seconds + 30


def outcome_of(mutant: Mutant, tests: list[str], deadline: float) -> str:
    path = Path(mutant.module)
    before = path.read_text()
    path.write_text(mutant.text)
    try:
        return "killed" if run_tests([*nearest(path), *tests], deadline) else "SURVIVED"
    finally:
        path.write_text(before)


def nearest(module: Path) -> list[str]:
    """Return the test file named like the module, which should run first."""
    test = Path("tests", *module.parts[1:-1], f"test_{module.name}")
    return [str(test)] if test.exists() else []


def run_tests(tests: list[str], deadline: float) -> int:
    """Return the exit status of pytest in a fork of this process, which has everything imported."""
    child = os.fork()
    if child == 0:
        os.setsid()
        sys.dont_write_bytecode = True
        output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = os.EX_SOFTWARE  # if pytest itself breaks
        try:
            status = int(pytest.main([*PYTEST, *tests]))
        except BaseException:  # noqa: BLE001 - the parent is in another process
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    try:
        return wait_for(child, monotonic() + deadline)
    except BaseException:  # Ctrl-C: the child is in a session of its own
        os.killpg(child, signal.SIGKILL)
        raise


def wait_for(child: int, end: float) -> int:
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return TIMED_OUT
        sleep(0.02)
    return os.waitstatus_to_exitcode(ended[1])


def summary(target: str, counted: list[Mutant], results: dict[str, str], equivalents: int) -> int:
    survivors = [mutant for mutant in counted if results[str(mutant)] != "killed"]
    killed = len(counted) - len(survivors)
    share = 100 * killed / len(counted)
    print(f"\n{target}: {killed} of {len(counted)} mutants killed ({share:.1f} %)", end="")
    print(f", {equivalents} equivalent ones not counted")
    print(*survivors, sep="\n")
    return int(share < CONFIG["goal"])


if __name__ == "__main__":
    sys.exit(main())
