"""The peer's two services as typed calls: options by stage, an in-flight limit, errors with their details."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import grpc
import grpc.aio
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import events_pb2

from .backoff import Backoff
from .connection import CallOptions
from .errors import (
    CommitStatusError,
    EndorseError,
    EvaluateError,
    GatewayClosed,
    GatewayError,
    SubmitError,
    translate,
)

__all__ = ["DEFAULT_IN_FLIGHT", "DEFAULT_OPTIONS", "DELIVER_KINDS", "Client"]

DEFAULT_IN_FLIGHT: Final = 200
"""Calls under way at once. A peer admits 500 over all its clients (core.yaml, gatewayService)."""

DEFAULT_OPTIONS: Final[Mapping[str, CallOptions]] = MappingProxyType(
    {
        "evaluate": CallOptions(timeout=5.0),
        "endorse": CallOptions(timeout=15.0),
        "submit": CallOptions(timeout=5.0),
        "commit_status": CallOptions(timeout=60.0),
        "chaincode_events": CallOptions(),
        "block_events": CallOptions(),
    }
)
"""Timeouts by stage, as the official clients advise."""

DELIVER_KINDS: Final = ("block", "filtered_block", "block_and_private_data")
"""Fields of ``peer.DeliverResponse``, one a method of the Deliver service."""

_METHODS: Final = ("Deliver", "DeliverFiltered", "DeliverWithPrivateData")
_STAGES: Final[dict[str, tuple[str, Any, type[GatewayError]]]] = {
    "evaluate": ("Evaluate", gateway_pb2.EvaluateResponse, EvaluateError),
    "endorse": ("Endorse", gateway_pb2.EndorseResponse, EndorseError),
    "submit": ("Submit", gateway_pb2.SubmitResponse, SubmitError),
    "commit_status": ("CommitStatus", gateway_pb2.CommitStatusResponse, CommitStatusError),
}
_BUSY: Final = Backoff(first=0.02, longest=0.5)
"""When the peer says that it is busy."""


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


class Client:
    """Stubs over one gRPC channel. For one event loop."""

    def __init__(
        self, grpc_channel: Any, *, owns_channel: bool, in_flight: int, options: Mapping[str, CallOptions]
    ) -> None:
        self._grpc_channel = grpc_channel
        self._owns_channel = owns_channel
        self._options = {**DEFAULT_OPTIONS, **options}
        self._slots = asyncio.Semaphore(max(1, in_flight))
        self._closed = False
        self._unary = {
            stage: grpc_channel.unary_unary(
                f"/gateway.Gateway/{method}",
                request_serializer=_serialize,
                response_deserializer=response.FromString,
            )
            for stage, (method, response, _) in _STAGES.items()
        }
        self._chaincode_events = grpc_channel.unary_stream(
            "/gateway.Gateway/ChaincodeEvents",
            request_serializer=_serialize,
            response_deserializer=gateway_pb2.ChaincodeEventsResponse.FromString,
        )
        self._deliver = {
            kind: grpc_channel.stream_stream(
                f"/protos.Deliver/{method}",
                request_serializer=_serialize,
                response_deserializer=events_pb2.DeliverResponse.FromString,
            )
            for kind, method in zip(DELIVER_KINDS, _METHODS, strict=True)
        }

    async def call(
        self, stage: str, request: Any, transaction_id: str, options: CallOptions | None = None
    ) -> Any:
        """One unary call; a peer that refuses it as one too many is asked again within the timeout.

        Raises:
            EvaluateError, EndorseError, SubmitError, CommitStatusError: the stage's.
            GatewayClosed.
        """
        chosen = self._merge(stage, options)
        kind = _STAGES[stage][2]
        deadline = None if chosen.timeout is None else time.monotonic() + chosen.timeout
        refusals = 0
        async with self._slot(kind, transaction_id, chosen.timeout):
            while True:
                left = None if deadline is None else max(0.001, deadline - time.monotonic())
                try:
                    return await self._unary[stage](
                        request,
                        timeout=left,
                        metadata=chosen.metadata or None,
                        wait_for_ready=chosen.wait_for_ready or None,
                    )
                except grpc.aio.AioRpcError as error:
                    failure = translate(kind, error, transaction_id)
                    refusals += 1
                    pause = _BUSY.pause(refusals)
                    if not failure.is_busy or (left is not None and pause >= left):
                        raise failure from error
                except (asyncio.CancelledError, grpc.aio.UsageError) as error:
                    # Closing the gRPC channel cancels its calls; so does whoever cancels this task.
                    if not self._closed:
                        raise
                    raise GatewayClosed("the gateway was closed", transaction_id=transaction_id) from error
                await asyncio.sleep(pause)

    def chaincode_events(self, request: Any, options: CallOptions | None) -> Any:
        """The gRPC call of a stream of chaincode events."""
        self._check_open()
        chosen = self._merge("chaincode_events", options)
        return self._chaincode_events(
            request, timeout=chosen.timeout, metadata=chosen.metadata or None, wait_for_ready=True
        )

    def deliver(self, kind: str, options: CallOptions | None, *, wait_for_ready: bool) -> Any:
        """The gRPC call of a stream of blocks; the envelope is to be written to it."""
        self._check_open()
        chosen = self._merge("block_events", options)
        return self._deliver[kind](
            timeout=chosen.timeout, metadata=chosen.metadata or None, wait_for_ready=wait_for_ready
        )

    async def close(self) -> None:
        """End every call; the gRPC channel too, where this client opened it."""
        if not self._closed:
            self._closed = True
            if self._owns_channel:
                await self._grpc_channel.close()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def _check_open(self, transaction_id: str = "") -> None:
        if self._closed:
            raise GatewayClosed("the gateway was closed", transaction_id=transaction_id)

    @asynccontextmanager
    async def _slot(
        self, kind: type[GatewayError], transaction_id: str, timeout: float | None
    ) -> AsyncIterator[None]:
        self._check_open(transaction_id)
        if self._slots.locked():
            try:
                async with asyncio.timeout(timeout):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise kind(
                    "too many calls under way: none ended within the timeout",
                    transaction_id=transaction_id,
                    code=grpc.StatusCode.RESOURCE_EXHAUSTED,
                ) from error
        else:
            await self._slots.acquire()
        try:
            self._check_open(transaction_id)
            yield
        finally:
            self._slots.release()

    def _merge(self, stage: str, options: CallOptions | None) -> CallOptions:
        general = self._options[stage]
        if options is None:
            return general
        return CallOptions(
            timeout=general.timeout if options.timeout is None else options.timeout,
            metadata=general.metadata + options.metadata,
            wait_for_ready=options.wait_for_ready or general.wait_for_ready,
        )
