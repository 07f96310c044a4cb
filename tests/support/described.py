"""Checks an API against its OpenAPI description, with schemathesis."""

import os

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi

from support.waiting import TIMEOUT

NIGHTLY = os.environ.get("NOZZLED_PROFILE") == "nightly"
USUAL = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

# whether odd data is refused is not checked: the API ignores unknown keys, since clients of OctoPrint send them
CHECKS = (
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.unsupported_method,
)


def addresses(description):
    """Return each path with each method but HEAD, which is GET without the body."""
    return [(path, method) for path, item in description["paths"].items() for method in item if method != "head"]


def call(case, url, key):
    """Send a request that fits the description, and check the answer against it."""
    case.call_and_validate(base_url=url, headers={"X-Api-Key": key}, checks=CHECKS, timeout=TIMEOUT)


def send_two(description, path, method, url, key):
    """Send two requests to an address: more show hardly anything new."""

    @given(schemathesis.openapi.from_dict(description)[path][method.upper()].as_strategy())
    @settings(max_examples=2, derandomize=True, **USUAL)
    def send(case):
        call(case, url, key)

    send()
