"""Text of an instruction in the form of rust-minidump's: `mov eax, dword [rdi + 0x8]`, `call $+0x12`.

rust-minidump disassembles with yaxpeax-x86, whose texts differ from those of any syntax of iced-x86 in names
of conditions, in relative addresses, and in string instructions.
"""

from __future__ import annotations

from typing import Final

from iced_x86 import (
    CC_ae,
    CC_be,
    CC_e,
    CC_ne,
    Code,
    EncodingKind,
    Formatter,
    FormatterSyntax,
    Instruction,
    MemorySizeExt,
    MemorySizeOptions,
    Mnemonic,
    Register,
    RegisterExt,
)

REGISTER_NAMES: Final = {
    value: name.lower() for name, value in vars(Register).items() if isinstance(value, int)
}
"""Names of registers by their number in iced-x86."""

_SIZES: Final = {1: "byte", 2: "word", 4: "dword", 8: "qword"}
_ACCUMULATORS: Final = {1: "al", 2: "ax", 4: "eax", 8: "rax"}
# Constants have a sign, but for ports, counts and numbers of interrupts, and in instructions of AVX.
_UNSIGNED: Final = (Mnemonic.ENTER, Mnemonic.IN, Mnemonic.INT, Mnemonic.OUT, Mnemonic.RET, Mnemonic.RETF)
_FORMS: Final = {
    "movs": "{size} es:[rdi], {size} ds:[rsi]",
    "stos": "{size} es:[rdi], {register}",
    "scas": "{size} es:[rdi], {register}",
    "lods": "{register}, {size} [rsi]",
}
_WORDS: Final = (
    *((" ptr ", " "), ("tbyte", "mword"), ("ret far", "retf")),
    *(("call far fword", "callf mword"), ("jmp far fword", "jmpf mword")),
    *(("setnb", "setae"), ("setna", "setbe"), ("int1", "int 0x1"), ("int3", "int 0x3")),
    # An address alone is written as the 32 bits that the processor extends by their sign.
    ("[0xffffffff", "[0x"),
    *(("fwait", "wait"), ("pushfq", "pushf"), ("popfq", "popf")),
)


def _formatter() -> Formatter:
    formatter = Formatter(FormatterSyntax.INTEL)
    formatter.hex_prefix, formatter.hex_suffix = "0x", ""
    formatter.uppercase_hex = formatter.small_hex_numbers_in_decimal = False
    formatter.add_leading_zero_to_hex_numbers = False
    formatter.space_after_operand_separator = True
    formatter.space_between_memory_add_operators = formatter.space_between_memory_mul_operators = True
    formatter.always_show_scale = formatter.rip_relative_addresses = True
    formatter.memory_size_options = MemorySizeOptions.ALWAYS
    formatter.use_pseudo_ops = False
    formatter.prefer_st0 = True
    formatter.cc_e, formatter.cc_ne = CC_e.Z, CC_ne.NZ
    formatter.cc_ae, formatter.cc_be = CC_ae.NB, CC_be.NA
    return formatter


_FORMATTER: Final = _formatter()


def format_instruction(decoded: Instruction) -> str:
    """Return the text of an instruction."""
    if _is_relative(decoded):
        return f"{_FORMATTER.format_mnemonic(decoded)} {_format_distance(decoded)}"
    _FORMATTER.signed_immediate_operands = _is_signed(decoded)
    text = _FORMATTER.format(decoded)
    for found, replacement in _WORDS:
        text = text.replace(found, replacement)
    if decoded.mnemonic == Mnemonic.LEA:
        return text.replace("[", f"{_SIZES[RegisterExt.size(decoded.op0_register)]} [", 1)
    return _format_string_instruction(decoded, text) if decoded.is_string_instruction else text


def _is_signed(decoded: Instruction) -> bool:
    if decoded.code == Code.MOV_R8_IMM8 or decoded.mnemonic in _UNSIGNED:
        return False
    return decoded.encoding == EncodingKind.LEGACY


def _is_relative(decoded: Instruction) -> bool:
    jumps = decoded.is_jmp_short_or_near or decoded.is_jcc_short_or_near or decoded.is_call_near
    return jumps or decoded.is_jcx_short or decoded.is_loop or decoded.is_loopcc


def _format_distance(decoded: Instruction) -> str:
    """Return how far the target of a jump is from the end of the instruction."""
    half = 1 << 63
    distance = (decoded.near_branch_target - decoded.next_ip + half) % (2 * half) - half
    return f"$-{-distance:#x}" if distance < 0 else f"$+{distance:#x}"


def _format_string_instruction(decoded: Instruction, text: str) -> str:
    """Return `rep movsb ...` with the operands of `rep movs byte es:[rdi], byte ds:[rsi]`."""
    name = _FORMATTER.format_mnemonic(decoded)[:-1]
    form = _FORMS.get(name.rpartition(" ")[2])
    size = MemorySizeExt.size(decoded.memory_size)
    return f"{name} {form.format(size=_SIZES[size], register=_ACCUMULATORS[size])}" if form else text
