"""The commands of README.md. `tests/system/test_run.py` runs `make run` itself."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.system.site import ROOT, Site

BLOCK = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.partition(" #")[0].strip()
    for block in BLOCK.findall((ROOT / "README.md").read_text())
    for line in block.splitlines()
]


def test_readme_names_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
    assert targets == ["run", "test"]
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


def test_readme_request_symbolicates_the_sample(tmp_path: Path) -> None:
    (command,) = (command for command in COMMANDS if command.startswith("curl "))
    with Site(tmp_path) as site:
        site.manage("symbols", "add", str(ROOT / "tests" / "data" / "samples"))
        done = subprocess.run(
            ["bash", "-c", command.replace("http://127.0.0.1:8000", site.url)],
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=60,
        )
    stacks = json.loads(done.stdout)["results"][0]["stacks"]
    functions = [frame.get("function") for stack in stacks for frame in stack]
    assert "crash_report" in functions
