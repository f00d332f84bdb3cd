"""The device's client: sign, send, and know that it is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from chaincode.api import Device, EnrolDevice, Grant, GrantDelegation, SetDeviceStatus
from gateway.client.errors import BadAnswer, Refused
from gateway.client.http import Transport, read_json, refused
from gateway.client.readings import PreparedReading, ReadingSigner
from identity.keys import KeyPair
from protocol.encodings import Json, from_json, to_json
from protocol.errors import EncodingError

__all__ = ["DeviceClient", "GatewayClient", "RecordedReading"]

T = TypeVar("T")


@dataclass(frozen=True)
class RecordedReading:
    """What the gateway promises with 201: committed on the chain, bytes durable in the store."""

    record: bytes
    """Record id, 32 bytes."""
    chain: str
    transaction: str
    index: int
    """Position in the transaction's batch, from 0."""
    count: int


class GatewayClient:
    """What anybody may ask of a gateway.

    Args:
        url: of the gateway.
        transport: another transport (tests, other timeouts).
    """

    def __init__(self, url: str, transport: Transport | None = None) -> None:
        self._transport = transport or Transport(url)

    def enrol(self, message: EnrolDevice) -> Device:
        """Carry an enrolment (``gateway.client.enrolment`` makes one)."""
        return _decode(Device, self._transport.json("POST", "/v1/devices", to_json(message)))

    def set_status(self, message: SetDeviceStatus) -> Device:
        """Carry a change of status."""
        return _decode(Device, self._transport.json("POST", *_below_device(message, "status")))

    def grant(self, message: GrantDelegation) -> Grant:
        """Carry a grant."""
        return _decode(Grant, self._transport.json("POST", *_below_device(message, "grants")))

    def device(self, name: str) -> Device:
        """A device as the chain has it."""
        return _decode(Device, self._transport.json("GET", f"/v1/devices/{name}"))

    def record(self, record: bytes) -> dict[str, Any]:
        """A record as the chain keeps it."""
        return _object(self._transport.json("GET", f"/v1/records/{record.hex()}"))

    def content(self, record: bytes) -> bytes:
        """A record's bytes."""
        return self._transport.request("GET", f"/v1/records/{record.hex()}/content").content

    def proof(self, record: bytes, *, holder: str | None = None, profile: str = "compact") -> bytes:
        """A record's proof bundle, in its canonical bytes.

        Raises:
            Refused: ``pending`` while it is not anchored yet.
        """
        query = {"profile": profile} | ({} if holder is None else {"holder": holder})
        return self._transport.request("GET", f"/v1/records/{record.hex()}/proof", query=query).content

    def chains(self) -> list[dict[str, Any]]:
        """The chains that the gateway reads."""
        found: list[dict[str, Any]] = _object(self._transport.json("GET", "/v1/chains"))["chains"]
        return found

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class DeviceClient(GatewayClient):
    """A device at one gateway.

    Args:
        url: of the gateway.
        device: name under which the device is enrolled.
        key: the device's key, or a gateway's that has a grant.
        chain: id of the edge's chain.
        gateway: the grant's name when a gateway's key signs.
        clock: seconds since 1970 UTC.
        transport: another transport (tests, other timeouts).
    """

    def __init__(
        self,
        url: str,
        device: str,
        key: KeyPair,
        chain: str,
        *,
        gateway: str = "",
        clock: Callable[[], float] = time.time,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(url, transport)
        self._signer = ReadingSigner(chain, device, key, gateway=gateway, clock=clock)

    def prepare(self, data: bytes, content_type: str, idempotency_key: str | None = None) -> PreparedReading:
        """Sign a reading without sending it: it may be kept, and sent later as often as needed."""
        return self._signer.sign(data, content_type, idempotency_key=idempotency_key)

    def submit(self, data: bytes, content_type: str, idempotency_key: str | None = None) -> RecordedReading:
        """Sign and send one reading; sent again as it is while the gateway does not answer.

        Returns:
            When it is committed on the chain and its bytes are durable.

        Raises:
            Refused, Unreachable, BadAnswer.
        """
        return self.send(self.prepare(data, content_type, idempotency_key))

    def send(self, prepared: PreparedReading) -> RecordedReading:
        """Send a prepared reading; as ``submit``."""
        response = self._transport.request(
            "POST", "/v1/readings", body=prepared.data, headers=prepared.headers()
        )
        return _decode(RecordedReading, read_json(response))

    def submit_batch(self, readings: Sequence[tuple[bytes, str]]) -> list[RecordedReading | Refused]:
        """Sign and send many readings, given as (bytes, media type), in one request.

        Returns:
            An answer a reading, in order.

        Raises:
            Refused: the request as a whole; Unreachable, BadAnswer.
        """
        return self.send_batch([self.prepare(data, content_type) for data, content_type in readings])

    def send_batch(self, prepared: Sequence[PreparedReading]) -> list[RecordedReading | Refused]:
        """Send prepared readings in one request; as ``submit_batch``."""
        items = [item.item() for item in prepared]
        answers = _object(self._transport.json("POST", "/v1/readings/batch", {"readings": items})).get(
            "answers"
        )
        if not isinstance(answers, list) or len(answers) != len(prepared):
            raise BadAnswer("the gateway does not answer every reading")
        return [_answer(_object(answer)) for answer in answers]


def _answer(answer: dict[str, Any]) -> RecordedReading | Refused:
    if answer.get("status") == "recorded":
        return _decode(RecordedReading, answer.get("recorded"))
    return refused(_object(answer.get("problem")))


def _below_device(message: SetDeviceStatus | GrantDelegation, part: str) -> tuple[str, Json]:
    fields = to_json(message)
    assert isinstance(fields, dict)
    return f"/v1/devices/{fields.pop('device')}/{part}", fields


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadAnswer("the gateway's answer is no JSON object")
    return value


def _decode(kind: type[T], value: Any) -> T:
    try:
        return from_json(kind, value)
    except EncodingError as error:
        raise BadAnswer(f"the gateway's answer is no {kind.__name__}: {error}") from error
