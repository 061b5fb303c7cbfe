"""Causes of a crash in words: the codes of Windows, the signals of Linux, the exceptions of macOS.

The texts are those of rust-minidump and of Breakpad, because crash pipelines group crashes by them.
"""

from __future__ import annotations

from tecken.symbolication.minidump.crash_reason.linux import explain_signal
from tecken.symbolication.minidump.crash_reason.macos import explain_mach_exception
from tecken.symbolication.minidump.crash_reason.windows import explain_windows_exception, has_fault_address
from tecken.symbolication.minidump.dump import CrashInfo
from tecken.symbolication.minidump.exception import ExceptionRecord
from tecken.symbolication.minidump.system_info import POINTER_BYTES


def explain_crash(exception: ExceptionRecord, os: str, cpu: str) -> CrashInfo:
    """Return the reason of a crash, and the address in question."""
    reason = None
    address = exception.address
    if os == "Windows NT":
        reason = explain_windows_exception(exception)
        if has_fault_address(exception):
            address = exception.parameters[1]
    elif os in ("Mac OS X", "iOS"):
        reason = explain_mach_exception(exception, cpu)
    elif os in ("Linux", "Android"):
        reason = explain_signal(exception.code, exception.flags)
    if POINTER_BYTES.get(cpu) == 4:
        # Some writers extend the sign of an address of 32 bits.
        address &= 0xFFFF_FFFF
    return CrashInfo(reason or f"unknown {exception.code:#010x} / {exception.flags:#010x}", address)
