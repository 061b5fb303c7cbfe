"""elfutils' own scripts for its debuginfod server, run against a site.

`python -m tests.system.elfutils_scripts TREE` takes a source tree of elfutils. Where it has been built, its
clients run, otherwise those of the system. The scripts run unmodified: the program `debuginfod` that they
start is `tests.system.elfutils_shim`. They need gcc, curl, ss, jq, rpm2cpio, cpio, bzip2, bsdtar, elfutils
and the headers of libdw.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.system.site import ROOT

# These need nothing from the server but the protocol. docs/protocols.md has the reasons for the others.
APPLICABLE: Final = (
    "artifact-running",
    "dlopen",
    "duplicate-urls",
    "malformed",
    "negative-cache",
    "percent-escape",
    "section",
    "tmp-home",
    "webapi-concurrency",
    "writable",
)
LIBRARIES: Final = ("libelf", "libdw", "libasm", "debuginfod")
ENDS_WITHIN: Final = 300.0
LINES_OF_A_FAILURE: Final = 30
SKIPPED: Final = 77
SHIM: Final = """\
#!/bin/sh
PYTHONPATH={root} exec {python} -m tests.system.elfutils_shim "$@"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("scripts", nargs="*", default=APPLICABLE, help="names without run-debuginfod-")
    options = parser.parse_args()
    results = run_scripts(options.tree.resolve(), options.scripts)
    for name, result in results.items():
        print(f"{name}: {result}")
    sys.exit(any(result.startswith("failed") for result in results.values()))


def run_scripts(tree: Path, names: tuple[str, ...] = APPLICABLE) -> dict[str, str]:
    """Return the result of each script: "passed", "skipped", "absent", or "failed" and its last lines."""
    with tempfile.TemporaryDirectory(prefix="elfutils-") as home:
        environment = prepare(tree, Path(home))
        return {name: run_script(tree, name, Path(home), environment) for name in names}


def run_script(tree: Path, name: str, home: Path, environment: dict[str, str]) -> str:
    script = tree / "tests" / f"run-debuginfod-{name}.sh"
    if not script.exists():
        return "absent"
    running = subprocess.Popen(
        ("bash", str(script)),
        cwd=home / "tests",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = running.communicate(timeout=ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        # The script and the program in place of `debuginfod`, which ends its site.
        os.killpg(running.pid, signal.SIGTERM)
        output, _ = running.communicate(timeout=ENDS_WITHIN)
        output += f"The script did not end within {ENDS_WITHIN:.0f} seconds"
    if running.returncode in (0, SKIPPED):
        return "skipped" if running.returncode else "passed"
    # What follows is the state of the server, and the end of it.
    shown = output.partition("ERROR REPORTS")[0].splitlines()[-LINES_OF_A_FAILURE:]
    return "\n".join(["failed", *shown])


def prepare(tree: Path, home: Path) -> dict[str, str]:
    """Make the directory that scripts take for that of a build. Return their environment."""
    for name in ("debuginfod", "src", "tests"):
        (home / name).mkdir()
    is_built = (tree / "debuginfod" / "debuginfod-find").exists()
    link(
        home / "debuginfod" / "debuginfod-find", tree / "debuginfod" / "debuginfod-find" if is_built else None
    )
    for name in ("readelf", "strip"):
        link(home / "src" / name, tree / "src" / name if is_built else None, "eu-")
    shim = home / "debuginfod" / "debuginfod"
    shim.write_text(SHIM.format(root=ROOT, python=sys.executable))
    shim.chmod(0o755)
    libraries = [tree / name for name in LIBRARIES] if is_built else []
    client = tree / "tests" / "debuginfod_build_id_find.c"
    command = (
        *("gcc", "-D_GNU_SOURCE", "-DELFUTILS_HEADER(x)=<elfutils/lib##x.h>"),
        *("-o", home / "tests" / "debuginfod_build_id_find", client, "-ldw", "-lelf"),
    )
    subprocess.run(command, check=True)
    places = {
        "srcdir": tree / "tests",
        "abs_srcdir": tree / "tests",
        "abs_builddir": home / "tests",
        "abs_top_builddir": home,
        "built_library_path": ":".join(map(str, libraries)),
        "elfutils_testrun": "built",
    }
    return {**os.environ, **{name: str(value) for name, value in places.items()}}


def link(place: Path, built: Path | None, prefix: str = "") -> None:
    """Link a program of a build, or that of the system."""
    place.symlink_to(built or f"/usr/bin/{prefix}{place.name}")


if __name__ == "__main__":
    main()
