from __future__ import annotations

import io
from pathlib import Path

import orjson
import pytest
from django.core.management.base import CommandError
from pytest_django import Settings

from tests.management.conftest import SAMPLES, Manage
from tests.support.redis_server import free_port

STACK = str(SAMPLES / "stack.json")


def test_symbolicate_stack_prints_it_as_a_debugger_does(manage: Manage) -> None:
    lines = manage("symbolicate", STACK).splitlines()
    assert lines[0] == "stack 0"
    assert lines[1].startswith("   0  libcrash-rs.so  ")
    assert any(line.endswith("(inlined)") for line in lines)
    assert lines[-3].strip().startswith("main + 0x")
    assert lines[-1] == "libc.so.6/EC61AC938E5A39B16F9FBD350E3169A50: no source has symbols for it"


def test_symbolicate_with_json_prints_the_response_of_the_api(manage: Manage) -> None:
    answer = orjson.loads(manage("symbolicate", "--json", STACK))
    (result,) = answer["results"]
    assert result["found_modules"]["crash-c/DADBB96C91ED58F912FB09F7F2655E6F0"] is True
    assert result["found_modules"]["libc.so.6/EC61AC938E5A39B16F9FBD350E3169A50"] is False
    assert result["stacks"][0][0]["function"]


def test_symbolicate_single_job_is_accepted(manage: Manage, tmp_path: Path) -> None:
    request = orjson.loads(Path(STACK).read_bytes())
    job = tmp_path / "job.json"
    job.write_bytes(orjson.dumps(request["jobs"][0]))
    assert manage("symbolicate", str(job)) == manage("symbolicate", STACK)


def test_symbolicate_dash_reads_standard_input(manage: Manage, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(Path(STACK).read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert manage("symbolicate", "-").startswith("stack 0\n")


def test_symbolicate_without_redis_succeeds(manage: Manage, house: Settings) -> None:
    nowhere = {"LOCATION": f"redis://127.0.0.1:{free_port()}/0"}
    house.CACHES = {alias: cache | nowhere for alias, cache in house.CACHES.items()}
    assert "main + 0x" in manage("symbolicate", STACK)


def test_symbolicate_malformed_module_prints_the_reason(
    manage: Manage, house: Settings, tmp_path: Path
) -> None:
    broken = tmp_path / "upstream" / "crash-c" / "DADBB96C91ED58F912FB09F7F2655E6F0" / "crash-c.sym"
    broken.parent.mkdir(parents=True)
    broken.write_text("MODULE Linux x86_64 000000000000000000000000000000000 crash-c\nFUNC 10 10 0 f\n")
    house.SYMBOL_SOURCES = [f"file://{tmp_path}/upstream"]
    lines = manage("symbolicate", STACK).splitlines()
    (why,) = (line for line in lines if line.startswith("crash-c/"))
    assert "another build" in why


@pytest.mark.parametrize(
    ("content", "message"), [("{", "Invalid JSON passed in"), ("[]", "Not a dict"), ("{}", "Missing key")]
)
def test_symbolicate_invalid_request_fails_with_one_line(
    manage: Manage, tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "request.json"
    file.write_text(content)
    with pytest.raises(CommandError, match=message):
        manage("symbolicate", str(file))


def test_symbolicate_missing_file_fails_with_its_name(manage: Manage) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.json: No such file or directory"):
        manage("symbolicate", "nowhere.json")
