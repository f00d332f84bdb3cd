"""Signing readings, apart from any transport: the same for HTTP, a batch, or a queue on the device."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from identity.keys import KeyPair
from protocol.encodings import sha256, to_json
from protocol.readings import SignedReading
from protocol.signature_base import http_headers, signature_base

__all__ = ["PreparedReading", "ReadingSigner"]


@dataclass(frozen=True)
class PreparedReading:
    """A signed reading with its bytes and its key: all that every attempt to deliver it sends alike."""

    chain: str
    reading: SignedReading
    data: bytes
    idempotency_key: str

    @property
    def record(self) -> bytes:
        """The record id that it will have, 32 bytes."""
        return sha256(signature_base(self.chain, self.reading))

    def headers(self) -> dict[str, str]:
        """HTTP fields for a single submission."""
        return {**http_headers(self.chain, self.reading), "Idempotency-Key": self.idempotency_key}

    def item(self) -> dict[str, Any]:
        """JSON for a batch."""
        fields = to_json(self.reading)
        assert isinstance(fields, dict)
        data = base64.b64encode(self.data).decode()
        return {**fields, "data": data, "idempotency_key": self.idempotency_key}


class ReadingSigner:
    """Signs for one device.

    Args:
        chain: id of the chain that shall record.
        device: name under which the device is enrolled.
        key: the device's key, or the gateway's that has a grant.
        gateway: the grant's name when a gateway signs for the device.
        clock: seconds since 1970 UTC.
    """

    def __init__(
        self, chain: str, device: str, key: KeyPair, *, gateway: str = "", clock: Callable[[], float]
    ) -> None:
        self._chain = chain
        self._device = device
        self._key = key
        self._gateway = gateway
        self._clock = clock

    def sign(
        self, data: bytes, content_type: str, *, nonce: str | None = None, idempotency_key: str | None = None
    ) -> PreparedReading:
        """Sign a reading's bytes; a fresh nonce and a fresh key unless they are given.

        Raises:
            InvalidSignatureBase: a field is outside its grammar.
        """
        unsigned = SignedReading(
            device=self._device,
            keyid=f"{self._device}@{self._gateway}" if self._gateway else self._device,
            algorithm=self._key.algorithm,
            created=int(self._clock()),
            nonce=self._fresh() if nonce is None else nonce,
            content_digest=sha256(data),
            content_type=content_type,
            signature=b"",
        )
        signature = self._key.sign(signature_base(self._chain, unsigned))
        key = self._fresh() if idempotency_key is None else idempotency_key
        return PreparedReading(self._chain, replace(unsigned, signature=signature), data, key)

    def _fresh(self) -> str:
        """Unlike any other: the time in milliseconds, then 96 random bits.

        In the order of time, what chain and gateway keep of a device's nonces and keys grows at one end; in
        random order every new reading touches another page of all that came before.
        """
        return f"{int(self._clock() * 1000):012x}{secrets.token_urlsafe(12)}"
