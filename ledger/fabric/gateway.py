"""The way in: ``connect`` to a peer, choose a network (channel) and a contract (chaincode)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2

from .backoff import Backoff
from .checkpoints import Checkpoint
from .client import DEFAULT_IN_FLIGHT, Client
from .connection import CallOptions, Endpoint
from .errors import CommitError
from .events import (
    RECONNECT,
    BlockEventsRequest,
    ChaincodeEvent,
    ChaincodeEventsRequest,
    Events,
)
from .identities import Hash, Identity, Sign, SigningIdentity, sha256
from .messages import Argument, Seek, build_proposal, parse, seek_payload
from .transactions import Commit, Proposal, SubmittedTransaction, Transaction

__all__ = ["Contract", "Gateway", "Network", "connect"]


def connect(
    peer: Endpoint | Any,
    identity: Identity,
    *,
    sign: Sign | None = None,
    hash: Hash = sha256,  # noqa: A002 - the official clients' word
    tls_certificate_hash: bytes | None = None,
    in_flight: int = DEFAULT_IN_FLIGHT,
    options: Mapping[str, CallOptions] | None = None,
) -> Gateway:
    """A gateway over one peer. Call it inside a running event loop, and use the result there alone.

    Args:
        peer: where the peer is; or a ``grpc.aio.Channel``, which stays the caller's to close.
        identity: who asks.
        sign: signs digests; without it every message is signed elsewhere (``new_signed_…``).
        hash: makes the digests.
        tls_certificate_hash: of the client's TLS certificate; an ``Endpoint`` knows its own.
        in_flight: how many calls may be under way at once; further ones wait.
        options: by stage (``evaluate``, ``endorse``, ``submit``, ``commit_status``, ``chaincode_events``,
            ``block_events``), in place of ``DEFAULT_OPTIONS``.

    Returns:
        The gateway. Nothing has been sent yet: a peer that is not there shows at the first call.
    """
    is_endpoint = isinstance(peer, Endpoint)
    client = Client(
        peer.open() if is_endpoint else peer,
        owns_channel=is_endpoint,
        in_flight=in_flight,
        options=options or {},
    )
    if tls_certificate_hash is None and is_endpoint:
        tls_certificate_hash = peer.tls_certificate_hash
    return Gateway(client, SigningIdentity(identity, sign, hash), tls_certificate_hash)


class Gateway:
    """One identity's connection to one peer; ``async with`` closes it."""

    def __init__(self, client: Client, signer: SigningIdentity, tls_certificate_hash: bytes | None) -> None:
        self._client = client
        self._signer = signer
        self._tls_certificate_hash = tls_certificate_hash

    @property
    def identity(self) -> Identity:
        """Who asks."""
        return self._signer.identity

    def get_network(self, channel: str) -> Network:
        """A channel of the peer."""
        return Network(self._client, self._signer, channel, self._tls_certificate_hash)

    async def close(self) -> None:
        """End every call and stream; further ones raise GatewayClosed."""
        await self._client.close()

    async def __aenter__(self) -> Gateway:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -------------------------------------------------------------- messages signed elsewhere

    def new_proposal(self, raw: bytes) -> Proposal:
        """From ``Proposal.get_bytes()``."""
        return Proposal.from_bytes(self._client, self._signer, raw, b"")

    def new_signed_proposal(self, raw: bytes, signature: bytes) -> Proposal:
        """From ``Proposal.get_bytes()`` and a signature of its digest."""
        return Proposal.from_bytes(self._client, self._signer, raw, signature)

    def new_transaction(self, raw: bytes) -> Transaction:
        """From ``Transaction.get_bytes()``."""
        return Transaction.from_bytes(self._client, self._signer, raw, b"")

    def new_signed_transaction(self, raw: bytes, signature: bytes) -> Transaction:
        """From ``Transaction.get_bytes()`` and a signature of its digest."""
        return Transaction.from_bytes(self._client, self._signer, raw, signature)

    def new_commit(self, raw: bytes) -> Commit:
        """From ``Commit.get_bytes()``."""
        return Commit.from_bytes(self._client, self._signer, raw, b"")

    def new_signed_commit(self, raw: bytes, signature: bytes) -> Commit:
        """From ``Commit.get_bytes()`` and a signature of its digest."""
        return Commit.from_bytes(self._client, self._signer, raw, signature)

    def new_signed_chaincode_events_request(self, raw: bytes, signature: bytes) -> ChaincodeEventsRequest:
        """From ``ChaincodeEventsRequest.get_bytes()`` and a signature of its digest."""
        message = parse(gateway_pb2.SignedChaincodeEventsRequest, raw, "chaincode events request").request
        parse(gateway_pb2.ChaincodeEventsRequest, message, "chaincode events request")
        return ChaincodeEventsRequest(self._client, self._signer, bytes(message), signature=signature)

    def new_signed_block_events_request(self, raw: bytes, signature: bytes) -> BlockEventsRequest:
        """From ``BlockEventsRequest.get_bytes()`` and a signature of its digest."""
        return self._blocks("block", raw, signature)

    def new_signed_filtered_block_events_request(self, raw: bytes, signature: bytes) -> BlockEventsRequest:
        """As ``new_signed_block_events_request``, for filtered blocks."""
        return self._blocks("filtered_block", raw, signature)

    def new_signed_block_and_private_data_events_request(
        self, raw: bytes, signature: bytes
    ) -> BlockEventsRequest:
        """As ``new_signed_block_events_request``, for blocks with private data."""
        return self._blocks("block_and_private_data", raw, signature)

    def _blocks(self, kind: str, raw: bytes, signature: bytes) -> BlockEventsRequest:
        payload = bytes(parse(common_pb2.Envelope, raw, "block events request").payload)
        parse(common_pb2.Payload, payload, "block events request")
        return BlockEventsRequest(self._client, self._signer, kind, payload, signature=signature)


class Network:
    """A channel."""

    def __init__(
        self, client: Client, signer: SigningIdentity, channel: str, tls_certificate_hash: bytes | None
    ) -> None:
        self._client = client
        self._signer = signer
        self._tls_certificate_hash = tls_certificate_hash
        self.name = channel

    def get_contract(self, chaincode: str, contract: str = "") -> Contract:
        """A chaincode; of one that holds several contracts, the one of that name."""
        return Contract(self._client, self._signer, self.name, chaincode, contract)

    # -------------------------------------------------------------- chaincode events

    def new_chaincode_events_request(
        self,
        chaincode: str,
        *,
        start_block: int | None = None,
        checkpoint: Checkpoint | None = None,
        reconnect: Backoff | None = RECONNECT,
    ) -> ChaincodeEventsRequest:
        """The request alone, for signing elsewhere; see ``get_chaincode_events``."""
        message = ChaincodeEventsRequest.message(self._signer, self.name, chaincode, start_block, checkpoint)
        return ChaincodeEventsRequest(
            self._client,
            self._signer,
            message,
            reconnect=reconnect if self._signer.can_sign else None,
            tls_certificate_hash=self._tls_certificate_hash,
        )

    def get_chaincode_events(
        self,
        chaincode: str,
        *,
        start_block: int | None = None,
        checkpoint: Checkpoint | None = None,
        reconnect: Backoff | None = RECONNECT,
        options: CallOptions | None = None,
    ) -> Events[ChaincodeEvent]:
        """The events of a chaincode's valid transactions, each once, in the chain's order.

        Args:
            chaincode: its name.
            start_block: where to begin; by default with the next block that is committed after the stream was
                opened, also where it is lost before that comes.
            checkpoint: takes precedence over ``start_block`` once it has seen anything.
            reconnect: how a lost stream is opened again, where it was; None to raise instead.
            options: of the call.
        """
        request = self.new_chaincode_events_request(
            chaincode, start_block=start_block, checkpoint=checkpoint, reconnect=reconnect
        )
        return request.get_events(options)

    # -------------------------------------------------------------- blocks

    def new_block_events_request(
        self,
        *,
        start_block: Seek = None,
        checkpoint: Checkpoint | None = None,
        stop_block: Seek = None,
        kind: str = "block",
        reconnect: Backoff | None = RECONNECT,
    ) -> BlockEventsRequest:
        """The request alone, for signing elsewhere; see ``get_block_events``.

        Args:
            kind: ``block``, ``filtered_block`` or ``block_and_private_data``.
        """
        if checkpoint is not None and checkpoint.block_number is not None:
            start_block = checkpoint.block_number
        bounds = {} if stop_block is None else {"stop": stop_block}
        payload = seek_payload(
            self.name,
            self._signer.creator,
            start_block,
            tls_certificate_hash=self._tls_certificate_hash,
            **bounds,
        )
        return BlockEventsRequest(
            self._client,
            self._signer,
            kind,
            payload,
            reconnect=reconnect if stop_block is None and self._signer.can_sign else None,
            tls_certificate_hash=self._tls_certificate_hash,
        )

    def get_block_events(self, **request: Any) -> Events[Any]:
        """Blocks (``common.Block``), each once, in order.

        Keyword arguments:
            start_block: a number, ``"newest"``, or None for the next block that is committed after the stream
                was opened, also where it is lost before that comes.
            checkpoint: takes precedence over ``start_block`` once it has seen anything.
            stop_block: the last block, which must be there; without it the stream never ends by itself.
            reconnect: how a lost stream is opened again, where it was; None to raise instead.
            options: of the call.
        """
        return self._get("block", request)

    def get_filtered_block_events(self, **request: Any) -> Events[Any]:
        """Filtered blocks (``peer.FilteredBlock``): transaction ids and validation codes alone."""
        return self._get("filtered_block", request)

    def get_block_and_private_data_events(self, **request: Any) -> Events[Any]:
        """Blocks with the private data that the identity may see (``peer.BlockAndPrivateData``)."""
        return self._get("block_and_private_data", request)

    def _get(self, kind: str, request: dict[str, Any]) -> Events[Any]:
        options = request.pop("options", None)
        return self.new_block_events_request(kind=kind, **request).get_events(options)


class Contract:
    """A chaincode on a channel."""

    def __init__(
        self, client: Client, signer: SigningIdentity, channel: str, chaincode: str, contract: str
    ) -> None:
        self._client = client
        self._signer = signer
        self._channel = channel
        self.chaincode_name = chaincode
        self.contract_name = contract

    @property
    def msp_id(self) -> str:
        """The caller's organisation."""
        return self._signer.identity.msp_id

    def new_proposal(
        self,
        transaction_name: str,
        arguments: Sequence[Argument] = (),
        *,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> Proposal:
        """A call under a fresh transaction id.

        Args:
            transaction_name: the contract's function.
            arguments: text is sent as UTF-8.
            transient: given to the chaincode, never recorded.
            endorsing_organizations: MSP ids of those who are to endorse (or, of whom one is to evaluate);
                by default the peer finds who satisfies the policy.
        """
        name = f"{self.contract_name}:{transaction_name}" if self.contract_name else transaction_name
        identifier, proposal = build_proposal(
            self._channel,
            self.chaincode_name,
            (name, *arguments),
            self._signer.creator,
            transient=transient,
        )
        return Proposal(
            self._client, self._signer, self._channel, identifier, proposal, endorsing_organizations
        )

    async def evaluate_transaction(self, name: str, *arguments: Argument) -> bytes:
        """Evaluate, and give the result.

        Raises:
            EvaluateError.
        """
        return await self.new_proposal(name, arguments).evaluate()

    async def submit_transaction(self, name: str, *arguments: Argument) -> bytes:
        """Endorse, submit, wait for the commit, and give the result.

        Raises:
            EndorseError, SubmitError, CommitStatusError, CommitError.
        """
        submitted = await self.submit_async(name, arguments)
        status = await submitted.get_status()
        if not status.successful:
            raise CommitError(status.code, status.transaction_id, status.block_number)
        return submitted.get_result()

    async def submit_async(
        self,
        transaction_name: str,
        arguments: Sequence[Argument] = (),
        *,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
    ) -> SubmittedTransaction:
        """Endorse and submit; the commit can be waited for later.

        Raises:
            EndorseError, SubmitError.
        """
        proposal = self.new_proposal(
            transaction_name,
            arguments,
            transient=transient,
            endorsing_organizations=endorsing_organizations,
        )
        transaction = await proposal.endorse()
        return await transaction.submit()
