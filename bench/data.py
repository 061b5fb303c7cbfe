"""Fetch real modules and dump their symbols into bench/data, for the other scripts here.

C++ (ceph-osd, over 150 MB of symbols, libjvm, and the small libstdc++), C (libpython) and Rust (dump_syms
itself). Needs a Debian machine with readelf and cargo, 6 GB of disk and ten minutes. Packages are unpacked,
nothing is installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

DUMP_SYMS = "2.3.9"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Module(NamedTuple):
    suite: str
    packages: tuple[str, ...]
    path: str  # of the program, a glob


MODULES = (
    Module("sid", ("ceph-osd", "ceph-osd-dbg"), "usr/bin/ceph-osd"),  # older suites have less than 150 MB
    Module("bookworm", ("openjdk-17-jre-headless", "openjdk-17-dbg"), "usr/lib/jvm/*/lib/server/libjvm.so"),
    Module("bookworm", ("libpython3.11-dbg",), "usr/lib/*/libpython3.11d.so.1.0"),
    Module("bookworm", ("libstdc++6-12-dbg",), "usr/lib/*/debug/libstdc++.so.6.0.*[0-9]"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dumper = dump_syms(work)
        for module in MODULES:
            dump(dumper, unpacked(module, work / module.packages[0]), options.data)
        dump(dumper, [dumper], options.data)


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    return subprocess.run(command, cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def dump_syms(work: Path) -> Path:
    """Return the path of dump_syms, built with its debug data, because it is the Rust module, too."""
    profile = {"CARGO_PROFILE_RELEASE_DEBUG": "2", "CARGO_PROFILE_RELEASE_STRIP": "none"}
    version = ["--version", DUMP_SYMS, "--locked"]
    run("cargo", "install", "dump_syms", *version, "--root", work, env={**os.environ, **profile})
    return work / "bin" / "dump_syms"


class Apt:
    """apt-get on lists of its own, from the mirror that this machine uses."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        uris = run("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
        mirror = next(uri for uri in uris if uri.rstrip("/").endswith("/debian"))
        (folder / "list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
        self("update")

    def __call__(self, *arguments: str) -> None:
        places = {
            "Dir::Etc::SourceList": self.folder / "list",
            "Dir::Etc::SourceParts": "-",
            "Dir::State::Lists": self.folder / "lists",
            "Dir::Cache": self.folder / "cache",
            "APT::Sandbox::User": "root",
        }
        options = [part for name, value in places.items() for part in ("-o", f"{name}={value}")]
        run("apt-get", "--quiet", *options, *arguments, cwd=self.folder)


def unpacked(module: Module, root: Path) -> list[Path]:
    """Return the program, which has the unwind tables, and its debug file where that is separate."""
    apt = Apt(root / "apt", module.suite)
    apt("download", *module.packages)
    for package in apt.folder.glob("*.deb"):
        run("dpkg-deb", "-x", package, root)
    program = next(root.glob(module.path))
    build_id = next(
        line.split()[-1] for line in run("readelf", "-n", program).splitlines() if "Build ID" in line
    )
    debug = root / "usr/lib/debug/.build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    return (
        [program, debug.rename(program.with_name(f"{program.name}.debug"))] if debug.exists() else [program]
    )


def dump(dumper: Path, files: list[Path], data: Path) -> None:
    run(dumper, "--inlines", "--store", data, *files)
    for path in (data / files[0].name).rglob("*.sym"):
        print(f"{path.stat().st_size / 1e6:7.1f} MB  {path.relative_to(data)}")


if __name__ == "__main__":
    main()
