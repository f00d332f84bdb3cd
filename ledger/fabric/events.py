"""Streams of blocks and of chaincode events, which go on after a lost connection where they were."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

import grpc
import grpc.aio
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2

from .backoff import Backoff
from .checkpoints import Checkpoint
from .client import Client
from .connection import CallOptions
from .errors import EventsError, GatewayClosed, translate
from .identities import SigningIdentity
from .messages import parse, seek_payload, seek_position

__all__ = [
    "BlockEventsRequest",
    "ChaincodeEvent",
    "ChaincodeEventsRequest",
    "Events",
    "EventsRequest",
]

T = TypeVar("T")


RECONNECT: Final = Backoff()


@dataclass(frozen=True)
class ChaincodeEvent:
    """What a contract emitted in a valid transaction."""

    block_number: int
    transaction_id: str
    chaincode_name: str
    event_name: str
    payload: bytes


class Events(Generic[T]):
    """An async iterator that ends its stream when it is closed; use it ``async with``."""

    def __init__(self, source: AsyncGenerator[T, None]) -> None:
        self._source = source

    def __aiter__(self) -> Events[T]:
        return self

    async def __anext__(self) -> T:
        return await self._source.__anext__()

    async def close(self) -> None:
        """End the stream."""
        await self._source.aclose()

    async def __aenter__(self) -> Events[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class EventsRequest(ABC, Generic[T]):
    """What both kinds of request have in common: bytes to sign, and connecting again.

    A request that was signed elsewhere says one position and cannot be written anew: its stream ends with the
    first fault, and whoever signs makes another from a checkpoint.
    """

    def __init__(
        self,
        client: Client,
        signer: SigningIdentity,
        message: bytes,
        signature: bytes,
        reconnect: Backoff | None,
        tls_certificate_hash: bytes | None,
    ) -> None:
        self._client = client
        self._signer = signer
        self._message = message
        self._signature = signature
        self._reconnect = reconnect
        self._tls_certificate_hash = tls_certificate_hash

    @abstractmethod
    def get_bytes(self) -> bytes:
        """The request, serialised."""

    def get_digest(self) -> bytes:
        """What is to be signed."""
        return self._signer.hash(self._message)

    def get_events(self, options: CallOptions | None = None) -> Events[T]:
        """Open the stream when it is first read.

        The iterator raises EventsError when a new connection cannot help (the channel is not there, the peer
        refuses the identity), or at the first fault where connecting again was not asked for.
        """
        return Events(self._follow(options))

    async def _follow(self, options: CallOptions | None) -> AsyncGenerator[T, None]:
        failures = 0
        while True:
            try:
                if self._reconnect is not None:
                    await self._settle(options)
                async with aclosing(self._stream(options)) as stream:
                    async for each in stream:
                        failures = 0
                        yield each
                return
            except EventsError as error:
                if self._reconnect is None or not error.is_passing:
                    raise
            failures += 1
            await asyncio.sleep(self._reconnect.pause(failures))
            self._message, self._signature = self._resume(), b""

    async def _settle(self, options: CallOptions | None) -> None:
        """Say by its number which block is the next: asked for "the next" again, a lost stream would skip all
        that was committed meanwhile.
        """
        channel, position = self._start()
        if not position.HasField("next_commit"):
            return
        payload = seek_payload(
            channel,
            self._signer.creator,
            "newest",
            stop="newest",
            tls_certificate_hash=self._tls_certificate_hash,
        )
        newest = BlockEventsRequest(
            self._client,
            self._signer,
            "filtered_block",
            payload,
            tls_certificate_hash=self._tls_certificate_hash,
        )
        async with newest.get_events(options) as blocks:
            async for block in blocks:
                self._message, self._signature = self._begin(int(block.number) + 1), b""
                return
        raise EventsError("the peer hands out no newest block")

    async def _sign(self) -> bytes:
        if not self._signature:
            self._signature = await self._signer.sign(self._message)
        return self._signature

    @abstractmethod
    def _stream(self, options: CallOptions | None) -> AsyncGenerator[T, None]:
        """One connection's items."""

    @abstractmethod
    def _resume(self) -> bytes:
        """The message, but beginning after what was seen."""

    @abstractmethod
    def _start(self) -> tuple[str, Any]:
        """The channel, and where the message begins (``orderer.SeekPosition``)."""

    @abstractmethod
    def _begin(self, number: int) -> bytes:
        """The message, but beginning with a block."""

    def _failed(self, error: BaseException) -> EventsError | GatewayClosed:
        if self._client.is_closed:
            return GatewayClosed("the gateway was closed")
        if isinstance(error, grpc.RpcError):
            failure = translate(EventsError, error)
            assert isinstance(failure, EventsError)
            return failure
        raise error


class BlockEventsRequest(EventsRequest[Any]):
    """A request for blocks, filtered blocks, or blocks with private data: see ``Network``."""

    def __init__(
        self,
        client: Client,
        signer: SigningIdentity,
        kind: str,
        message: bytes,
        *,
        signature: bytes = b"",
        reconnect: Backoff | None = None,
        tls_certificate_hash: bytes | None = None,
    ) -> None:
        super().__init__(client, signer, message, signature, reconnect, tls_certificate_hash)
        self._kind = kind
        self._next: int | None = None

    def get_bytes(self) -> bytes:
        """The request, serialised as ``common.Envelope``."""
        return bytes(self._envelope().SerializeToString())

    async def _stream(self, options: CallOptions | None) -> AsyncGenerator[Any, None]:
        await self._sign()
        # A first connection that fails is told; a lost one is waited for.
        call = self._client.deliver(self._kind, options, wait_for_ready=self._next is not None)
        try:
            await call.write(self._envelope())
            await call.done_writing()
            async for response in call:
                kind = response.WhichOneof("Type")
                if kind == "status":
                    if response.status == common_pb2.Status.SUCCESS:
                        return
                    name = common_pb2.Status.Name(response.status)
                    raise EventsError(f"the peer ended the stream: {name}", deliver_status=name)
                found = getattr(response, self._kind)
                self._next = _number(self._kind, found) + 1
                yield found
            raise EventsError("the peer ended the stream")
        except (
            grpc.RpcError,
            grpc.aio.UsageError,
            asyncio.CancelledError,
            asyncio.InvalidStateError,
        ) as error:
            if isinstance(error, asyncio.InvalidStateError):  # written to a call that has failed already
                error = await _cause(call, error)
            raise self._failed(error) from error
        finally:
            call.cancel()

    def _resume(self) -> bytes:
        return self._message if self._next is None else self._begin(self._next)

    def _start(self) -> tuple[str, Any]:
        payload = parse(common_pb2.Payload, self._message, "payload")
        channel = parse(common_pb2.ChannelHeader, payload.header.channel_header, "channel header")
        return str(channel.channel_id), parse(ab_pb2.SeekInfo, payload.data, "seek info").start

    def _begin(self, number: int) -> bytes:
        channel, _ = self._start()
        return seek_payload(
            channel, self._signer.creator, number, tls_certificate_hash=self._tls_certificate_hash
        )

    def _envelope(self) -> Any:
        return common_pb2.Envelope(payload=self._message, signature=self._signature)


async def _cause(call: Any, error: BaseException) -> BaseException:
    code = await call.code()
    if code == grpc.StatusCode.OK:
        return error
    failed: BaseException = grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), details=await call.details()
    )
    return failed


def _number(kind: str, found: Any) -> int:
    if kind == "block":
        return int(found.header.number)
    return int(found.number if kind == "filtered_block" else found.block.header.number)


class ChaincodeEventsRequest(EventsRequest[ChaincodeEvent]):
    """A request for the events of one chaincode."""

    def __init__(
        self,
        client: Client,
        signer: SigningIdentity,
        message: bytes,
        *,
        signature: bytes = b"",
        reconnect: Backoff | None = None,
        tls_certificate_hash: bytes | None = None,
    ) -> None:
        super().__init__(client, signer, message, signature, reconnect, tls_certificate_hash)
        self._last: ChaincodeEvent | None = None

    @staticmethod
    def message(
        signer: SigningIdentity,
        channel: str,
        chaincode: str,
        start_block: int | None,
        checkpoint: Checkpoint | None,
    ) -> bytes:
        """``gateway.ChaincodeEventsRequest``, to be signed."""
        after = None
        if checkpoint is not None and checkpoint.block_number is not None:
            start_block, after = checkpoint.block_number, checkpoint.transaction_id
        request = gateway_pb2.ChaincodeEventsRequest(
            channel_id=channel,
            chaincode_id=chaincode,
            identity=signer.creator,
            start_position=seek_position(start_block),
            after_transaction_id=after,
        )
        return bytes(request.SerializeToString())

    def get_bytes(self) -> bytes:
        """The request, serialised as ``gateway.SignedChaincodeEventsRequest``."""
        return bytes(self._signed().SerializeToString())

    async def _stream(self, options: CallOptions | None) -> AsyncGenerator[ChaincodeEvent, None]:
        await self._sign()
        call = self._client.chaincode_events(self._signed(), options)
        try:
            async for response in call:
                for event in response.events:
                    self._last = ChaincodeEvent(
                        int(response.block_number),
                        event.tx_id,
                        event.chaincode_id,
                        event.event_name,
                        bytes(event.payload),
                    )
                    yield self._last
            raise EventsError("the peer ended the stream")
        except (grpc.RpcError, grpc.aio.UsageError, asyncio.CancelledError) as error:
            raise self._failed(error) from error
        finally:
            call.cancel()

    def _resume(self) -> bytes:
        if self._last is None:
            return self._message
        return self._begin(self._last.block_number, self._last.transaction_id)

    def _start(self) -> tuple[str, Any]:
        request = parse(gateway_pb2.ChaincodeEventsRequest, self._message, "request")
        return str(request.channel_id), request.start_position

    def _begin(self, number: int, after: str = "") -> bytes:
        request = parse(gateway_pb2.ChaincodeEventsRequest, self._message, "request")
        request.start_position.CopyFrom(seek_position(number))
        request.after_transaction_id = after
        return bytes(request.SerializeToString())

    def _signed(self) -> Any:
        return gateway_pb2.SignedChaincodeEventsRequest(request=self._message, signature=self._signature)
