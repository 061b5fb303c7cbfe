from __future__ import annotations

from collections.abc import Sequence

import pytest

from tecken.symbolication.minidump.crash_reason import explain_crash
from tecken.symbolication.minidump.crash_reason.windows import explain_windows_error
from tecken.symbolication.minidump.exception import ExceptionRecord

SIGN_EXTENDED = 0xFFFF_FFFF_8000_0045


def explain(
    os: str, code: int, flags: int = 0, parameters: Sequence[int] = (), cpu: str = "amd64"
) -> tuple[str, int]:
    values = (*parameters, *[0] * (15 - len(parameters)))
    record = ExceptionRecord(1, code, flags, 0x1000, len(parameters), values, memoryview(b""))
    return explain_crash(record, os, cpu)


@pytest.mark.parametrize(
    ("code", "parameters", "reason", "address"),
    [
        (0xC000_0005, (), "EXCEPTION_ACCESS_VIOLATION", 0x1000),
        (0xC000_0005, (0,), "EXCEPTION_ACCESS_VIOLATION_READ", 0x1000),
        (0xC000_0005, (0, 0x45), "EXCEPTION_ACCESS_VIOLATION_READ", 0x45),
        (0xC000_0005, (1, 0x45), "EXCEPTION_ACCESS_VIOLATION_WRITE", 0x45),
        (0xC000_0005, (8, SIGN_EXTENDED), "EXCEPTION_ACCESS_VIOLATION_EXEC", SIGN_EXTENDED),
        (0xC000_0005, (3, 0x45), "EXCEPTION_ACCESS_VIOLATION", 0x45),
        (0xC000_0006, (0, 0x45), "EXCEPTION_IN_PAGE_ERROR", 0x45),
        (
            0xC000_0006,
            (0, 0x45, 0xC000_009C),
            "EXCEPTION_IN_PAGE_ERROR_READ / STATUS_DEVICE_DATA_ERROR",
            0x45,
        ),
        (0xC000_0006, (1, 0x45, 0xC0FF_FFFF), "EXCEPTION_IN_PAGE_ERROR_WRITE / 0xc0ffffff", 0x45),
        (0xC000_0409, (), "STATUS_STACK_BUFFER_OVERRUN", 0x1000),
        (0xC000_0409, (7,), "EXCEPTION_STACK_BUFFER_OVERRUN / FAST_FAIL_FATAL_APP_EXIT", 0x1000),
        (0xC000_0409, (0x12345,), "EXCEPTION_STACK_BUFFER_OVERRUN / 0x00012345", 0x1000),
        (0xC000_00FD, (), "EXCEPTION_STACK_OVERFLOW", 0x1000),
        (0xE06D_7363, (), "Unhandled C++ Exception", 0x1000),
        (0xE000_0008, (), "Out of Memory", 0x1000),
        (0x0517_A7ED, (), "Simulated Exception", 0x1000),
        (0xC000_0374, (), "STATUS_HEAP_CORRUPTION", 0x1000),
        (0xC06D_007E, (), "FACILITY_VISUALCPP / ERROR_MOD_NOT_FOUND", 0x1000),
        (5, (), "ERROR_ACCESS_DENIED", 0x1000),
        (0xDEAD_BEEF, (), "unknown 0xdeadbeef", 0x1000),
    ],
)
def test_exception_of_windows_has_access_or_cause(
    code: int, parameters: tuple[int, ...], reason: str, address: int
) -> None:
    assert explain("Windows NT", code, 0, parameters) == (reason, address)


def test_address_of_32_bits_has_no_extended_sign() -> None:
    assert explain("Windows NT", 0xC000_0005, 0, (0, SIGN_EXTENDED), "x86")[1] == 0x8000_0045


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "ERROR_SUCCESS"),
        (2, "ERROR_FILE_NOT_FOUND"),
        (14, "ERROR_OUTOFMEMORY"),
        (1702, "RPC_S_INVALID_BINDING"),
        (0x103, "ERROR_NO_MORE_ITEMS"),
        (0xC000_0034, "STATUS_OBJECT_NAME_NOT_FOUND"),
        (0xC000_006D, "STATUS_LOGON_FAILURE"),
        (0x8000_4005, "unknown 0x80004005"),
        (0x207, "ERROR_INVALID_CONFIG_VALUE"),
        (0x3D3C, "ERROR_BLOCKED_BY_PENDING_PACKAGE_REMOVAL"),
        (0x4000_003A, "STATUS_EMULATION_FLOAT_EXCEPTION"),
        (0xC000_04E0, "STATUS_MEMORY_DECOMPRESSION_FAILURE"),
        (0xC0EF_0001, "STATUS_ACCELERATOR_SUBMISSION_QUEUE_FULL"),
        (0xC000_042E, "unknown 0xc000042e"),
    ],
)
def test_error_of_windows_is_named_as_win32_error_first(code: int, name: str) -> None:
    assert explain_windows_error(code) == name


@pytest.mark.parametrize(
    ("signal", "code", "reason"),
    [
        (11, 0, "SIGSEGV"),
        (11, 1, "SIGSEGV / SEGV_MAPERR"),
        (11, 128, "SIGSEGV / SI_KERNEL"),
        (11, 9, "SIGSEGV / 0x00000009"),
        (8, 1, "SIGFPE / FPE_INTDIV"),
        (4, 9, "SIGILL / ILL_BADIADDR"),
        (5, 6, "SIGTRAP / TRAP_PERF"),
        (7, 2, "SIGBUS / BUS_ADRERR"),
        (31, 1, "SIGSYS / SYS_SECCOMP"),
        (6, 0xFFFF_FFFA, "SIGABRT / SI_TKILL"),
        (6, 1, "SIGABRT / 0x00000001"),
        (0xFFFF_FFFF, 0, "DUMP_REQUESTED"),
        (99, 1, "unknown 0x00000063 / 0x00000001"),
    ],
)
@pytest.mark.parametrize("os", ["Linux", "Android"])
def test_signal_has_its_reason(os: str, signal: int, code: int, reason: str) -> None:
    assert explain(os, signal, code)[0] == reason


@pytest.mark.parametrize(
    ("cpu", "kind", "code", "parameters", "reason"),
    [
        ("amd64", 1, 1, (), "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS"),
        ("amd64", 1, 13, (), "EXC_BAD_ACCESS / EXC_I386_GPFLT"),
        ("arm64", 1, 13, (), "EXC_BAD_ACCESS / 0x0000000d"),
        ("arm64", 1, 0x105, (), "EXC_BAD_ACCESS / EXC_ARM_PAC_FAIL"),
        ("x86", 2, 1, (), "EXC_BAD_INSTRUCTION / EXC_I386_INVOP"),
        ("arm64", 6, 1, (), "EXC_BREAKPOINT / EXC_ARM_BREAKPOINT"),
        ("arm", 6, 1, (), "EXC_BREAKPOINT / 0x00000001"),
        ("amd64", 5, 0x1_0002, (), "EXC_SOFTWARE / SIGABRT"),
        ("amd64", 0x4350_7378, 0, (), "Simulated Exception"),
        ("amd64", 13, 7, (), "unknown 0x0000000d / 0x00000007"),
        (
            *("amd64", 11, 1 << 29, (0, 2 << 58 | 60 << 7 | 5, 7)),
            "EXC_RESOURCE / RESOURCE_TYPE_CPU / FLAVOR_CPU_MONITOR_FATAL"
            " interval: 60s CPU limit: 5% CPU consumed: 7%",
        ),
        (
            *("amd64", 11, 3 << 29, (0, 1 << 58 | 1400, 0)),
            "EXC_RESOURCE / RESOURCE_TYPE_MEMORY / FLAVOR_HIGH_WATERMARK high watermark limit: 1400MiB",
        ),
        (
            *("amd64", 11, 3 << 29, (0, 5, 6)),
            "EXC_RESOURCE / RESOURCE_TYPE_MEMORY / 0x0000000000000005 / 0x0000000000000006",
        ),
        ("amd64", 11, 7 << 29, (), "EXC_RESOURCE / 0xe0000000"),
        ("amd64", 12, 0, (), "EXC_GUARD / GUARD_TYPE_NONE"),
        (
            *("amd64", 12, 1 << 29, (0, 0x20 << 32 | 0x103, 0)),
            "EXC_GUARD / GUARD_TYPE_MACH_PORT / GUARD_EXC_IMMOVABLE port name: 259",
        ),
        (
            *("amd64", 12, 2 << 29, (0, 1 << 32 | 9, 77)),
            "EXC_GUARD / GUARD_TYPE_FD / GUARD_EXC_CLOSE file descriptor: 9 guard identifier: 77",
        ),
        (
            *("amd64", 12, 3 << 29, (0, 2, 3)),
            "EXC_GUARD / GUARD_TYPE_USER/ namespace: 2 guard identifier: 3",
        ),
        (
            *("amd64", 12, 6 << 29, (0, 0, 31)),
            "EXC_GUARD / GUARD_TYPE_REJECTED_SC / GUARD_EXC_MACH_TRAP syscall: 31",
        ),
    ],
)
def test_mach_exception_has_its_reason(
    cpu: str, kind: int, code: int, parameters: tuple[int, ...], reason: str
) -> None:
    assert explain("Mac OS X", kind, code, parameters, cpu)[0] == reason


def test_exception_of_another_system_is_a_number() -> None:
    assert explain("Solaris", 11, 1) == ("unknown 0x0000000b / 0x00000001", 0x1000)
