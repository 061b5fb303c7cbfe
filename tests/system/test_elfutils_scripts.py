"""elfutils' scripts, if there is a source tree of elfutils: its code is not part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.build import need
from tests.system.elfutils_scripts import APPLICABLE, run_scripts

pytestmark = pytest.mark.xdist_group("elfutils")  # a site of several processes for each


@pytest.mark.parametrize("name", APPLICABLE)
def test_script_of_elfutils_passes(name: str) -> None:
    tree = os.environ.get("ELFUTILS_SOURCE")
    if not tree:
        pytest.skip("ELFUTILS_SOURCE is not set")
    need("bsdtar", "bzcat", "cpio", "curl", "debuginfod-find", "eu-readelf", "gcc", "rpm2cpio", "ss")
    assert run_scripts(Path(tree), (name,)) == {name: "passed"}
