"""Process that demangles, with names that end it."""

from __future__ import annotations

import pytest

from tecken.dump import demangling
from tecken.dump.demangling import Demangler, demangle_all

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def unfolding(steps: int) -> bytes:
    """Return a name each part of which has the one before it twice."""
    name, last = "_Z1f1AIiiE", "S0_"
    for step in range(steps):
        name += f"S_I{last}{last}E"
        last = f"S{DIGITS[step + 1]}_"
    return name.encode()


def test_demangle_name_that_ends_the_process_stays_and_the_others_do_not() -> None:
    explosive = unfolding(26)
    assert 270 <= len(explosive) <= 300
    names = [b"_Z%df%bv" % (len(str(i)) + 1, str(i).encode()) for i in range(20)]
    readable = demangle_all([*names, explosive])
    assert readable == {name: b"f%d()" % i for i, name in enumerate(names)}


def test_demangle_name_that_becomes_long_stays_as_it_is() -> None:
    assert demangle_all([unfolding(12)]) == {unfolding(12): unfolding(12)}


def test_demangle_after_many_ends_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demangling, "MAX_ENDS", 1)
    with Demangler() as demangler:
        assert demangler.demangle([unfolding(26)]) == {}
        assert demangler.demangle([b"_Z1fv"]) == {}


def test_demangle_names_that_are_not_mangled_start_no_process() -> None:
    assert demangle_all([b"main", b"_start", b"", b"_Z\n"]) == {}
