"""Reports of minidumps as JSON, written by hand."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def frame(number: int, **values: object) -> Report:
    return {"frame": number, "module": "shop", "module_offset": f"0x{number:016x}", "trust": "cfi", **values}


def crash_report() -> Report:
    """Return a report of a program with two threads that has called abort()."""
    frames = [
        frame(0, module="libc.so.6", function="abort", trust="context", module_offset="0x0000000000022e5d"),
        frame(
            1,
            function="checkout",
            file="/build/shop/cart.c",
            line=41,
            inlines=[{"function": "check_total", "file": "/build/shop/total.h", "line": 7}],
        ),
        frame(2, function="main", file="/build/shop/main.c", line=12),
        frame(3, module="libc.so.6", trust="scan", module_offset="0x0000000000027249"),
    ]
    waiting = frame(0, module="libc.so.6", function="poll", trust="context")
    return {
        "status": "OK",
        "pid": 4711,
        "process_uptime": 12,
        "crash_info": {
            "type": "SIGABRT",
            "address": "0x0000000000001267",
            "crashing_thread": 1,
            "assertion": "total >= 0",
        },
        "system_info": {
            "os": "Linux",
            "os_ver": "6.1.0",
            "cpu_arch": "amd64",
            "cpu_info": "family 6 model 85 stepping 7",
            "cpu_count": 2,
            "cpu_microcode_version": None,
        },
        "lsb_release": {"description": "Debian GNU/Linux 12"},
        "main_module": 0,
        "thread_count": 2,
        "threads": [
            {"thread_id": 4712, "thread_name": "worker", "frame_count": 1, "frames": [waiting]},
            {"thread_id": 4711, "thread_name": "shop", "frame_count": 4, "frames": frames},
        ],
        "crashing_thread": {
            "threads_index": 1,
            "thread_name": "shop",
            "last_error_value": None,
            "frame_count": 4,
            "frames": [
                {**frames[0], "registers": {"rax": "0x0000000000000000", "rip": "0x00007f0000022e5d"}},
                *frames[1:],
            ],
        },
        "modules": [
            module("shop", "DADBB96C91ED58F912FB09F7F2655E6F0", symbols="loaded"),
            module("libc.so.6", "C0BCC3F19827FE653058404B2831D9E60", symbols="missing"),
            module("libm.so.6", "59627B5D2255A375C17BD4C3FD05F5A60", symbols="unused"),
        ],
        "crashpad": {
            "simple_annotations": {"ver": "1.2"},
            "modules": [
                {
                    "module_index": 0,
                    "list_annotations": ["checkout began"],
                    "annotation_objects": {"cart": "7"},
                }
            ],
        },
        "warnings": ["The stream MemoryList is cut short"],
    }


def module(name: str, debug_id: str, **values: object) -> Report:
    return {
        "filename": name,
        "debug_file": name,
        "debug_id": debug_id,
        "base_addr": "0x0000555555554000",
        "end_addr": "0x0000555555559000",
        "version": None,
        **values,
    }
