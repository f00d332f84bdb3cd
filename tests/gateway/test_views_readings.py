"""Readings over REST, on the embedded ledger with the product's contracts."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_site import BACKENDS, CHAIN, Clock, Site, check_problem, make_site, site_on
from werkzeug.test import TestResponse

from chaincode.api import DeviceStatus, SubmitBatch
from gateway.app import runtime_of
from gateway.client import grant, status_change
from gateway.services import Limits
from identity import KeyPair
from ledger.port import call


@pytest.fixture(scope="module", params=BACKENDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request, tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256-sha256"])
def test_a_reading_is_recorded_and_its_bytes_are_in_the_store(site: Site, algorithm: str) -> None:
    device = f"device-{algorithm}"
    site.enrol(device, algorithm)
    prepared = site.sign(b"\x00\xff" * 100, device, content_type="text/plain; charset=utf-8")
    response = site.post(prepared)
    assert response.status_code == 201
    answer = response.get_json()
    assert answer["record"] == prepared.record.hex()
    assert response.headers["Location"] == f"/v1/records/{answer['record']}"
    record = site.http.get(response.headers["Location"]).get_json()
    assert (record["device"], record["nonce"]) == (device, prepared.reading.nonce)
    assert record["transaction"] == answer["transaction"]
    content = site.http.get(f"/v1/records/{answer['record']}/content")
    assert content.get_data() == prepared.data
    assert content.content_type == "text/plain; charset=utf-8"
    assert content.headers["X-Content-Type-Options"] == "nosniff"
    assert site.store.get(prepared.reading.content_digest) == prepared.data


def test_an_empty_reading_is_a_reading(site: Site) -> None:
    assert site.post(site.sign(b"")).status_code == 201


def test_the_same_key_and_reading_gets_the_same_answer(site: Site) -> None:
    prepared = site.sign(b"x", key="key-1")
    first, again = site.post(prepared), site.post(prepared)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_data() == again.get_data()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_replay_is_409_however_it_comes(site: Site) -> None:
    prepared = site.sign(b"x", nonce="used-1", key="key-2")
    assert site.post(prepared).status_code == 201
    check_problem(site.post(prepared, Idempotency_Key=None), "replayed-nonce")
    check_problem(site.post(prepared, Idempotency_Key="key-3"), "replayed-nonce")
    problem = check_problem(site.post(site.sign(b"y", nonce="used-1")), "replayed-nonce")
    assert problem["status"] == 409
    assert problem["field"] == "nonce"
    check_problem(site.post(site.sign(b"y", key="key-2")), "idempotency-key-reused")


def test_header_faults_are_named(site: Site) -> None:
    good = site.sign(b"x")
    for name in ("Content-Digest", "Signature", "Signature-Input", "Edgeproof-Chain"):
        problem = check_problem(site.post(good, **{name.replace("-", "_"): None}), "invalid-request")
        assert problem["field"] == name
    problem = check_problem(site.post(good, Content_Type=None), "malformed-headers")
    assert problem["field"] == "Content-Type"
    problem = check_problem(site.post(good, Signature="reading=:AAAA:"), "malformed-headers")
    assert problem["field"] == "Signature"
    problem = check_problem(site.post(good, Signature_Input="reading=()"), "malformed-headers")
    assert problem["field"] == "Signature-Input"
    problem = check_problem(site.post(good, Content_Type="text/html"), "bad-signature")
    assert problem["field"] == "signature"
    assert problem["detail"].endswith('read with "content-type": text/html, "edgeproof-chain": edge-a')
    problem = check_problem(site.post(good, Idempotency_Key="with blank"), "invalid-request")
    assert problem["field"] == "Idempotency-Key"
    assert site.post(good).status_code == 201


def test_altered_bytes_and_other_chains_are_refused(site: Site) -> None:
    good = site.sign(b"x")
    check_problem(site.post(replace(good, data=b"y")), "digest-mismatch")
    problem = check_problem(site.post(site.sign(b"x", chain="edge-b")), "wrong-chain")
    assert problem["field"] == "Edgeproof-Chain"


def test_a_signature_by_another_key_is_refused(site: Site) -> None:
    check_problem(site.post(site.sign(b"x", signer=KeyPair.generate())), "bad-signature")
    check_problem(site.post(site.sign(b"x", signer=KeyPair.generate("ecdsa-p256-sha256"))), "wrong-algorithm")


def test_an_unknown_device_is_refused(site: Site) -> None:
    check_problem(site.post(site.sign(b"x", "stranger", signer=KeyPair.generate())), "unknown-device")


def test_stale_and_future_readings_are_refused_by_the_gateways_clock(tmp_path: Path) -> None:
    clock = Clock()
    site = make_site(tmp_path, clock=clock)
    check_problem(site.post(site.sign(b"x", at=-65)), "stale")
    problem = check_problem(site.post(site.sign(b"x", at=65)), "future")
    assert problem["field"] == "created"
    prepared = site.sign(b"x")
    assert site.post(prepared).status_code == 201
    clock.shift = 3600
    # A replay is named as one however old it is; a fresh nonce of that time is stale.
    check_problem(site.post(prepared), "replayed-nonce")
    check_problem(site.post(site.sign(b"x")), "stale")
    site.close()


def test_oversized_readings_are_413(site: Site) -> None:
    limit = Limits().reading_bytes
    check_problem(site.post(site.sign(b"x" * (limit + 1))), "too-large")
    assert site.post(site.sign(b"x" * limit)).status_code == 201


def test_oversized_bodies_in_chunks_are_413(site: Site) -> None:
    limit = Limits().reading_bytes
    # The first has the digest of what a cut stream would leave.
    cut = replace(site.sign(b"x" * limit), data=b"x" * (limit + 1))
    for prepared in (cut, site.sign(b"x" * (limit + 1))):
        check_problem(_post_in_chunks(site, "/v1/readings", prepared.data, prepared.headers()), "too-large")
    whole = site.sign(b"x" * limit)
    assert _post_in_chunks(site, "/v1/readings", whole.data, whole.headers()).status_code == 201
    small = site.sign(b"x")
    assert _post_in_chunks(site, "/v1/readings", small.data, small.headers()).status_code == 201


def test_an_oversized_batch_in_chunks_is_413_and_records_nothing(site: Site) -> None:
    limit = Limits().batch_bytes
    headers = {"Content-Type": "application/json"}
    item = site.sign(b"x").item()
    del item["idempotency_key"]
    # Blanks after the end: what a cut stream would leave is a good batch.
    good = json.dumps({"readings": [item]}).encode()
    before = site.ledger.count(SubmitBatch.FUNCTION)
    response = _post_in_chunks(site, "/v1/readings/batch", good.ljust(limit + 1), headers)
    check_problem(response, "too-large")
    assert site.ledger.count(SubmitBatch.FUNCTION) == before
    response = _post_in_chunks(site, "/v1/readings/batch", good.ljust(limit), headers)
    assert [answer["status"] for answer in response.get_json()["answers"]] == ["recorded"]


def _post_in_chunks(site: Site, path: str, data: bytes, headers: Mapping[str, str]) -> TestResponse:
    """As a server hands on what comes with ``Transfer-Encoding: chunked``: no length, but an end."""
    present = {name: value for name, value in headers.items() if value}
    return site.http.post(
        path,
        input_stream=io.BytesIO(data),
        headers={**present, "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )


def test_a_device_suspended_elsewhere_is_refused_despite_the_cache(site: Site) -> None:
    site.enrol("weak")
    assert site.post(site.sign(b"x", "weak")).status_code == 201
    call(site.chain.ledger, status_change(CHAIN, "weak", DeviceStatus.SUSPENDED, 2, site.owner_key))
    check_problem(site.post(site.sign(b"x", "weak")), "suspended-device")
    check_problem(site.post(site.sign(b"x", "weak")), "suspended-device")
    call(site.chain.ledger, status_change(CHAIN, "weak", DeviceStatus.ACTIVE, 3, site.owner_key))
    assert site.post(site.sign(b"x", "weak")).status_code == 201
    call(site.chain.ledger, status_change(CHAIN, "weak", DeviceStatus.RETIRED, 4, site.owner_key))
    check_problem(site.post(site.sign(b"x", "weak")), "retired-device")


def test_a_gateway_signs_for_a_device_by_grant(site: Site) -> None:
    site.enrol("tiny")
    key = KeyPair.generate()
    check_problem(site.post(site.sign(b"x", "tiny", signer=key, gateway="gw")), "unknown-grant")
    call(site.chain.ledger, grant(CHAIN, "tiny", "gw", key, site.owner_key))
    response = site.post(site.sign(b"x", "tiny", signer=key, gateway="gw"))
    assert response.status_code == 201
    assert site.http.get(response.headers["Location"]).get_json()["keyid"] == "tiny@gw"
    call(site.chain.ledger, grant(CHAIN, "tiny", "gw", key, site.owner_key, active=False, sequence=2))
    check_problem(site.post(site.sign(b"x", "tiny", signer=key, gateway="gw")), "revoked-grant")


# ------------------------------------------------------------------ batches


def test_a_batch_answers_each_reading_by_itself(site: Site) -> None:
    used = site.sign(b"used", nonce="used-2")
    assert site.post(used).status_code == 201
    forged = site.sign(b"forged", signer=KeyPair.generate())
    answers = site.post_batch(
        site.sign(b"one"),
        used,
        forged,
        site.sign(b"old", at=-90),
        replace(site.sign(b"altered"), data=b"other"),
        site.sign(b"stranger", "nobody", signer=KeyPair.generate()),
        site.sign(b"elsewhere", chain="edge-b"),
        site.sign(b"two"),
    )
    assert [answer["status"] for answer in answers] == ["recorded", *["refused"] * 6, "recorded"]
    slugs = [answer["problem"]["type"].rpartition(":")[2] for answer in answers[1:-1]]
    assert slugs == [
        "replayed-nonce",
        "bad-signature",
        "stale",
        "digest-mismatch",
        "unknown-device",
        "bad-signature",
    ]
    assert answers[0]["recorded"]["transaction"] == answers[-1]["recorded"]["transaction"]
    assert answers[0]["recorded"]["count"] == 2


def test_a_replay_that_the_gateway_has_forgotten_sinks_nobody(site: Site) -> None:
    used = site.sign(b"used", nonce="used-3")
    assert site.post(used).status_code == 201
    site.restart()
    answers = site.post_batch(site.sign(b"a"), used, site.sign(b"b"))
    assert [answer["status"] for answer in answers] == ["recorded", "refused", "recorded"]
    assert answers[1]["problem"]["type"].endswith(":replayed-nonce")


def test_malformed_items_sink_nobody(site: Site) -> None:
    good = site.sign(b"good").item()
    del good["idempotency_key"]
    bad: list[Any] = [
        None,
        7,
        [],
        {},
        good | {"extra": 1},
        good | {"created": "now"},
        good | {"created": -1},
        good | {"signature": "00"},
        good | {"signature": good["signature"].upper()},
        good | {"data": "not base64!"},
        good | {"data": "eA"},
        good | {"device": "a/b"},
        good | {"keyid": "sensor-1@"},
        good | {"nonce": ""},
        good | {"content_digest": "zz"},
        good | {"content_type": "nonsense"},
        good | {"content_type": "text/\u00fcml"},
        good | {"idempotency_key": ""},
    ]
    response = site.http.post("/v1/readings/batch", json={"readings": [*bad, good]})
    assert response.status_code == 200
    answers = response.get_json()["answers"]
    assert [answer["status"] for answer in answers] == ["refused"] * len(bad) + ["recorded"]
    for position, answer in enumerate(answers[:-1]):
        problem = answer["problem"]
        assert 400 <= problem["status"] < 500
        slug = problem["type"].rpartition(":")[2]
        assert slug in ("invalid-request", "malformed")
        if slug == "invalid-request":
            assert problem["field"].startswith(f"$.readings[{position}]")


@pytest.mark.parametrize(
    ("body", "content_type", "slug"),
    [
        (b"{", "application/json", "malformed-json"),
        (b"\xff", "application/json", "malformed-json"),
        (b'{"readings":[],"readings":[]}', "application/json", "malformed-json"),
        (b'{"readings":[1.5]}', "application/json", "malformed-json"),
        (b"[" * 100000, "application/json", "malformed-json"),
        (b"{}", "text/plain", "unsupported-media-type"),
        (b"{}", "application/json", "invalid-request"),
        (b"[]", "application/json", "invalid-request"),
        (b'{"readings":{}}', "application/json", "invalid-request"),
        (b'{"readings":[]}', "application/json", "invalid-request"),
        (b'{"readings":[' + b"1," * 512 + b"1]}", "application/json", "invalid-request"),
        (b'{"readings":[1],"more":1}', "application/json", "invalid-request"),
        (b'{"readings":["' + b"x" * 16 * 1024 * 1024 + b'"]}', "application/json", "too-large"),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(
    site: Site, body: bytes, content_type: str, slug: str
) -> None:
    response = site.http.post("/v1/readings/batch", data=body, content_type=content_type)
    check_problem(response, slug)


def test_a_batch_of_512_is_one_transaction(site: Site) -> None:
    before = site.ledger.count(SubmitBatch.FUNCTION)
    answers = site.post_batch(*[site.sign(b"%d" % number) for number in range(512)])
    assert all(answer["status"] == "recorded" for answer in answers)
    assert [answer["recorded"]["index"] for answer in answers] == list(range(512))
    assert site.ledger.count(SubmitBatch.FUNCTION) == before + 1


# ------------------------------------------------------------------ many at once


def test_200_concurrent_posts_take_at_most_20_transactions(site: Site) -> None:
    before = site.ledger.count(SubmitBatch.FUNCTION)
    prepared = [site.sign(b"%d" % number) for number in range(200)]
    start = threading.Barrier(200)
    statuses: list[int] = []

    def post(position: int) -> None:
        start.wait()
        statuses.append(site.post(prepared[position]).status_code)

    threads = [threading.Thread(target=post, args=(position,)) for position in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 200
    assert 1 <= site.ledger.count(SubmitBatch.FUNCTION) - before <= 20


def test_metrics_count_readings_by_outcome(site: Site) -> None:
    site.restart()
    site.post(site.sign(b"x"))
    site.post(site.sign(b"x", at=-90))
    text = site.http.get("/metrics").get_data(as_text=True)
    assert 'edgeproof_readings_total{outcome="recorded"} 1.0' in text
    assert 'edgeproof_readings_total{outcome="stale"} 1.0' in text
    assert "edgeproof_batch_readings_count 1.0" in text
    assert "edgeproof_commit_seconds_count 1.0" in text


def test_a_gateway_that_is_shutting_down_says_so(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    assert site.http.get("/readyz").status_code == 200
    runtime_of(site.app).close()
    response = site.post(site.sign(b"x"))
    check_problem(response, "draining")
    assert response.headers["Retry-After"] == "1"
    check_problem(site.http.get("/readyz"), "draining")
    assert site.http.get("/livez").status_code == 200
    site.close()
