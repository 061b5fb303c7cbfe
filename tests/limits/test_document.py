"""docs/limits.md says what is so."""

from __future__ import annotations

import re

import orjson

from tecken.limits.port import LimitStatus, parse_limit, policy_header, status_header
from tecken.runtimeconfig.options import CATALOGUE, find_option
from tecken.settings import BASE_DIR
from tecken.web.api.usage import UsageResponse

TEXT = (BASE_DIR / "docs" / "limits.md").read_text()
SETS = re.findall(r'^\$ python manage.py config set (\w+) "(.*)"$', TEXT, re.MULTILINE)


def test_documented_limits_are_valid() -> None:
    assert len(SETS) == 3
    for option, text in SETS:
        assert find_option(option).parse(text)


def test_documented_options_have_their_defaults() -> None:
    options = [option for option in CATALOGUE.values() if option.group == "Limits"]
    for option in options:
        if not option.name.endswith("_without_redis"):
            assert f"| `{option.name}` |" in TEXT
    defaults = {o.name: o.default for o in options if o.name.endswith("_without_redis")}
    assert [name for name, default in defaults.items() if default != "open"] == ["limit_upload_without_redis"]
    assert defaults["limit_upload_without_redis"] == "closed"


def test_documented_headers_are_those_of_the_site() -> None:
    statuses = [
        LimitStatus(parse_limit("600 requests/minute per address"), 599, 0.1),
        LimitStatus(parse_limit("2000000 frames/day per token"), 1_999_960, 61_234.5),
    ]
    assert f"RateLimit-Policy: {policy_header(statuses)}\nRateLimit: {status_header(statuses)}\n" in TEXT


def test_documented_json_is_that_of_the_site() -> None:
    refused, usage = (orjson.loads(text) for text in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
    assert set(refused) == {"error", "violated-policies"}
    assert UsageResponse.model_validate(usage).model_dump(mode="json") == usage


def test_documented_tests_exist() -> None:
    tests = "".join(path.read_text() for path in (BASE_DIR / "tests").rglob("test_*.py"))
    assert {name for name in re.findall(r"`(test_\w+)`", TEXT) if f"def {name}(" not in tests} == set()
