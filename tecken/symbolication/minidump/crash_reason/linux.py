"""Signals of Linux and Android, with the reasons in si_code.

Source: the kernel's `asm-generic/siginfo.h` and `signal.h`.
"""

from __future__ import annotations

from typing import Final

# Signals from 1 on.
_SIGNALS: Final = dict(
    enumerate(
        (
            *("SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL"),
            *("SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD"),
            *("SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ"),
            *("SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS"),
        ),
        start=1,
    )
) | {0xFFFF_FFFF: "DUMP_REQUESTED"}
# Reasons that belong to a signal, from 1 on.
_SIGNAL_CODES: Final = {
    "SIGILL": (
        *("ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC", "ILL_PRVREG", "ILL_COPROC"),
        *("ILL_BADSTK", "ILL_BADIADDR"),
    ),
    "SIGTRAP": ("TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT", "TRAP_UNK", "TRAP_PERF"),
    "SIGFPE": (
        *("FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV"),
        "FPE_FLTSUB",
    ),
    "SIGSEGV": ("SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR"),
    "SIGBUS": ("BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"),
    "SIGSYS": ("SYS_SECCOMP", "SYS_USER_DISPATCH"),
}
# Reasons of any signal: who sent it.
_SENDERS: Final = {
    **{0x80: "SI_KERNEL", -1: "SI_QUEUE", -2: "SI_TIMER", -3: "SI_MESGQ", -4: "SI_ASYNCIO", -5: "SI_SIGIO"},
    **{-6: "SI_TKILL", -7: "SI_DETHREAD", -60: "SI_ASYNCNL"},
}


def explain_signal(signal: int, code: int) -> str | None:
    """Return a signal with its reason, such as "SIGSEGV / SEGV_MAPERR"; None if it is unknown."""
    name = _SIGNALS.get(signal)
    if name is None:
        return None
    # A signal of kill() has no reason.
    if not code:
        return name
    codes = _SIGNAL_CODES.get(name, ())
    if code <= len(codes):
        return f"{name} / {codes[code - 1]}"
    signed = code - (1 << 32) if code >> 31 else code
    return f"{name} / {_SENDERS.get(signed, f'{code:#010x}')}"
