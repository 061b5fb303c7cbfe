"""Socorro's own rules with our stackwalker, beside minidump-stackwalk.

    python -m bench.socorro --socorro CHECKOUT --python PYTHON [X.dmp ...]

CHECKOUT is one of https://github.com/mozilla-services/socorro, and PYTHON has what its processor imports:

    pip install attrs everett glom isodate jsonschema markdown-it-py markus more-itertools pyyaml requests \
        semver sentry-sdk fx-crash-sig siggen

All rules of `socorro.mozilla_rulesets`, of which MinidumpStackwalkRule runs the stackwalker, process each
dump twice: once with minidump-stackwalk and once with the script of docs/help/minidumps.md. Both have their
symbols from a site of their own, which has those of `tests/data/minidumps`. Compared are the whole processed
crashes, and the signature that fx-crash-sig makes from the report with `/symbolicate/v5`. Prints what
differs. The exit status is 1 if anything does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson

from bench.minidump_oracle import contents
from tests.oracle import minidumps
from tests.oracle.minidumps import differences
from tests.system.site import ROOT, Site

# Runs in Socorro's Python: dumps in a folder become processed crashes with signatures, on stdout.
CHILD: Final = """\
import json, logging, sys, tempfile
from pathlib import Path
from fx_crash_sig.crash_processor import CrashProcessor
from socorro.mozilla_rulesets import RULESETS
from socorro.processor.pipeline import Pipeline

logging.disable()
folder, site = Path(sys.argv[1]), sys.argv[2]
pipeline = Pipeline(RULESETS, "bench")
pings = CrashProcessor(api_url=site + "/symbolicate/v5")
raw = {"uuid": "0bba929f-8721-460c-dead-a43c20071027", "ProductName": "Firefox", "Version": "100.0",
       "ReleaseChannel": "nightly", "BuildID": "20261201000000", "Vendor": "Mozilla",
       "submitted_timestamp": "2026-12-01T00:00:00+00:00"}

def signature(report):
    places = {module["filename"]: i for i, module in enumerate(report["modules"])}
    threads = [{"frames": [{"ip": frame["offset"], "module_index": places[frame["module"]],
                            "trust": frame["trust"]} for frame in thread["frames"] if frame["module"]]}
               for thread in report["threads"]]
    traces = {"crash_info": report["crash_info"], "modules": report["modules"], "threads": threads}
    return pings.get_signature({"normalized_os": "", "payload": {"stack_traces": traces}}).signature

for path in sorted(folder.glob("*.dmp")):
    with tempfile.TemporaryDirectory() as tmpdir:
        crash = pipeline.process_crash("default", dict(raw), {"upload_file_minidump": str(path)}, {}, tmpdir)
    crash["fx_crash_sig"] = signature(crash["json_dump"]) if crash["json_dump"] else None
    print(json.dumps([path.name, crash]))
"""
# Times, and the name of the program.
CHANGING: Final = ("started_datetime", "completed_datetime", "stackwalk_version")
START_NOTE: Final = ">>> Start processing: "
# What minidump-stackwalk alone has, and what we alone have (docs/minidumps.md).
THEIRS: Final = ("symbol_url",)
OURS: Final = ("is_cut", "symbols", "symbols_reason", "crashpad", "warnings")

Crashes = Mapping[str, dict[str, Any]]


def main() -> int:
    """Compare the processed crashes of all dumps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dumps", type=Path, nargs="*", metavar="X.dmp")
    parser.add_argument("--socorro", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--python", type=Path, required=True, metavar="PYTHON")
    options = parser.parse_args()
    stackwalk = minidumps.find_stackwalk()
    if not stackwalk:
        parser.error("install it first: cargo install minidump-stackwalk --version 0.27.0 --locked")
    with TemporaryDirectory() as folder:
        home = Path(folder)
        write_inputs(home, options.dumps)
        with Site(home, SYMBOL_SOURCES=(home / "symbols").as_uri()) as site:
            script = write_script(home, site.url)
            theirs, ours = (process(options, home, site.url, path) for path in (stackwalk, str(script)))
    found = list(compare(ours, theirs))
    for line in found:
        print(line)
    counts = [len({crash[key] for crash in ours.values()}) for key in ("signature", "fx_crash_sig")]
    print(f"{len(theirs)} dumps, {len(found)} differences")
    print("{} signatures of Socorro, {} of fx-crash-sig".format(*counts))
    return int(bool(found))


def write_inputs(home: Path, dumps: list[Path]) -> None:
    """Write dumps and symbol files."""
    (home / "dumps").mkdir()
    for name, content in contents(dumps):
        (home / "dumps" / f"{name.removesuffix('.dmp')}.dmp").write_bytes(content)
    for (debug_file, debug_id), content in minidumps.read_symbols().items():
        place = home / "symbols" / debug_file / debug_id
        place.mkdir(parents=True)
        (place / f"{debug_file.removesuffix('.pdb')}.sym").write_bytes(content)


def write_script(home: Path, url: str) -> Path:
    """Write the script of the help, with the address of a site."""
    text = (ROOT / "docs" / "help" / "minidumps.md").read_text()
    script = text.partition("```sh\n#!")[2].partition("```")[0].replace("https://symbols.example.com", url)
    program = f"{sys.executable} -m tecken.client.symbolicate"
    path = home / "tecken-stackwalk"
    path.write_text(f"#!{script}".replace("exec tecken-symbolicate", f"exec {program}"))
    path.chmod(0o755)
    return path


def process(options: argparse.Namespace, home: Path, url: str, stackwalker: str) -> Crashes:
    """Return the processed crash of each dump."""
    checkout = options.socorro.resolve()
    environment = {
        **os.environ,
        **read_environment(checkout / "docker" / "config" / "local_dev.env"),
        **read_environment(checkout / "docker" / "config" / "test.env"),
        "ELASTICSEARCH_URL": "http://127.0.0.1:9",
        "BETAVERSIONRULE_VERSION_STRING_API": "http://127.0.0.1:9",
        "STACKWALKER_COMMAND_PATH": stackwalker,
        "STACKWALKER_SYMBOLS_URLS": f"{url}/",
        "SYMBOLS_CACHE_PATH": str(home / "cache"),
        "PYTHONPATH": f"{checkout}:{ROOT}",
    }
    command = [options.python, "-c", CHILD, home / "dumps", url]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(orjson.loads(line) for line in done.stdout.splitlines() if line.startswith(b"["))


def read_environment(path: Path) -> dict[str, str]:
    """Return the variables in a file of lines NAME=VALUE; empty if there is none."""
    if not path.exists():
        return {}
    lines = [line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: value.strip("'\"") for name, equals, value in lines if equals}


def compare(ours: Crashes, theirs: Crashes) -> Iterator[str]:
    """Yield what differs in the crashes."""
    for name, crash in theirs.items():
        for line in differences(comparable(ours[name]), comparable(crash)):
            yield f"{name}{line}"


def comparable(value: Any) -> Any:
    """Return what has to be equal: null is as good as no key, in Socorro's rules as in its schema."""
    if isinstance(value, dict):
        left_out = (*CHANGING, *THEIRS, *OURS)
        return {
            key: comparable(item) for key, item in value.items() if key not in left_out and item is not None
        }
    if isinstance(value, str) and value.startswith(START_NOTE):
        return value.partition("\n")[2]
    return [comparable(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
