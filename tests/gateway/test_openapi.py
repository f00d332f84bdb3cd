"""The served OpenAPI document: complete, valid, and true under schemathesis' requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from gateway_site import OPERATOR, TOKEN, Site, make_site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.client import PreparedReading
from protocol.errors import InvalidSignatureBase
from protocol.readings import SignedReading
from protocol.signature_base import signature_base

# Positive data is refused for good reason (nobody can guess a signature): that check alone is left out.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = make_site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


OPERATIONS = [
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/v1/devices"),
    ("GET", "/v1/devices/{device}"),
    ("POST", "/v1/devices/{device}/status"),
    ("POST", "/v1/devices/{device}/grants"),
    ("POST", "/v1/readings"),
    ("POST", "/v1/readings/batch"),
    ("GET", "/v1/records/{record}"),
    ("GET", "/v1/records/{record}/content"),
    ("GET", "/v1/records/{record}/proof"),
    ("GET", "/v1/chains"),
    ("GET", "/v1/chains/{chain}/anchors"),
    ("GET", "/v1/chains/{chain}/anchors/{number}"),
    ("GET", "/v1/chains/{chain}/elements/{number}/membership"),
    ("GET", "/v1/chains/{chain}/anchors/{number}/witnesses"),
    ("PUT", "/v1/chains/{chain}/anchors/{number}/witnesses"),
    ("DELETE", "/v1/chains/{chain}/anchors/{number}/witnesses"),
    ("GET", "/v1/models/{run}/lineage"),
    ("POST", "/v1/inferences"),
]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_that_the_document_suggests_breaks_the_gateway(
    site: Site, method: str, path: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", site.app)
    strategy = schema[path][method].as_strategy(generation_mode=mode)

    # A batch is answered reading by reading: a bad one does not refuse the request.
    checks = [check for check in CHECKS if check is not negative_data_rejection or "batch" not in path]

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def run(case: Case) -> None:
        # With the token, so that what lies behind it is reached; without it every request is a 401.
        case.call_and_validate(checks=checks, headers=OPERATOR)

    try:
        run()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "nothing valid can be asked"


def test_what_an_operator_alone_may_do_is_marked_and_refused_to_all_others(site: Site) -> None:
    document = site.http.get("/openapi.json").get_json()
    scheme = document["components"]["securitySchemes"]["operator"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    marked = {
        (method.upper(), path): operation["security"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("security")
    }
    witnesses = "/v1/chains/{chain}/anchors/{number}/witnesses"
    guarded = [("POST", "/v1/inferences"), ("PUT", witnesses), ("DELETE", witnesses)]
    assert marked == {key: [{"operator": []}] for key in guarded}
    assert TOKEN not in site.http.get("/openapi.json").get_data(as_text=True)

    schema = schemathesis.openapi.from_wsgi("/openapi.json", site.app)
    for method, path in guarded:
        described = document["paths"][path][method.lower()]["responses"]["401"]
        assert described["headers"]["WWW-Authenticate"]["required"] is True

        @settings(max_examples=15, deadline=None, derandomize=True, database=None)
        @given(case=schema[path][method].as_strategy())
        def run(case: Case) -> None:
            response = case.call()
            assert response.status_code == 401, response.text
            case.validate_response(response, checks=[*CHECKS, ignored_auth])

        run()


def test_the_document_names_every_address(site: Site) -> None:
    document = site.http.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    served = {
        (method.lower(), rule.rule.replace("<", "{").replace(">", "}"))
        for rule in site.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(method, path) for path, item in document["paths"].items() for method in item}
    assert served - described == {("get", "/openapi.json")}
    assert described == {(method.lower(), path) for method, path in OPERATIONS}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (method, path)
            assert "default" in operation["responses"], (method, path)


def test_every_reference_of_the_document_leads_somewhere(site: Site) -> None:
    document = site.http.get("/openapi.json").get_json()

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for entry in value.values():
                yield from references(entry)
        elif isinstance(value, list):
            for entry in value:
                yield from references(entry)

    found = set(references(document))
    assert found
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"], reference


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    data=st.binary(max_size=64),
    content_type=st.text(max_size=140) | st.sampled_from(["text/plain", "a/b; c=d", 'a/b; c="\\"']),
    created=st.integers(-(2**53), 2**53) | st.just(0),
    nonce=st.text(max_size=70),
    keyid=st.text(max_size=40) | st.sampled_from(["sensor-1", "sensor-1@", "sensor-1@gw", "@"]),
)
def test_whatever_a_device_signs_is_answered(
    site: Site, data: bytes, content_type: str, created: int, nonce: str, keyid: str
) -> None:
    """Signed as far as it can be, so that it comes past the gate; in a batch, where no header hides it."""
    key = site.keys["sensor-1"]
    good = site.sign(data).reading
    reading = SignedReading(
        "sensor-1", keyid, key.algorithm, created, nonce, good.content_digest, content_type, bytes(64)
    )
    try:
        signature = key.sign(signature_base("edge-a", reading))
    except InvalidSignatureBase:
        signature = bytes(64)
    item = PreparedReading("edge-a", reading, data, "k").item() | {"signature": signature.hex()}
    del item["idempotency_key"]
    response = site.http.post("/v1/readings/batch", json={"readings": [item]})
    if response.status_code == 200:
        (answer,) = response.get_json()["answers"]
        assert answer["status"] == "recorded" or answer["problem"]["status"] < 500, answer
    else:
        assert response.status_code == 400, response.get_data()  # an integer or text that is no JSON of ours
