from __future__ import annotations

from collections.abc import Callable

import pytest

from tecken.symbolication.minidump.contexts import REGISTER_NAMES, read_context
from tecken.symbolication.minidump.unwind.arch import ARCHITECTURES
from tests.support.minidumps import (
    AMD64,
    AMD64_REGISTERS,
    ARM,
    ARM64,
    ARM64_OLD,
    ARM64_REGISTERS,
    ARM_REGISTERS,
    X86,
    amd64_context,
    arm64_context,
    arm_context,
    old_arm64_context,
    x86_context,
)

X86_GENERAL = ("edi", "esi", "ebx", "edx", "ecx", "eax", "ebp", "eip", "eflags", "esp")
CONTEXTS = [
    (AMD64, "amd64", amd64_context, AMD64_REGISTERS),
    (X86, "x86", x86_context, X86_GENERAL),
    (10, "x86", x86_context, X86_GENERAL),
    (ARM, "arm", arm_context, ARM_REGISTERS),
    (ARM64, "arm64", arm64_context, ARM64_REGISTERS),
    (ARM64_OLD, "arm64", old_arm64_context, ARM64_REGISTERS),
]


@pytest.mark.parametrize(("architecture", "cpu", "write", "names"), CONTEXTS)
def test_context_gives_its_registers_in_the_order_of_the_report(
    architecture: int, cpu: str, write: Callable[..., bytes], names: list[str]
) -> None:
    values = {name: 0x1000 + number for number, name in enumerate(names)}
    registers = read_context(memoryview(write(**values)), architecture)
    assert registers == values
    assert tuple(registers) == REGISTER_NAMES[cpu]
    assert {ARCHITECTURES[cpu].stack, ARCHITECTURES[cpu].instruction} <= set(registers)


@pytest.mark.parametrize(("architecture", "cpu", "write", "names"), CONTEXTS)
def test_context_that_is_cut_gives_nothing(
    architecture: int, cpu: str, write: Callable[..., bytes], names: list[str]
) -> None:
    assert read_context(memoryview(write()[:-1]), architecture) is None


@pytest.mark.parametrize(("architecture", "cpu", "write", "names"), CONTEXTS)
def test_context_of_another_processor_gives_nothing(
    architecture: int, cpu: str, write: Callable[..., bytes], names: list[str]
) -> None:
    assert read_context(memoryview(write(flags=0x8_0003)), architecture) is None


def test_context_with_extended_state_gives_its_registers() -> None:
    content = amd64_context(flags=0x10_005F, rip=5) + bytes(1000)
    registers = read_context(memoryview(content), AMD64)
    assert registers is not None
    assert registers["rip"] == 5


def test_context_of_mips_is_not_supported() -> None:
    assert read_context(memoryview(bytes(2000)), 1) is None
