"""By what elements are found: valid answers of the product's chaincode only, by the keys of their results."""

from dataclasses import replace

import pytest

from ledger.lookups import ACCEPTED, ANCHOR, keys_of
from protocol.elements import CHAINCODE, ElementView
from protocol.encodings import canonical_json


def view(function, **result):
    payload = canonical_json({"result": result, "type": function})
    return ElementView(1, 0, 0, b"e", payload, "t", function, b"", b"", 0, CHAINCODE)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (view("devices:enrol", device="d"), ("devices:enrol", "d")),
        (view("devices:grant", device="d", gateway="g"), ("devices:grant", "d@g")),
        (view("interlock:accept", chain="edge-a", number=3), (ANCHOR, "edge-a/3")),
        (view("runs:create", run="r"), ("runs:create", "r")),
        (view("steps:submit", run="r", number=2, attempt=1), ("steps:submit", "r/2/1")),
        (view("models:commit", run="r", version=2, attempt=1), ("models:commit", "r/2/1")),
        (
            view("attestations:attest", subject="step", run="r", number=2, state="accepted"),
            (ACCEPTED, "step/r/2"),
        ),
    ],
)
def test_an_element_is_found_by_its_keys(shown, expected):
    assert keys_of(shown) == (expected,)
    assert keys_of(replace(shown, code=11)) == ()
    assert keys_of(replace(shown, chaincode="another")) == ()
    assert keys_of(replace(shown, function="devices:get")) == ()


@pytest.mark.parametrize("state", ["pending", "rejected", "expired"])
def test_only_acceptance_is_found(state):
    assert keys_of(view("attestations:attest", subject="step", run="r", number=2, state=state)) == ()


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"result":{},"type":"devices:enrol"}', b"\xff"])
def test_what_cannot_be_read_is_not_found(payload):
    assert keys_of(replace(view("devices:enrol", device="d"), payload=payload)) == ()


def test_records_are_found_by_the_chains_state_not_here():
    assert keys_of(view("records:submitBatch", root="00" * 32, count=1)) == ()
