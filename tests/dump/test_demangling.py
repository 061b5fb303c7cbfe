"""Process that demangles, with names that end it."""

from __future__ import annotations

import pytest

from tecken.dump import demangling
from tecken.dump.demangling import Demangler, demangle_all
from tests.support.broken_files import unfolding_name


def test_demangle_name_that_ends_the_process_stays_and_the_others_do_not() -> None:
    explosive = unfolding_name(26).encode()
    names = [b"_Z%df%bv" % (len(str(i)) + 1, str(i).encode()) for i in range(20)]
    readable = demangle_all([*names, explosive])
    assert readable == {name: b"f%d()" % i for i, name in enumerate(names)}


def test_demangle_name_that_becomes_long_stays_as_it_is() -> None:
    assert demangle_all([unfolding_name(12).encode()]) == {
        unfolding_name(12).encode(): unfolding_name(12).encode()
    }


def test_demangle_after_many_ends_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demangling, "MAX_ENDS", 1)
    with Demangler() as demangler:
        assert demangler.demangle([unfolding_name(26).encode()]) == {}
        assert demangler.demangle([b"_Z1fv"]) == {}


def test_demangle_names_that_are_not_mangled_start_no_process() -> None:
    assert demangle_all([b"main", b"_start", b"", b"_Z\n"]) == {}
