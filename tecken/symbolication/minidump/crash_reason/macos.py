"""Mach exceptions of macOS and iOS, with the reasons in their codes.

Source: Apple's `osfmk/mach/exception_types.h`, `osfmk/mach/<cpu>/exception.h`, `osfmk/kern/exc_resource.h`,
`osfmk/kern/exc_guard.h`, `osfmk/mach/port.h` and `bsd/sys/guarded.h`. In a minidump the flags are the upper
half of the exception's code, or the code itself, and the second and third parameter are code and subcode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tecken.symbolication.minidump.exception import ExceptionRecord

_EXCEPTIONS: Final = {
    **{1: "EXC_BAD_ACCESS", 2: "EXC_BAD_INSTRUCTION", 3: "EXC_ARITHMETIC", 4: "EXC_EMULATION"},
    **{5: "EXC_SOFTWARE", 6: "EXC_BREAKPOINT", 7: "EXC_SYSCALL", 8: "EXC_MACH_SYSCALL", 9: "EXC_RPC_ALERT"},
    **{11: "EXC_RESOURCE", 12: "EXC_GUARD"},
}
# Crashpad's exception for a dump without a crash: "CPsx".
_SIMULATED: Final = 0x4350_7378
_KERNEL_CODES: Final = {
    **{1: "KERN_INVALID_ADDRESS", 2: "KERN_PROTECTION_FAILURE", 5: "KERN_FAILURE", 8: "KERN_NO_ACCESS"},
    **{9: "KERN_MEMORY_FAILURE", 10: "KERN_MEMORY_ERROR", 50: "KERN_CODESIGN_ERROR"},
}
_SOFTWARE_CODES: Final = {
    **{0x1_0002: "SIGABRT", 0xDEAD_C0DE: "UNCAUGHT_NS_EXCEPTION"},
    **{1: "EXC_PPC_TRAP", 0x1_0100: "EXC_PPC_MIGRATE"},
}
_ARM: Final = {
    "EXC_BAD_ACCESS": {
        **{0x101: "EXC_ARM_DA_ALIGN", 0x102: "EXC_ARM_DA_DEBUG", 0x103: "EXC_ARM_SP_ALIGN"},
        **{0x104: "EXC_ARM_SWP", 0x105: "EXC_ARM_PAC_FAIL"},
    },
    "EXC_BAD_INSTRUCTION": {1: "EXC_ARM_UNDEFINED"},
    "EXC_ARITHMETIC": {
        **{1: "EXC_ARM_FP_IO", 2: "EXC_ARM_FP_DZ", 3: "EXC_ARM_FP_OF", 4: "EXC_ARM_FP_UF"},
        **{5: "EXC_ARM_FP_IX", 6: "EXC_ARM_FP_ID"},
    },
    "EXC_BREAKPOINT": {1: "EXC_ARM_BREAKPOINT"},
}
_X86: Final = {
    "EXC_BAD_ACCESS": {13: "EXC_I386_GPFLT"},
    "EXC_BAD_INSTRUCTION": {
        **{1: "EXC_I386_INVOP", 10: "EXC_I386_INVTSSFLT", 11: "EXC_I386_SEGNPFLT", 12: "EXC_I386_STKFLT"},
        **{13: "EXC_I386_GPFLT", 17: "EXC_I386_ALIGNFLT"},
    },
    "EXC_ARITHMETIC": {
        **{1: "EXC_I386_DIV", 2: "EXC_I386_INTO", 3: "EXC_I386_NOEXT", 4: "EXC_I386_EXTOVR"},
        **{5: "EXC_I386_EXTERR", 6: "EXC_I386_EMERR", 7: "EXC_I386_BOUND", 8: "EXC_I386_SSEEXTERR"},
    },
    "EXC_BREAKPOINT": {1: "EXC_I386_SGL", 2: "EXC_I386_BPT"},
}
_PROCESSORS: Final = {"arm64": _ARM, "x86": _X86, "amd64": _X86}

_RESOURCES: Final = {
    **{1: "RESOURCE_TYPE_CPU", 2: "RESOURCE_TYPE_WAKEUPS", 3: "RESOURCE_TYPE_MEMORY", 4: "RESOURCE_TYPE_IO"},
    5: "RESOURCE_TYPE_THREADS",
}
_RESOURCE_FLAVORS: Final[Mapping[int, Mapping[int, str]]] = {
    1: {1: "FLAVOR_CPU_MONITOR", 2: "FLAVOR_CPU_MONITOR_FATAL"},
    2: {1: "FLAVOR_WAKEUPS_MONITOR"},
    3: {1: "FLAVOR_HIGH_WATERMARK"},
    4: {1: "FLAVOR_IO_PHYSICAL_WRITES", 2: "FLAVOR_IO_LOGICAL_WRITES"},
    5: {1: "FLAVOR_THREADS_HIGH_WATERMARK"},
}
# Limits and measured values, which the code and the subcode have in some of their bits.
_RESOURCE_TEXTS: Final[Mapping[int, Callable[[int, int], str]]] = {
    1: lambda code, subcode: (
        f"interval: {code >> 7 & 0x1FF_FFFF}s CPU limit: {code & 7}% CPU consumed: {subcode & 7}%"
    ),
    2: lambda code, subcode: (
        f"interval: {code >> 20 & 0xF_FFFF}s wakeups permitted: {code & 0xFFF}"
        f" wakeups observed: {subcode & 0xFFF}"
    ),
    3: lambda code, _: f"high watermark limit: {code & 0x1FFF}MiB",
    4: lambda code, subcode: (
        f"interval: {code >> 15 & 0x1_FFFF}s I/O limit: {code & 0x7FFF}% I/O observed: {subcode & 0x7FFF}%"
    ),
    5: lambda code, _: f"high watermark limit: {code & 0x7FFF}",
}

_GUARDS: Final = {
    **{0: "GUARD_TYPE_NONE", 1: "GUARD_TYPE_MACH_PORT", 2: "GUARD_TYPE_FD", 3: "GUARD_TYPE_USER"},
    **{4: "GUARD_TYPE_VN", 5: "GUARD_TYPE_VIRT_MEMORY", 6: "GUARD_TYPE_REJECTED_SC"},
}


def _by_bit(names: tuple[str, ...], first_bit: int = 0) -> dict[int, str]:
    return {1 << bit: f"GUARD_EXC_{name}" for bit, name in enumerate(names, first_bit)}


_GUARD_FLAVORS: Final[Mapping[int, Mapping[int, str]]] = {
    1: {
        **{1: "GUARD_EXC_DESTROY", 2: "GUARD_EXC_MOD_REFS", 3: "GUARD_EXC_INVALID_OPTIONS"},
        **{4: "GUARD_EXC_SET_CONTEXT", 5: "GUARD_EXC_THREAD_SET_STATE"},
        **_by_bit(
            (
                *("UNGUARDED", "INCORRECT_GUARD", "IMMOVABLE", "STRICT_REPLY", "MSG_FILTERED"),
                *("INVALID_RIGHT", "INVALID_NAME", "INVALID_VALUE", "INVALID_ARGUMENT", "RIGHT_EXISTS"),
                *("KERN_NO_SPACE", "KERN_FAILURE", "KERN_RESOURCE", "SEND_INVALID_REPLY"),
                *("SEND_INVALID_VOUCHER", "SEND_INVALID_RIGHT", "RCV_INVALID_NAME", "RCV_GUARDED_DESC"),
                *("MOD_REFS_NON_FATAL", "IMMOVABLE_NON_FATAL", "REQUIRE_REPLY_PORT_SEMANTICS"),
                "EXCEPTION_BEHAVIOR_ENFORCE",
            ),
            first_bit=3,
        ),
    },
    2: _by_bit(("CLOSE", "DUP", "NOCLOEXEC", "SOCKET_IPC", "FILEPORT", "MISMATCH", "WRITE")),
    4: _by_bit(("RENAME_TO", "RENAME_FROM", "UNLINK", "WRITE_OTHER", "TRUNC_OTHER", "LINK", "EXCHDATA")),
    5: {1: "GUARD_EXC_DEALLOC_GAP"},
    6: {0: "GUARD_EXC_MACH_TRAP"},
}
_GUARD_TEXTS: Final[Mapping[int, Callable[[int, int], str]]] = {
    1: lambda code, subcode: f"port name: {code & 0xFFF_FFFF}" + (f" subcode: {subcode}" if subcode else ""),
    2: lambda code, subcode: f"file descriptor: {code & 0xFFF_FFFF} guard identifier: {subcode}",
    4: lambda code, subcode: f"pid: {code & 0xFFF_FFFF} guard identifier: {subcode}",
    5: lambda _, subcode: f"offset: {subcode}",
    6: lambda _, subcode: f"syscall: {subcode}",
}
_USER_GUARD: Final = 3


def explain_mach_exception(exception: ExceptionRecord, cpu: str) -> str | None:
    """Return an exception with its reason, as "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS"; None if unknown."""
    if exception.code == _SIMULATED:
        return "Simulated Exception"
    name = _EXCEPTIONS.get(exception.code)
    if name is None:
        return None
    kind = exception.flags >> 29
    code, subcode = exception.parameters[1:3]
    if name == "EXC_RESOURCE" and kind in _RESOURCES:
        return f"EXC_RESOURCE / {_RESOURCES[kind]} / {_explain_resource(kind, code, subcode)}"
    if name == "EXC_GUARD" and kind in _GUARDS:
        return f"EXC_GUARD / {_GUARDS[kind]}{_explain_guard(kind, code, subcode)}"
    return f"{name} / {_code_name(name, exception.flags, cpu) or f'{exception.flags:#010x}'}"


def _code_name(name: str, code: int, cpu: str) -> str | None:
    if name == "EXC_SOFTWARE":
        return _SOFTWARE_CODES.get(code)
    if name == "EXC_BAD_ACCESS" and code in _KERNEL_CODES:
        return _KERNEL_CODES[code]
    return _PROCESSORS.get(cpu, {}).get(name, {}).get(code)


def _explain_resource(kind: int, code: int, subcode: int) -> str:
    flavor = _RESOURCE_FLAVORS[kind].get(code >> 58 & 7)
    return f"{flavor} {_RESOURCE_TEXTS[kind](code, subcode)}" if flavor else _numbers(code, subcode)


def _explain_guard(kind: int, code: int, subcode: int) -> str:
    if kind not in _GUARD_FLAVORS:
        # rust-minidump has no space before this slash.
        text = f"/ namespace: {code & 0xFFFF_FFFF} guard identifier: {subcode}"
        return text if kind == _USER_GUARD else ""
    flavor = _GUARD_FLAVORS[kind].get(code >> 32 & 0x1FFF_FFFF)
    return f" / {flavor} {_GUARD_TEXTS[kind](code, subcode)}" if flavor else f" / {_numbers(code, subcode)}"


def _numbers(code: int, subcode: int) -> str:
    return f"{code:#018x} / {subcode:#018x}"
