"""Processor time of two backups, a check and a restore: `python -m bench.backup`.

A site with small symbol files and large native content in a directory is backed up to another directory, each
command in a process of its own. The figures are in docs/backup.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.rig import ROOT, redis_pair

SMALL_BYTES, LARGE_BYTES = 20_000, 64 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="small files (%(default)s of 20 kB)")
    parser.add_argument("--large", type=int, default=16, help="large files (%(default)s of 64 MiB)")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="bench-backup-") as home, redis_pair() as servers:
        place, storage = f"{home}/backups", Path(home) / "storage"
        environment = {
            **servers,
            "STORAGE_URL": storage.as_uri(),
            "DATABASE_URL": f"sqlite:///{home}/a.sqlite3",
        }
        run(environment, "migrate", "--verbosity", "0")
        fill(storage, options.files, options.large)
        files = options.files + options.large
        total = options.files * SMALL_BYTES + options.large * LARGE_BYTES
        empty = measure(environment, "check")
        print(f"{files:,} files of {total / 1e9:.2f} GB; an empty command takes {empty:.1f} s")
        for name, command in {
            "first backup": ["backup", place],
            "second backup, nothing new": ["backup", place],
            "check of all hashes": ["backup", "--verify", place],
        }.items():
            report(name, measure(environment, *command) - empty, files, total)
        # The servers are the same, so what the backup has replaces what they have.
        new = {
            **environment,
            "STORAGE_URL": f"file://{home}/new",
            "DATABASE_URL": f"sqlite:///{home}/b.sqlite3",
        }
        report(
            "restore",
            measure(new, "restore", place, "--replace") - empty,
            options.files + options.large,
            total,
        )


def fill(storage: Path, files: int, large: int) -> None:
    for number in range(files):
        path = storage / "v1" / f"lib{number}.so" / f"{number:032X}0" / f"lib{number}.so.sym"
        path.parent.mkdir(parents=True)
        path.write_bytes(os.urandom(SMALL_BYTES))
    for number in range(large):
        digest = f"{number:064x}"
        path = storage / "blob" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1 << 20) * (LARGE_BYTES >> 20))


def run(environment: Mapping[str, str], *command: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def measure(environment: Mapping[str, str], *command: str) -> float:
    """Return the seconds of processor time of a command: other programs may use the machine, too."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(environment, *command)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def report(name: str, seconds: float, files: int, size: int) -> None:
    rate = f"{files / seconds:,.0f} files a second, {size / seconds / 1e6:,.0f} MB/s"
    print(f"{name}: {seconds:.1f} s of CPU, {rate}, {seconds / (size / 1e9):.1f} s per GB", flush=True)


if __name__ == "__main__":
    main()
