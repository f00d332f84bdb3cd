"""Chains, anchors, records, proofs and lineage over REST, on a small world of interlocked chains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from gateway_site import OPERATOR, TOKEN, check_problem
from statements import Signers, altered, make_statement
from werkzeug.test import TestResponse
from world import MAIN, World, build_world
from world_training import start_training

from chaincode.api import CutStatus, GetCut, GetSource, PublishModel, Source
from chaincode.payloads import encode_result
from gateway.app import create_app
from gateway.services import Services
from gateway.views_chains import _own
from identity import Role
from ledger.port import Ledger, call
from protocol.anchors import AnchorStatement
from protocol.bundle import ProvenElement, parse_bundle
from protocol.encodings import from_json
from store import FileStore


@dataclass
class Edge:
    world: World
    http: FlaskClient
    store: FileStore
    folder: Path


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    world = build_world(folder)
    training = start_training(world, rounds=3)
    training.play()
    training.play(attempts=2)
    proof = training.proof(MAIN, training.votes[MAIN, 2])
    call(world.ledgers["edge-a"], PublishModel(proof))
    store = FileStore(folder / "store")
    store.put_pack(list(world.contents.values()))
    services = Services(
        ledger=world.acting_as("edge-a", Role.GATEWAY),
        main=world.ledgers[MAIN],
        store=store,
        state=folder / "state",
        prover=world.prover,
        operator_token=TOKEN,
    )
    yield Edge(world, create_app(services).test_client(), store, folder)
    world.close()


def test_chains_are_listed_with_their_heights(edge: Edge) -> None:
    listed = edge.http.get("/v1/chains").get_json()["chains"]
    assert [(entry["chain"], entry["role"]) for entry in listed] == [("edge-a", "edge"), ("main", "main")]
    for entry in listed:
        information = edge.world.ledgers[entry["chain"]].information()
        assert (entry["height"], entry["header_hash"]) == (information.height, information.header_hash.hex())


@pytest.mark.parametrize(("chain", "holder"), [("edge-a", "edge-a"), ("main", "main"), ("edge-b", "main")])
def test_anchors_are_the_ones_on_the_chains(edge: Edge, chain: str, holder: str) -> None:
    body = edge.http.get(f"/v1/chains/{chain}/anchors").get_json()
    index = edge.world.indexes[chain]
    assert body["held_by"] == holder
    assert body["newest"] == len(body["anchors"]) >= 3
    for number, anchor in enumerate(body["anchors"], 1):
        statement = from_json(AnchorStatement, anchor["statement"])
        assert statement == index.statement(number)
        assert anchor["digest"] == statement.digest().hex()
        assert len(anchor["signatures"]) == 2
        assert edge.http.get(f"/v1/chains/{chain}/anchors/{number}").get_json() == anchor


def test_anchors_come_in_pages(edge: Edge) -> None:
    body = edge.http.get("/v1/chains/main/anchors?first=2&limit=1").get_json()
    assert [anchor["number"] for anchor in body["anchors"]] == [2]
    assert edge.http.get("/v1/chains/main/anchors?first=99").get_json()["anchors"] == []


@pytest.mark.parametrize(
    ("address", "slug"),
    [
        ("/v1/chains/nowhere/anchors", "unknown-chain"),
        ("/v1/chains/nowhere/anchors/1", "unknown-chain"),
        ("/v1/chains/main/anchors/999", "unknown-anchor"),
        ("/v1/chains/edge-a/anchors/999", "unknown-anchor"),
        ("/v1/chains/main/anchors/0", "invalid-request"),
        ("/v1/chains/main/anchors/x", "invalid-request"),
        ("/v1/chains/Main/anchors", "invalid-request"),
        ("/v1/chains/main/anchors?limit=0", "invalid-request"),
        ("/v1/chains/main/anchors?limit=1&limit=2", "invalid-request"),
        ("/v1/chains/main/anchors?page=1", "invalid-request"),
        ("/v1/models/nothing/lineage", "unknown-run"),
        (f"/v1/records/{'00' * 32}", "unknown-record"),
        (f"/v1/records/{'00' * 32}/content", "unknown-record"),
        (f"/v1/records/{'00' * 32}/proof", "unknown-record"),
        (f"/v1/records/{'00' * 31}", "invalid-request"),
        (f"/v1/records/{'AA' * 32}", "invalid-request"),
    ],
)
def test_what_is_not_there_is_named(edge: Edge, address: str, slug: str) -> None:
    check_problem(edge.http.get(address), slug)


# ------------------------------------------------------------------ records and proofs


@pytest.mark.parametrize("profile", ["compact", "full"])
def test_a_proof_is_the_provers_bundle(edge: Edge, profile: str) -> None:
    record = edge.world.records["edge-a"][0]
    response = edge.http.get(f"/v1/records/{record.hex()}/proof?profile={profile}")
    assert response.status_code == 200
    bundle = parse_bundle(response.get_data())
    assert (bundle.chain, bundle.subject, bundle.profile) == ("edge-a", record.hex(), profile)
    assert bundle == edge.world.prover.record_bundle("edge-a", record, None, profile)


def test_a_proof_that_is_not_anchored_is_pending(edge: Edge) -> None:
    device = edge.world.devices["edge-a", "meter-1"]
    (record,) = edge.world.submit_contents(device, [b'{"value":99}'])
    response = edge.http.get(f"/v1/records/{record.hex()}/proof")
    check_problem(response, "pending")
    assert int(response.headers["Retry-After"]) > 0
    edge.world.interlock()
    assert edge.http.get(f"/v1/records/{record.hex()}/proof").status_code == 200


def test_a_proof_for_a_chosen_holder(edge: Edge) -> None:
    record = edge.world.records["edge-a"][0].hex()
    bundle = parse_bundle(edge.http.get(f"/v1/records/{record}/proof?holder=edge-b").get_data())
    assert {holding.chain for holding in bundle.holdings} == {"edge-b"}
    for none in ("nowhere", "main", "edge-a"):
        address = f"/v1/records/{record}/proof?holder={none}"
        assert check_problem(edge.http.get(address), "invalid-request")["field"] == "holder"
    check_problem(edge.http.get(f"/v1/records/{record}/proof?profile=huge"), "invalid-request")


def test_a_gateway_without_a_prover_says_so(edge: Edge) -> None:
    services = Services(edge.world.ledgers["edge-a"], edge.store, edge.folder / "state")
    record = edge.world.records["edge-a"][0].hex()
    check_problem(create_app(services).test_client().get(f"/v1/records/{record}/proof"), "not-provided")


def test_content_comes_from_the_store_and_damage_is_said(edge: Edge) -> None:
    device = edge.world.devices["edge-a", "meter-1"]
    (record,) = edge.world.submit_contents(device, [b'{"kept":"elsewhere"}'])
    address = f"/v1/records/{record.hex()}/content"
    check_problem(edge.http.get(address), "content-missing")
    edge.store.put(b'{"kept":"elsewhere"}')
    response = edge.http.get(address)
    assert response.get_data() == b'{"kept":"elsewhere"}'
    assert response.mimetype == "application/json"
    for pack in (edge.folder / "store").glob("packs/*/*.pack"):
        raw = pack.read_bytes()
        if b"elsewhere" in raw:
            pack.write_bytes(raw.replace(b"elsewhere", b"elsewhera"))
    problem = check_problem(edge.http.get(address), "content-corrupt")
    assert "Traceback" not in problem["detail"]


# ------------------------------------------------------------------ lineage


def test_lineage_tells_versions_steps_and_what_is_published(edge: Edge) -> None:
    body = edge.http.get("/v1/models/digits/lineage").get_json()
    assert (body["run"], body["chain"], body["rounds"]) == ("digits", "main", 3)
    assert [entry["model"]["version"] for entry in body["versions"]] == [1, 2]
    assert {entry["outcome"]["state"] for entry in body["versions"]} == {"accepted"}
    steps = [entry["step"] for entry in body["steps"]]
    assert [(step["number"], step["attempt"]) for step in steps] == [(1, 1), (2, 2)]
    assert {entry["outcome"]["state"] for entry in body["steps"]} == {"accepted"}
    assert body["published"]["version"] == 2
    assert body["published"]["result"] == body["versions"][1]["model"]["result"]


def test_an_edge_alone_tells_its_own_part(edge: Edge) -> None:
    services = Services(edge.world.ledgers["edge-a"], edge.store, edge.folder / "state")
    body = create_app(services).test_client().get("/v1/models/digits/lineage").get_json()
    assert body["chain"] == "edge-a"
    assert body["versions"] == []
    assert len(body["steps"]) == 2


def test_an_inference_of_a_published_model_is_recorded(edge: Edge) -> None:
    result = edge.http.get("/v1/models/digits/lineage").get_json()["published"]["result"]
    body = {"run": "digits", "version": 2, "model": result, "input": "11" * 32, "output": "22" * 32}

    def post(body: dict[str, Any]) -> TestResponse:
        return edge.http.post("/v1/inferences", json=body, headers=OPERATOR)

    response = post(body)
    assert response.status_code == 201
    answer = response.get_json()
    assert {name: answer[name] for name in body} == body
    assert edge.world.ledgers["edge-a"].find(answer["transaction"]) is not None
    check_problem(post(body | {"model": "00" * 32}), "invalid-argument")
    check_problem(post(body | {"version": 3}), "not-found")
    check_problem(post(body | {"run": "none"}), "not-found")
    check_problem(post(body | {"input": "1"}), "invalid-request")
    check_problem(post(body | {"version": 2**60}), "malformed-json")


# ------------------------------------------------------------------ elements' membership


def test_an_elements_membership_is_the_provers(edge: Edge) -> None:
    view = edge.http.get("/v1/chains/edge-a/elements/2/membership").get_json()
    proven = edge.world.prover.membership("edge-a", 2)
    assert from_json(ProvenElement, view) == proven
    assert edge.http.get("/v1/chains/main/elements/1/membership").get_json()["chain"] == MAIN
    check_problem(edge.http.get("/v1/chains/edge-a/elements/999999/membership"), "unknown-element")
    check_problem(edge.http.get("/v1/chains/nowhere/elements/1/membership"), "unknown-element")
    edge.world.submit_contents(edge.world.devices["edge-a", "meter-1"], [b"not anchored"])
    index = edge.world.indexes["edge-a"]
    index.sync()
    check_problem(edge.http.get(f"/v1/chains/edge-a/elements/{index.elements}/membership"), "pending")
    edge.world.interlock()


def test_all_witnesses_of_a_range_are_made_for_the_operator_alone(edge: Edge) -> None:
    address = "/v1/chains/edge-a/anchors/1/witnesses"
    check_problem(edge.http.get(address), "unknown-anchor")
    check_problem(edge.http.put(address), "not-authorised")
    check_problem(edge.http.delete(address), "not-authorised")
    started = edge.http.put(address, headers=OPERATOR)
    assert started.status_code == 202
    for _ in range(500):
        view = edge.http.get(address).get_json()
        if view["state"] == "done":
            break
        time.sleep(0.01)
    assert (view["state"], view["made"]) == ("done", view["whole"])
    assert edge.http.delete(address, headers=OPERATOR).get_json()["state"] == "done"


class Torn:
    """A chain whose organisations signed two statements with one number."""

    chain = "edge-a"

    def __init__(self) -> None:
        signers = Signers(self.chain)
        one = make_statement(self.chain, 1)
        other = altered(one, tree_root=b"\x07" * 32)
        self.first = sorted((one, other), key=AnchorStatement.digest)[0]
        self.second = other if self.first == one else one
        self.own = signers.sign(self.first).signatures[0]
        signatures = (self.own, signers.sign(self.second).signatures[1])
        self.answers = {
            GetCut: CutStatus(1, (self.first, self.second), signatures),
            GetSource: Source(self.chain, b"n", "challenge", signers.roster),
        }

    def evaluate(self, message: Any) -> bytes:
        return encode_result(message.FUNCTION, self.answers[type(message)])


def test_an_anchor_has_its_own_signatures_alone() -> None:
    torn = Torn()
    shown = _own(cast(Ledger, torn), 1)
    assert shown is not None
    assert (shown.statement, shown.signatures) == (torn.first, (torn.own,))
