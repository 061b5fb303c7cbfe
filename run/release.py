"""Notes of a release: `python3 run/release.py tag v1.0.0` prints its section of CHANGELOG.md.

The command ends with an error if the tag is not the version of the code, or if the changelog has no such
release. For a branch (`branch main`) it prints the section of the version of the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HEADING = re.compile(r"^## ", re.MULTILINE)
DATED = re.compile(r"\[\S+\] - \d{4}-\d\d-\d\d")
ROOT = Path(__file__).resolve().parent.parent


def main(kind: str, name: str) -> None:
    """Print the notes of the version, after comparing it with the tag."""
    (version,) = re.findall(
        r'^__version__ = "(.+)"$', (ROOT / "tecken/__init__.py").read_text(), re.MULTILINE
    )
    if kind == "tag" and name != f"v{version}":
        sys.exit(f"The tag {name} is not v{version}, the version in tecken/__init__.py")
    print(find_notes((ROOT / "CHANGELOG.md").read_text(), version))


def find_notes(changelog: str, version: str) -> str:
    """Return the text below the heading of a release."""
    for section in HEADING.split(changelog)[1:]:
        title, _, notes = section.partition("\n")
        if DATED.fullmatch(title) and title.startswith(f"[{version}] "):
            return notes.strip()
    sys.exit(f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'")


if __name__ == "__main__":
    main(*sys.argv[1:])
