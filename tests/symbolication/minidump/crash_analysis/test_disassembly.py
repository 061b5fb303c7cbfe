"""Instructions as the crash leaves them. The texts and addresses are those of minidump-stackwalk 0.27."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.symbolication.minidump.crash_analysis.disassembly import disassemble
from tecken.symbolication.minidump.dump import MemoryRegion
from tecken.symbolication.minidump.findings import CrashInstruction
from tecken.symbolication.minidump.memory import MemoryMap
from tests.symbolication.minidump.crash_analysis.scenes import CODE, HEAP, REGISTERS, STACK, TARGET, scene

WORDS_64 = st.integers(0, (1 << 64) - 1)


def run(code: str, **registers: int) -> CrashInstruction:
    place = scene(code, registers)
    assert place.registers
    found = disassemble(place.registers, place.memory, place.stack)
    assert found
    return found


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("8b07", "mov eax, dword [rdi]"),
        ("488b441808", "mov rax, qword [rax + rbx * 1 + 0x8]"),
        ("488b04cd10000000", "mov rax, qword [rcx * 8 + 0x10]"),
        ("488b05f0ffffff", "mov rax, qword [rip - 0x10]"),
        ("8b042500000000", "mov eax, dword [0x0]"),
        ("c604254200008001", "mov byte [0x80000042], 0x1"),
        ("c7042510000000ffffffff", "mov dword [0x10], -0x1"),
        ("b1de", "mov cl, 0xde"),
        ("648b042528000000", "mov eax, dword fs:[0x28]"),
        ("488d4708", "lea rax, qword [rdi + 0x8]"),
        ("e8cdffffff", "call $-0x33"),
        ("7505", "jnz $+0x5"),
        ("0f95c0", "setnz al"),
        ("0f93c0", "setae al"),
        ("480f43c1", "cmovnb rax, rcx"),
        ("f348a5", "rep movs qword es:[rdi], qword ds:[rsi]"),
        ("f3aa", "rep stos byte es:[rdi], al"),
        ("ac", "lods al, byte [rsi]"),
        ("f20f1006", "movsd xmm0, qword [rsi]"),
        ("660f70c8e1", "pshufd xmm1, xmm0, -0x1f"),
        ("c5fd700787", "vpshufd ymm0, ymmword [rdi], 0x87"),
        ("62e1fe286f543e01", "vmovdqu64 ymm18, ymmword [rsi + rdi * 1 + 0x20]"),
        ("db6c2408", "fld st(0), mword [rsp + 0x8]"),
        ("f00fb13a", "lock cmpxchg dword [rdx], edi"),
        ("ff28", "jmpf mword [rax]"),
        ("ca0800", "retf 0x8"),
        ("cc", "int 0x3"),
        ("0f0b", "ud2"),
    ],
)
def test_text_of_an_instruction_is_that_of_rust_minidump(code: str, text: str) -> None:
    assert run(code).text == text


@pytest.mark.parametrize(
    ("code", "address", "size", "kind"),
    [
        ("8b07", 0x1000, 4, "read"),
        ("8807", 0x1000, 1, "write"),
        ("668907", 0x1000, 2, "write"),
        ("480107", 0x1000, 8, "readwrite"),
        ("4803470f", 0x100F, 8, "read"),
        ("48ff47f0", 0xFF0, 8, "readwrite"),
        ("48833f00", 0x1000, 8, "read"),
        ("0f1107", 0x1000, 16, "write"),
        ("0f2807", 0x1000, 16, "read"),
        ("488b04f7", 0x1000 + 8 * 0x20, 8, "read"),
        ("488b04f500000000", 8 * 0x20, 8, "read"),
        ("8b042510000000", 0x10, 4, "read"),
        ("8b0425f0ffffff", 0xFFFF_FFFF_FFFF_FFF0, 4, "read"),
        ("a11122334455667788", 0x8877_6655_4433_2211, 4, "read"),
        # The end of the instruction is where its addresses count from.
        ("488b0500010000", CODE + 7 + 0x100, 8, "read"),
        ("480fb607", 0x1000, 1, ""),
        ("c5fe6f07", 0x1000, 32, ""),
        ("aa", 0x1000, 1, ""),
    ],
)
def test_operand_in_memory_has_its_address_size_and_use(
    code: str, address: int, size: int, kind: str
) -> None:
    found = run(code, rdi=0x1000, rsi=0x20)

    assert found.accesses
    assert [access[:3] for access in found.accesses] == [(address, size, kind)]


@pytest.mark.parametrize(
    ("code", "accesses"),
    [
        ("90", []),
        ("4889c8", []),
        ("488d07", []),
        ("7505", []),
        ("f3a4", [(HEAP, 1, ""), (0x20, 1, "")]),
        ("50", [(STACK - 8, 8, "write")]),
        ("58", [(STACK, 8, "read")]),
        ("c3", [(STACK, 8, "read")]),
        ("e800000000", [(STACK - 8, 8, "write")]),
        ("ff37", [(HEAP, 8, "read"), (STACK - 8, 8, "write")]),
        ("8f07", [(HEAP, 8, "write"), (STACK, 8, "read")]),
        ("ff17", [(HEAP, 8, "read"), (STACK - 8, 8, "write")]),
        ("ff27", [(HEAP, 8, "read")]),
        ("ff1f", [(HEAP, 6, "")]),
        # A masked store may write nothing.
        ("62f17e49117f01", []),
    ],
)
def test_instruction_uses_its_operands_and_the_stack(code: str, accesses: list[tuple[int, int, str]]) -> None:
    found = run(code, rdi=HEAP, rsi=0x20)

    assert found.accesses is not None
    assert [access[:3] for access in found.accesses] == accesses


@pytest.mark.parametrize("code", ["678b07", "67488b0500010000", "c4e26990048f"])
def test_address_of_a_register_that_no_dump_has_is_unknown(code: str) -> None:
    assert run(code).accesses is None


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("ffd7", HEAP),
        ("ff17", TARGET),
        ("ff27", TARGET),
        ("c3", TARGET),
        ("48cf", TARGET),
        # Relative jumps are right; the target matters where a register or memory can be wrong.
        ("e800000000", None),
        ("7505", None),
        ("ff16", None),
        ("90", None),
    ],
)
def test_jump_continues_at_its_target(code: str, target: int | None) -> None:
    assert run(code, rdi=HEAP, rsi=0x20).target == target


def test_null_is_found_in_the_base_and_not_in_the_index() -> None:
    base, index = run("488b4718", rdi=0).accesses, run("488b041f", rdi=1, rbx=0).accesses

    assert base
    assert index
    assert (base[0].address, base[0].is_null_based) == (0x18, True)
    assert (index[0].address, index[0].is_null_based) == (1, False)


def test_registers_of_addresses_are_named_once_in_order() -> None:
    assert run("488b0437").pointers == ("rdi", "rsi")
    assert run("488b0400").pointers == ("rax",)
    assert run("4889c8").pointers == ()


@pytest.mark.parametrize("code", ["", "06", "ff", "0f04"])
def test_bytes_that_are_no_instruction_give_none(code: str) -> None:
    place = scene(code)
    assert place.registers

    assert disassemble(place.registers, place.memory, None) is None


@given(st.binary(min_size=1, max_size=20), st.lists(WORDS_64, min_size=17, max_size=17))
def test_any_bytes_are_decoded_or_refused(code: bytes, values: list[int]) -> None:
    registers = dict(zip(REGISTERS, values, strict=True)) | {"rip": CODE}
    memory = MemoryMap([MemoryRegion(CODE, memoryview(code))])

    found = disassemble(registers, memory, None)

    if found:
        assert found.text.isprintable()
        assert len(found.text) < 200
        assert all(0 <= access.address < 1 << 64 for access in found.accesses or ())
        assert len(found.accesses or ()) <= 3


@given(WORDS_64, WORDS_64, st.sampled_from([1, 2, 4, 8]), st.integers(-(1 << 31), (1 << 31) - 1))
def test_address_is_base_plus_scaled_index_plus_displacement(
    base: int, index: int, scale: int, displacement: int
) -> None:
    sib = (scale.bit_length() - 1) << 6 | 0b110_111
    code = f"488b84{sib:02x}" + (displacement & 0xFFFF_FFFF).to_bytes(4, "little").hex()

    accesses = run(code, rdi=base, rsi=index).accesses

    assert accesses
    assert accesses[0].address == (base + index * scale + displacement) % (1 << 64)
