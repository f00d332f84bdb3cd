"""Every error is a problem document, the framework's own included."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from gateway_site import BACKENDS, Site, check_problem, site_on

from ledger.errors import ContractRefused, CorruptLedger, Unavailable


@pytest.fixture(scope="module", params=BACKENDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request, tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.mark.parametrize(
    "address", ["/", "/v1", "/v1/", "/v1/records/", "/v1/nothing", "//v1/chains", "/v1/chains/", "/%00", "/é"]
)
def test_unknown_addresses(site: Site, address: str) -> None:
    check_problem(site.http.get(address), "not-found")


def test_wrong_methods_say_which_are_right(site: Site) -> None:
    response = site.http.delete("/v1/devices")
    check_problem(response, "method-not-allowed")
    assert "POST" in response.headers["Allow"]
    check_problem(site.http.get("/v1/readings"), "method-not-allowed")
    check_problem(site.http.put("/v1/readings/batch"), "method-not-allowed")


@pytest.mark.parametrize(
    ("content_type", "body", "slug"),
    [
        (None, b"{}", "unsupported-media-type"),
        ("text/plain", b"{}", "unsupported-media-type"),
        ("application/jsonx", b"{}", "unsupported-media-type"),
        ("application/json", b"", "malformed-json"),
        ("application/json", b"nope", "malformed-json"),
        ("application/json", b'{"a":NaN}', "malformed-json"),
        ("application/json", b'"\\ud800"', "malformed-json"),
        ("application/json", b"null", "invalid-request"),
        ("application/json", b"[]", "invalid-request"),
        ("application/json", b'{"device":"\\ud800"}', "malformed-json"),
    ],
)
def test_bodies_that_are_none(site: Site, content_type: str | None, body: bytes, slug: str) -> None:
    check_problem(site.http.post("/v1/devices", data=body, content_type=content_type), slug)


def test_a_body_beyond_the_limit_is_413(site: Site) -> None:
    body = b" " * (16 * 1024 * 1024 + 1)
    declared = site.http.post("/v1/devices", data=body, content_type="application/json")
    assert f"more than {len(body) - 1} bytes" in check_problem(declared, "too-large")["detail"]
    chunked = site.http.post(
        "/v1/devices",
        input_stream=io.BytesIO(body),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert f"more than {len(body) - 1} bytes" in check_problem(chunked, "too-large")["detail"]


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (Unavailable("away"), "ledger-unavailable"),
        (CorruptLedger("damaged"), "ledger-unavailable"),
        (ContractRefused("internal-error", "oops", 500), "internal-error"),
        (ContractRefused("novel", "what is this", 409), "conflict"),
        (ContractRefused("novel", "what is this", 400), "refused-by-contract"),
        (RuntimeError("secret of the house"), "internal-error"),
    ],
)
def test_faults_behind_the_gateway_tell_no_secrets(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, slug: str
) -> None:
    def evaluate(message: object) -> bytes:
        raise error

    monkeypatch.setattr(site.ledger, "evaluate", evaluate, raising=False)
    problem = check_problem(site.http.get("/v1/devices/sensor-1"), slug)
    assert "secret" not in str(problem)
    assert "Traceback" not in str(problem)


def test_invented_methods_are_refused_and_counted_as_one(site: Site) -> None:
    for number in range(5):
        response = site.http.open("/v1/chains", method=f"INVENTED{number}")
        check_problem(response, "method-not-allowed")
    text = site.http.get("/metrics").get_data(as_text=True)
    assert "INVENTED" not in text
    assert 'method="other"' in text


def test_a_chain_that_is_away_makes_the_gateway_unready(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def information() -> object:
        raise Unavailable("away")

    monkeypatch.setattr(site.ledger, "information", information, raising=False)
    check_problem(site.http.get("/readyz"), "not-ready")
    assert site.http.get("/livez").status_code == 200
