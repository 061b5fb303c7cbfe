"""`python -m run.manage ...`: manage.py against the servers that `make run` started in this checkout."""

from __future__ import annotations

import os
import sys

from run.checkout import ROOT, environment, running

if __name__ == "__main__":
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "manage.py", *sys.argv[1:]], environment(running()))
