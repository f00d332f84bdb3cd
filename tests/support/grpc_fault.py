"""What a peer's call fails with: a gRPC status and its details, written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from fabric_protos.gateway import gateway_pb2
from google.protobuf import any_pb2

from ledger.fabric.errors import ErrorDetail


@dataclass(frozen=True)
class Fault:
    """What a call fails with."""

    code: grpc.StatusCode
    message: str = "fault"
    details: tuple[ErrorDetail, ...] = ()
    after: bool = False
    """Do the work first, and lose the answer."""

    def abort(self, context: Any) -> None:
        if self.details:
            context.set_trailing_metadata((("grpc-status-details-bin", self.status()),))
        context.abort(self.code, self.message)

    def status(self) -> bytes:
        """``google.rpc.Status``, by hand: code 1, message 2, details 3."""
        raw = bytes([0x08, self.code.value[0]]) + _field(2, self.message.encode())
        for entry in self.details:
            detail = gateway_pb2.ErrorDetail(
                address=entry.address, msp_id=entry.msp_id, message=entry.message
            )
            packed = any_pb2.Any(
                type_url="type.googleapis.com/gateway.ErrorDetail", value=detail.SerializeToString()
            )
            raw += _field(3, packed.SerializeToString())
        return raw


def _field(number: int, value: bytes) -> bytes:
    size, length = len(value), b""
    while True:
        size, low = size >> 7, size & 0x7F
        length += bytes([low | (0x80 if size else 0)])
        if not size:
            return bytes([number << 3 | 2]) + length + value
