"""Rules, programs and stacks that are made to take long, or to fail in ways that nothing expects."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tecken.symbolication.minidump.port import UnwindInfo
from tecken.symbolication.minidump.unwind.postfix import MAX_WORDS
from tests.symbolication.minidump.unwind.machine import APP, LIB, STACK, rules, trusts, unwind

WORDS = st.sampled_from(
    [
        *(
            ".cfa:",
            ".ra:",
            "$rbx:",
            "fp:",
            "x29:",
            "$eip",
            "$esp",
            "$ebp",
            "$T0",
            ".raSearch",
            ".undef",
            ".cfa",
        ),
        *(
            "+",
            "-",
            "*",
            "/",
            "%",
            "@",
            "^",
            "=",
            "=$T1",
            "$",
            ":",
            "$:",
            "$$rsp",
            "sp",
            "$rsp",
            "lr",
            "",
            "\0",
        ),
        *(
            "0",
            "1",
            "-1",
            "8",
            "16",
            str(2**63 - 1),
            str(-(2**63)),
            str(2**63),
            "9" * 400,
            "0x10",
            "٣",
            "1_0",
        ),
    ]
)
TEXT = st.lists(WORDS, max_size=30).map(" ".join)
CPUS = {
    "x86": ("eip", "esp", "ebp"),
    "amd64": ("rip", "rsp", "rbp"),
    "arm": ("pc", "sp", "fp"),
    "arm64": ("pc", "sp", "fp"),
}


@given(
    st.sampled_from(sorted(CPUS)),
    st.lists(TEXT, max_size=4),
    TEXT,
    st.lists(
        st.sampled_from([0, 1, STACK, STACK + 8, STACK + 40, APP + 0x1010, LIB + 0x1010, 2**32 - 1]),
        max_size=40,
    ),
    st.tuples(*[st.sampled_from([0, APP + 0x1010, STACK, STACK + 16, 2**32 - 8])] * 3),
    st.sampled_from(["Linux", "Windows NT", "iOS"]),
)
@settings(deadline=None, max_examples=300)
def test_walk_any_rules_and_stack_end(
    cpu: str, changes: list[str], program: str, words: list[int], values: tuple[int, ...], os: str
) -> None:
    lines = ["STACK CFI INIT 1000 100 .cfa: 8 .ra: 8", *(f"STACK CFI 1000 {text}." for text in changes)]
    info = UnwindInfo(f"STACK WIN 4 1000 100 0 0 4 4 4 0 1 {program}", tuple(lines), 4)
    registers = dict(zip(CPUS[cpu], values, strict=True))
    stack = unwind(cpu, registers, words, {APP + 0x1000: info, LIB + 0x1000: info}, os=os)
    assert 1 <= len(stack.frames) <= 1024
    assert all(0 <= value < 2**64 for frame in stack.frames for value in frame.registers.values())


@pytest.mark.parametrize("count", [1, MAX_WORDS])
def test_cfi_rules_of_many_words_in_many_lines_do_not_count(count: int) -> None:
    words = " ".join(["1"] + ["1 +"] * (MAX_WORDS // 2 - 10))
    changes = [f"${name}: {words}" for name in ("rax", "rbx", "rcx")[:count]]
    infos = rules(APP + 0x1000, ".cfa: $rsp 8 + .ra: .cfa -8 + ^", *changes)
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [LIB + 0x1005, 0], infos)
    assert trusts(stack)[1] == (LIB + 0x1004, "cfi" if count == 1 else "scan")


def test_cfi_registers_that_the_processor_does_not_have_cost_nothing() -> None:
    names = [f"$q{number}: 1 2 + 3 +" for number in range(2000)]
    infos = rules(APP + 0x1000, ".cfa: $rsp 8 + .ra: .cfa -8 + ^", *names)
    stack = unwind("amd64", {"rip": APP + 0x1010, "rsp": STACK}, [LIB + 0x1005, 0], infos)
    assert stack.frames[1].registers == {"rip": LIB + 0x1005, "rsp": STACK + 8}
