"""System and processor on which a dump was written, in the words of rust-minidump."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump import SystemInfo
from tecken.symbolication.minidump.dump_bytes import DumpBytes, unpack

_SYSTEM_INFO: Final = 7
# Architecture, level, revision, number of processors, product; version, platform, RVA of the build.
_LAYOUT: Final = Struct("<HHHBB5I4x24s")
_ARM_DETAILS: Final = Struct("<II")
_SYSTEMS: Final = {
    **dict.fromkeys((2, 3), "Windows NT"),
    **{0x8101: "Mac OS X", 0x8102: "iOS", 0x8201: "Linux", 0x8202: "Solaris", 0x8203: "Android"},
    **{0x8204: "PS3", 0x8205: "NaCl"},
}
_LINUX: Final = 0x8201
_CPUS: Final = {
    **{0: "x86", 1: "mips", 3: "ppc", 5: "arm", 9: "amd64", 10: "x86", 12: "arm64"},
    **{0x8001: "sparc", 0x8002: "ppc64", 0x8003: "arm64", 0x8004: "mips64"},
}
_ARM_VENDORS: Final = {0x41: "ARM", 0x51: "Qualcomm", 0x56: "Marvell", 0x69: "Intel/Marvell"}
# Part numbers with their vendor, as in the processor's main id register.
_ARM_PARTS: Final = {
    **{0x4100C050: "Cortex-A5", 0x4100C080: "Cortex-A8", 0x4100C090: "Cortex-A9", 0x4100C0F0: "Cortex-A15"},
    **{0x4100C140: "Cortex-R4", 0x4100C150: "Cortex-R5", 0x4100B360: "ARM1136", 0x4100B560: "ARM1156"},
    **{0x4100B760: "ARM1176", 0x4100B020: "ARM11-MPCore", 0x41009260: "ARM926", 0x41009460: "ARM946"},
    **{0x41009660: "ARM966", 0x510006F0: "Krait", 0x510000F0: "Scorpion"},
}
# Bits of Linux's HWCAP, from the lowest on.
_ARM_FEATURES: Final = (
    *("swp", "half", "thumb", "26bit", "fastmult", "fpa", "vfpv2", "edsp", "java", "iwmmxt", "crunch"),
    *("thumbee", "neon", "vfpv3", "vfpv3d16", "tls", "vfpv4", "idiva", "idivt"),
)
# Bits that have no name here. With one of these alone, rust-minidump writes the heading of an empty list.
_ARM_KNOWN: Final = (1 << 22) - 1

POINTER_BYTES: Final = dict.fromkeys(("x86", "mips", "ppc", "sparc", "arm"), 4)
"""Size of a pointer by `SystemInfo.cpu`; that of any other processor is 8."""


def hex_address(address: int, cpu: str) -> str:
    """Return an address with all digits of a pointer of the processor."""
    return f"{address:#010x}" if POINTER_BYTES.get(cpu) == 4 else f"{address:#018x}"


class SystemRecord(NamedTuple):
    """System info, and the processor architecture of the dump, which decides the layout of contexts."""

    info: SystemInfo
    architecture: int


def read_system(dump: DumpBytes) -> SystemRecord:
    """Return the system. Raises Malformed."""
    values = unpack(_LAYOUT, dump.require_stream(_SYSTEM_INFO, "system info"))
    architecture, level, revision, count, _, major, minor, build, platform, build_rva, details = values
    cpu = _CPUS.get(architecture, "unknown")
    version = _version(f"{major}.{minor}.{build}", platform, dump.text(build_rva) or "")
    return SystemRecord(
        SystemInfo(
            _SYSTEMS.get(platform, f"0x{platform:#08x}"),
            version,
            cpu,
            _cpu_text(cpu, level, revision, details),
            count,
        ),
        architecture,
    )


def _version(version: str, platform: int, build: str) -> str:
    """Return the version with the build.

    Crash handlers write Linux's version as 0.0.0, and `uname -srvmo` as the build: "Linux <version> <build>
    <machine>", and maybe "Linux/GNU".
    """
    parts = build.split(" ")
    if platform == _LINUX and version == "0.0.0" and len(parts) > 1 and parts[1] != "0.0.0":
        rest = parts[2:-1]
        if parts[-1] == "Linux/GNU":
            rest = rest[:-1]
        return f"{parts[1]} {' '.join(rest)}"
    return f"{version} {build.strip()}" if build.strip() else version


def _cpu_text(cpu: str, level: int, revision: int, details: bytes) -> str | None:
    if cpu in ("x86", "amd64"):
        vendor = f"{details[:12].decode('latin-1')} " if cpu == "x86" else ""
        return f"{vendor}family {level} model {revision >> 8} stepping {revision & 0xFF}"
    return _arm_text(level, *_ARM_DETAILS.unpack_from(details)) if cpu == "arm" else None


def _arm_text(level: int, cpuid: int, features: int) -> str:
    text = f"ARMv{level}"
    if cpuid:
        vendor, part = cpuid >> 24, cpuid & 0xFF00_FFF0
        text += f" {_ARM_VENDORS.get(vendor, f'vendor({vendor:#x})')}"
        text += f" {_ARM_PARTS.get(part, f'part({part:#x})')}"
    if features & _ARM_KNOWN:
        names = [name for bit, name in enumerate(_ARM_FEATURES) if features >> bit & 1]
        text += f" features: {','.join(names)}"
    return text
