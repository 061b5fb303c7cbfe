"""Exceptions and errors of Windows: exception codes, NTSTATUS, Win32 errors, and codes of fast fails.

Names of codes are in `windows_codes.txt`, which `bench/windows_codes.py` makes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from tecken.symbolication.minidump.exception import ExceptionRecord

# Codes that have a name as exceptions, which is preferred to the name of the same NTSTATUS.
_EXCEPTIONS: Final = {
    0x8000_0001: "EXCEPTION_GUARD_PAGE",
    0x8000_0002: "EXCEPTION_DATATYPE_MISALIGNMENT",
    0x8000_0003: "EXCEPTION_BREAKPOINT",
    0x8000_0004: "EXCEPTION_SINGLE_STEP",
    0xC000_0005: "EXCEPTION_ACCESS_VIOLATION",
    0xC000_0006: "EXCEPTION_IN_PAGE_ERROR",
    0xC000_0008: "EXCEPTION_INVALID_HANDLE",
    0xC000_001D: "EXCEPTION_ILLEGAL_INSTRUCTION",
    0xC000_0025: "EXCEPTION_NONCONTINUABLE_EXCEPTION",
    0xC000_0026: "EXCEPTION_INVALID_DISPOSITION",
    0xC000_008C: "EXCEPTION_BOUNDS_EXCEEDED",
    0xC000_008D: "EXCEPTION_FLT_DENORMAL_OPERAND",
    0xC000_008E: "EXCEPTION_FLT_DIVIDE_BY_ZERO",
    0xC000_008F: "EXCEPTION_FLT_INEXACT_RESULT",
    0xC000_0090: "EXCEPTION_FLT_INVALID_OPERATION",
    0xC000_0091: "EXCEPTION_FLT_OVERFLOW",
    0xC000_0092: "EXCEPTION_FLT_STACK_CHECK",
    0xC000_0093: "EXCEPTION_FLT_UNDERFLOW",
    0xC000_0094: "EXCEPTION_INT_DIVIDE_BY_ZERO",
    0xC000_0095: "EXCEPTION_INT_OVERFLOW",
    0xC000_0096: "EXCEPTION_PRIV_INSTRUCTION",
    0xC000_00FD: "EXCEPTION_STACK_OVERFLOW",
    0xC000_0194: "EXCEPTION_POSSIBLE_DEADLOCK",
    # Chromium's allocators raise it.
    0xE000_0008: "Out of Memory",
    # Visual C++ raises it for `throw`: "msc" with the top bits of an error of software.
    0xE06D_7363: "Unhandled C++ Exception",
    # .NET raises it: "CCR".
    0xE043_4352: "MANAGED_EXCEPTION_CODE_V4",
    # Crashpad raises it for a dump without a crash.
    0x0517_A7ED: "Simulated Exception",
}
_ACCESS_VIOLATION: Final = 0xC000_0005
_IN_PAGE_ERROR: Final = 0xC000_0006
_STACK_BUFFER_OVERRUN: Final = 0xC000_0409
_ACCESSES: Final = {0: "READ", 1: "WRITE", 8: "EXEC"}
# Facilities of HRESULTs whose last 16 bits are a Win32 error; those that crashes have.
_FACILITIES: Final = {109: "FACILITY_VISUALCPP"}
_WIN32, _STATUS, _FAST_FAIL = "WSF"


def explain_windows_exception(exception: ExceptionRecord) -> str:
    """Return the name of an exception, with the kind of access or the cause that its parameters have."""
    code, parameters = exception.code, exception.parameters
    access = _ACCESSES.get(parameters[0])
    if code == _ACCESS_VIOLATION and exception.parameter_count >= 1 and access:
        return f"EXCEPTION_ACCESS_VIOLATION_{access}"
    if code == _IN_PAGE_ERROR and exception.parameter_count >= 3 and access:
        return f"EXCEPTION_IN_PAGE_ERROR_{access} / {_name(_STATUS, parameters[2])}"
    if code == _STACK_BUFFER_OVERRUN and exception.parameter_count >= 1:
        return f"EXCEPTION_STACK_BUFFER_OVERRUN / {_name(_FAST_FAIL, parameters[0])}"
    return _EXCEPTIONS.get(code) or explain_windows_error(code)


def has_fault_address(exception: ExceptionRecord) -> bool:
    """Return whether the second parameter is the address that was accessed."""
    return exception.code in (_ACCESS_VIOLATION, _IN_PAGE_ERROR) and exception.parameter_count >= 2


def explain_windows_error(code: int) -> str:
    """Return the name of an error, as of GetLastError(): a Win32 error, an NTSTATUS, or an HRESULT."""
    name = _find(_WIN32, code) or _find(_STATUS, code)
    if name:
        return name
    facility = _FACILITIES.get(code >> 16 & 0xFFF)
    error = _find(_WIN32, code & 0xFFFF)
    # The top bits say that it is an error.
    if code >> 28 and facility and error:
        return f"{facility} / {error}"
    return f"unknown {code:#010x}"


def _name(kind: str, code: int) -> str:
    """Return the name of the last 32 bits of a parameter, or their digits."""
    code &= 0xFFFF_FFFF
    return _find(kind, code) or f"{code:#010x}"


def _find(kind: str, code: int) -> str | None:
    """Return the name of a code of a kind."""
    text = load_codes()
    start = text.find(f"\n{kind}{code:x} ")
    return text[text.index(" ", start) + 1 : text.index("\n", start + 1)] if start >= 0 else None


@cache
def load_codes() -> str:
    """Return the lines "<kind><code> <name>". A process that may open no files has to call this before."""
    return "\n" + (Path(__file__).parent / "windows_codes.txt").read_text()
