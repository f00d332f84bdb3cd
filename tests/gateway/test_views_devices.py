"""Devices over REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateway_site import BACKENDS, CHAIN, Site, check_problem, site_on

from chaincode.api import DeviceStatus
from gateway.client import enrolment, grant, status_change
from identity import KeyPair
from protocol.encodings import to_json


@pytest.fixture(scope="module", params=BACKENDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request, tmp_path_factory.mktemp("site")) as made:
        yield made


def below(message: Any) -> Any:
    """The body of a request whose device stands in its address."""
    fields = to_json(message)
    assert isinstance(fields, dict)
    return {name: value for name, value in fields.items() if name != "device"}


def test_a_device_lives_and_ends_over_rest(site: Site) -> None:
    key = KeyPair.generate()
    site.keys["life"] = key
    body = to_json(enrolment(CHAIN, "life", key, site.owner, site.owner_key))
    response = site.http.post("/v1/devices", json=body)
    assert response.status_code == 201
    assert response.headers["Location"] == "/v1/devices/life"
    assert response.get_json() == site.http.get("/v1/devices/life").get_json()
    assert response.get_json()["status"] == "active"
    assert site.post(site.sign(b"x", "life")).status_code == 201
    for sequence, status in ((2, "suspended"), (3, "active"), (4, "retired")):
        change = status_change(CHAIN, "life", DeviceStatus(status), sequence, site.owner_key)
        response = site.http.post("/v1/devices/life/status", json=below(change))
        assert response.status_code == 200
        assert response.get_json()["status"] == status
        answer = site.post(site.sign(b"x", "life"))
        assert answer.status_code == (201 if status == "active" else 403)
    check_problem(site.http.post("/v1/devices", json=body), "already-exists")
    change = status_change(CHAIN, "life", DeviceStatus.ACTIVE, 5, site.owner_key)
    check_problem(site.http.post("/v1/devices/life/status", json=below(change)), "conflict")


def test_a_grant_is_given_and_taken_back(site: Site) -> None:
    site.enrol("tiny")
    key = KeyPair.generate()
    for sequence, active, status in ((1, True, 201), (2, False, 403), (3, True, 201)):
        message = grant(CHAIN, "tiny", "gw-1", key, site.owner_key, active=active, sequence=sequence)
        response = site.http.post("/v1/devices/tiny/grants", json=below(message))
        assert response.status_code == 200
        assert response.get_json()["active"] is active
        assert site.post(site.sign(b"x", "tiny", signer=key, gateway="gw-1")).status_code == status


def test_nobody_but_the_owner_authorises(site: Site) -> None:
    thief, key = KeyPair.generate(), KeyPair.generate()
    body = to_json(enrolment(CHAIN, "stolen", key, site.owner, thief))
    check_problem(site.http.post("/v1/devices", json=body), "invalid-authorisation")
    change = status_change(CHAIN, "sensor-1", DeviceStatus.RETIRED, 2, thief)
    check_problem(site.http.post("/v1/devices/sensor-1/status", json=below(change)), "invalid-authorisation")
    message = grant(CHAIN, "sensor-1", "gw", key, thief)
    check_problem(site.http.post("/v1/devices/sensor-1/grants", json=below(message)), "invalid-authorisation")
    elsewhere = to_json(enrolment("edge-b", "stolen", key, site.owner, site.owner_key))
    check_problem(site.http.post("/v1/devices", json=elsewhere), "invalid-authorisation")


def test_a_key_that_the_device_lacks_is_not_enrolled(site: Site) -> None:
    message = enrolment(CHAIN, "liar", KeyPair.generate(), site.owner, site.owner_key)
    other = enrolment(CHAIN, "liar", KeyPair.generate(), site.owner, site.owner_key)
    body = to_json(message)
    assert isinstance(body, dict)
    check_problem(
        site.http.post("/v1/devices", json=body | {"possession": other.possession.hex()}),
        "invalid-authorisation",
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"device": "a/b"}, "$.device"),
        ({"device": "x" * 65}, "$.device"),
        ({"owner": ""}, "$.owner"),
        ({"algorithm": "rsa"}, "$.algorithm"),
        ({"key": "0G"}, "$.key"),
        ({"key": ""}, "$.key"),
        ({"possession": "00"}, "$.possession"),
        ({"authorisation": {}}, "$.authorisation.algorithm"),
        ({"authorisation": None}, "$.authorisation"),
        ({"more": 1}, "$.more"),
    ],
)
def test_a_malformed_enrolment_names_the_field(site: Site, change: dict[str, Any], field: str) -> None:
    key = KeyPair.generate()
    body = to_json(enrolment(CHAIN, "fine", key, site.owner, site.owner_key))
    assert isinstance(body, dict)
    problem = check_problem(site.http.post("/v1/devices", json=body | change), "invalid-request")
    assert problem["field"] == field


def test_an_unknown_device_is_not_found(site: Site) -> None:
    check_problem(site.http.get("/v1/devices/nobody"), "not-found")
    check_problem(site.http.get("/v1/devices/-"), "invalid-request")
    body = to_json(enrolment(CHAIN, "x", KeyPair.generate(), "Nobody", site.owner_key))
    check_problem(site.http.post("/v1/devices", json=body), "not-found")
