"""`/api/openapi.json`: a valid OpenAPI 3.1 document, and an API that keeps to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tecken.runtimeconfig import service
from tecken.web.api.site import api
from tests.support.options import Override
from tests.web.api.people import key_of, person

DOCUMENT: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
SCHEMA = schemathesis.openapi.from_wsgi("/api/openapi.json", WSGIHandler())
SCHEMA.config.generation.update(with_security_parameters=False)  # each request has a token of ours
# Each operation gets as many requests of either kind, which takes some seconds for all of them.
EXAMPLES = 6
PERMISSIONS = (
    *("tokens.manage_tokens", "upload.upload_symbols", "upload.view_all_uploads"),
    *("runtimeconfig.change_option", "runtimeconfig.view_option", "limits.view_usage"),
)


@pytest.fixture
def kept_connection() -> Iterator[None]:
    """Keep the test's connection at the end of a request, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def can_be_wrong(operation: dict[str, Any]) -> bool:
    """Whether a request can break a rule: any text will do for a parameter that is a text."""
    schemas = [parameter["schema"] for parameter in operation["parameters"]]
    return "requestBody" in operation or any(
        set(schema) - {"title"} != {"type"} or schema["type"] != "string" for schema in schemas
    )


OPERATIONS = [
    (path, method, mode)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or can_be_wrong(operation)
]


def test_description_is_valid_openapi(client: Client) -> None:
    assert client.get("/api/openapi.json").json() == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


@pytest.mark.django_db
@pytest.mark.usefixtures("kept_connection")
@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_operation_keeps_to_its_description(
    path: str, method: str, mode: GenerationMode, runtime_options: Override
) -> None:
    """For valid and invalid requests: no 5xx, and only the statuses, headers and shapes of the document."""
    # Invalid requests are to be refused for what is wrong with them, and not for their number or size.
    runtime_options(failed_tokens=1_000_000, symbolicate_max_jobs=1000, minidump_deadline_seconds=0)
    user = person("everything@example.com", *PERMISSIONS)

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],  # the first failure is told as it is: to shrink one takes minutes
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=SCHEMA[path][method].as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case[Any]) -> None:
        # The token is a new one, for an operation may have deleted the last. The client unpacks nothing.
        headers = {"Auth-Token": key_of(user), "Accept-Encoding": "identity"}
        try:
            case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
        finally:
            service.end_maintenance("full")
            service.end_maintenance("uploads")

    check()
