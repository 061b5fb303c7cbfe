from __future__ import annotations

import shlex
from typing import Any

import pytest

from tecken.symbolication.remedies import ModuleFacts, find_remedy

SITE = "https://symbols.example.com"
UPLOAD = f"tecken-upload --url {SITE} libfoo.so"
CHECK = "tecken-upload check libfoo.so"
EXPLAIN = "/explain/libfoo.so/ID/"
FACTS = ModuleFacts("libfoo.so", "A" * 33, explain=EXPLAIN)
SEARCHED: dict[str, Any] = {"results": frozenset({"absent"}), "was_uploaded": False}


@pytest.mark.parametrize(
    ("known", "cause", "help_"),
    [
        (SEARCHED, "never uploaded", UPLOAD),
        ({"was_uploaded": False}, "never uploaded", UPLOAD),
        ({"results": frozenset({"absent"})}, "absent", UPLOAD),
        ({**SEARCHED, "was_uploaded": True}, "removed", UPLOAD),
        ({**SEARCHED, "has_other_builds": True}, "wrong id", UPLOAD),
        ({**SEARCHED, "other_age": "A" * 32 + "1"}, "different age", UPLOAD),
        ({**SEARCHED, "only_try": True}, "only try builds", UPLOAD),
        ({**SEARCHED, "is_unfinished": True}, "unfinished upload", UPLOAD),
        ({"debug_id": ""}, "no id", CHECK),
        ({"debug_file": ""}, "no name", "tecken-upload check FILE"),
        ({"problem": "BadModule", "reason": "no hex"}, "no module", ""),
        ({"problem": "Pending", "reason": "wait"}, "not ready", EXPLAIN),
        ({"problem": "Throttled", "reason": "429"}, "throttled", EXPLAIN),
        ({"problem": "CouldNotAsk", "reason": "500"}, "no answer", EXPLAIN),
        (
            {"problem": "CouldNotAsk", "results": frozenset({"throttled", "absent"})},
            "throttled",
            EXPLAIN,
        ),
        ({"problem": "Malformed", "reason": "the symbol file is of another build: 1"}, "wrong id", UPLOAD),
        ({"problem": "Malformed", "reason": "it has no MODULE record"}, "malformed", CHECK),
        (
            {"problem": "Malformed", "reason": "symbol file is longer than 5 bytes"},
            "too large",
            "/config/#symbol_max_bytes",
        ),
        ({"results": frozenset({"too large"})}, "too large", "/config/#symbol_max_bytes"),
        ({"results": frozenset({"off", "absent"})}, "switched off", "/config/#sources_off"),
        ({"results": frozenset({"denied", "absent"})}, "refused by the upstream", UPLOAD),
        ({"results": frozenset({"refused"})}, "malformed", UPLOAD),
        ({"results": frozenset({"unreachable"})}, "no answer", EXPLAIN),
        ({"is_stored": True}, "not used yet", EXPLAIN),
        ({"is_found": True, "only_executable": True}, "only the executable", UPLOAD),
    ],
)
def test_find_remedy_names_cause_and_one_step(known: dict[str, Any], cause: str, help_: str) -> None:
    remedy = find_remedy(FACTS._replace(**known), SITE)
    assert remedy
    assert (remedy.cause, remedy.command or remedy.link) == (cause, help_)
    assert not (remedy.command and remedy.link)
    assert not remedy.text.endswith(".")


def test_find_remedy_of_module_with_symbols_is_none() -> None:
    assert find_remedy(FACTS._replace(is_found=True), SITE) is None


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("a b.so", "a b.so"),
        ("$(reboot); `x`'\".so", "$(reboot); `x`'\".so"),
        ("--token-file", "./--token-file"),
        ("a\u202eb.so", "FILE"),
        ("a\nb", "FILE"),
        ("x" * 10_000, "FILE"),
    ],
)
def test_find_remedy_command_has_hostile_name_as_one_argument(name: str, argument: str) -> None:
    remedy = find_remedy(FACTS._replace(debug_file=name, **SEARCHED), SITE)
    assert remedy
    assert shlex.split(remedy.command) == ["tecken-upload", "--url", SITE, argument]
