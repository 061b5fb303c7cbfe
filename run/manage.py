"""Management commands for the servers of `make run`: `python -m run.manage ...`."""

from __future__ import annotations

import os
import sys

from run.checkout import ROOT, environment, read_state

if __name__ == "__main__":
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "manage.py", *sys.argv[1:]], environment(read_state()))
