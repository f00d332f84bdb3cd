from __future__ import annotations

import logging
from typing import Any

import pytest
from world_state import FakeWorldState, Simulation, caller

from chaincode import api
from chaincode.api import GetDevice, GetOrganisation
from chaincode.context import Context
from chaincode.errors import (
    ContractError,
    InternalError,
    InvalidArgument,
    UnknownFunction,
    error_from_message,
)
from chaincode.payloads import decode_result, encode_result
from chaincode.registry import CONTRACTS, MAX_ARGUMENT, invoke
from protocol.encodings import encode, parse_canonical_json
from protocol.errors import EncodingError

MESSAGES = [kind for kind in vars(api).values() if getattr(kind, "RESULT", None) is not None]


def context(state: Any = None) -> Context:
    return Context(state or Simulation(FakeWorldState()), "edge-a", "t" * 64, 0, caller("A1"))


def test_every_message_has_its_contract_and_every_contract_its_message() -> None:
    assert {kind.FUNCTION: kind for kind in MESSAGES} == {
        function: contract.message for function, contract in CONTRACTS.items()
    }


@pytest.mark.parametrize("function", ["", "devices", "devices:GET", "interlock:accept2", "x" * 10_000])
def test_an_unknown_function_is_refused(function: str) -> None:
    with pytest.raises(UnknownFunction):
        invoke(context(), function, b"{}")


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"device":1}',
        b'{"device":"a","x":1}',
        b'{"device": "a"}',
        b'{"device":"a","device":"b"}',
        b"\xff",
        b'{"device":"\\ud800"}',
        b"[" * 5_000,
    ],
)
def test_a_malformed_argument_is_refused(argument: bytes) -> None:
    with pytest.raises(InvalidArgument):
        invoke(context(), GetDevice.FUNCTION, argument)


def test_an_oversized_argument_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="bytes"):
        invoke(context(), GetDevice.FUNCTION, encode(GetDevice("a" * MAX_ARGUMENT)))


def test_a_fault_of_ours_leaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Simulation):
        def get(self, key: str) -> bytes | None:
            raise RuntimeError("secret value")

    with caplog.at_level(logging.DEBUG), pytest.raises(InternalError) as caught:
        invoke(context(Broken(FakeWorldState())), GetDevice.FUNCTION, encode(GetDevice("camera-1")))
    assert "secret" not in caught.value.response_message()
    assert "secret" not in caplog.text
    assert "RuntimeError < chaincode/test_registry.py:" in caplog.text
    assert "chaincode/devices.py:" in caplog.text


def test_a_refusal_travels_as_canonical_json() -> None:
    with pytest.raises(ContractError) as caught:
        invoke(context(), GetDevice.FUNCTION, encode(GetDevice("camera-1")))
    text = caught.value.response_message()
    assert parse_canonical_json(text.encode()) == {
        "code": "not-found",
        "details": None,
        "message": "device camera-1 is not known on edge-a",
    }
    read = error_from_message(text, 404)
    assert read is not None
    assert (read.code, read.status, read.message) == ("not-found", 404, caught.value.message)


@pytest.mark.parametrize(
    "text", ["", "boom", "[]", '{"code":"x"}', '{"code":1,"details":null,"message":"m"}']
)
def test_other_texts_are_no_refusal(text: str) -> None:
    assert error_from_message(text, 500) is None


def test_a_payload_names_its_function() -> None:
    device = api.Device("d", "A1", "ed25519", b"\x01", api.DeviceStatus.ACTIVE, 1)
    payload = encode_result("devices:enrol", device)
    assert decode_result(api.EnrolDevice, payload) == device
    # The same result of a query is another payload, and is refused in its place.
    for function in ("devices:get", "devices:setStatus"):
        with pytest.raises(EncodingError):
            decode_result(api.EnrolDevice, encode_result(function, device))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"result":{}}',
        b'{"result":{},"type":"organisations:get"}',
        b'{"result":1,"type":1,"x":1}',
    ],
)
def test_other_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_result(GetOrganisation, payload)


def test_codes_are_distinct_slugs() -> None:
    def walk(kind: type[ContractError]) -> list[type[ContractError]]:
        return [kind] + [each for sub in kind.__subclasses__() for each in walk(sub)]

    codes = [kind.CODE for kind in walk(ContractError)]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and " " not in code for code in codes)
    assert all(400 <= kind.STATUS < 600 for kind in walk(ContractError))
