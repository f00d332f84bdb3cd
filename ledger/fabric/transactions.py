"""A transaction's stages: a proposal is endorsed, what comes of it is submitted, and its commit is awaited.

Every stage can be signed elsewhere: ``get_bytes`` and ``get_digest`` go to where the key is, and the bytes
come back with a signature through the gateway's ``new_signed_…``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import proposal_pb2, transaction_pb2

from .client import Client
from .connection import CallOptions
from .errors import MalformedMessage
from .identities import SigningIdentity
from .messages import PreparedParts, parse, proposal_channel, read_prepared

__all__ = ["Commit", "Proposal", "Status", "SubmittedTransaction", "Transaction"]

_VALID = transaction_pb2.TxValidationCode.VALID


@dataclass(frozen=True)
class Status:
    """What became of a transaction that stands in a block."""

    transaction_id: str
    block_number: int
    code: int
    """``TxValidationCode``."""

    @property
    def successful(self) -> bool:
        """Whether it had an effect."""
        return bool(self.code == _VALID)


class Proposal:
    """A call that can be evaluated, or endorsed to become a transaction."""

    def __init__(
        self,
        client: Client,
        signer: SigningIdentity,
        channel: str,
        transaction_id: str,
        proposal: bytes,
        organizations: Sequence[str] = (),
        signature: bytes = b"",
    ) -> None:
        self._client = client
        self._signer = signer
        self._channel = channel
        self._proposal = proposal
        self._organizations = tuple(organizations)
        self._signature = signature
        self.transaction_id = transaction_id

    @classmethod
    def from_bytes(cls, client: Client, signer: SigningIdentity, raw: bytes, signature: bytes) -> Proposal:
        """Read what ``get_bytes`` gave.

        Raises:
            MalformedMessage.
        """
        message = parse(gateway_pb2.ProposedTransaction, raw, "proposal")
        inner = bytes(message.proposal.proposal_bytes)
        return cls(
            client,
            signer,
            proposal_channel(inner),
            message.transaction_id,
            inner,
            tuple(message.endorsing_organizations),
            signature or bytes(message.proposal.signature),
        )

    def get_bytes(self) -> bytes:
        """The proposal, serialised as ``gateway.ProposedTransaction``."""
        return bytes(
            gateway_pb2.ProposedTransaction(
                transaction_id=self.transaction_id,
                proposal=self._signed(),
                endorsing_organizations=self._organizations,
            ).SerializeToString()
        )

    def get_digest(self) -> bytes:
        """What is to be signed."""
        return self._signer.hash(self._proposal)

    async def evaluate(self, options: CallOptions | None = None) -> bytes:
        """Run the call on one peer and give its result; nothing is recorded.

        Raises:
            EvaluateError.
        """
        await self._sign()
        request = gateway_pb2.EvaluateRequest(
            transaction_id=self.transaction_id,
            channel_id=self._channel,
            proposed_transaction=self._signed(),
            target_organizations=self._organizations,
        )
        response = await self._client.call("evaluate", request, self.transaction_id, options)
        return bytes(response.result.payload)

    async def endorse(self, options: CallOptions | None = None) -> Transaction:
        """Have peers endorse the call, as many as its policy wants.

        Raises:
            EndorseError.
        """
        await self._sign()
        request = gateway_pb2.EndorseRequest(
            transaction_id=self.transaction_id,
            channel_id=self._channel,
            proposed_transaction=self._signed(),
            endorsing_organizations=self._organizations,
        )
        response = await self._client.call("endorse", request, self.transaction_id, options)
        payload = bytes(response.prepared_transaction.payload)
        return Transaction(self._client, self._signer, self.transaction_id, payload)

    async def _sign(self) -> None:
        if not self._signature:
            self._signature = await self._signer.sign(self._proposal)

    def _signed(self) -> Any:
        return proposal_pb2.SignedProposal(proposal_bytes=self._proposal, signature=self._signature)


class Transaction:
    """An endorsed call, ready to be ordered. Its result holds once it is committed."""

    def __init__(
        self,
        client: Client,
        signer: SigningIdentity,
        transaction_id: str,
        payload: bytes,
        signature: bytes = b"",
    ) -> None:
        self._client = client
        self._signer = signer
        self._payload = payload
        self._signature = signature
        self._parts: PreparedParts | None = None
        self.transaction_id = transaction_id

    @classmethod
    def from_bytes(cls, client: Client, signer: SigningIdentity, raw: bytes, signature: bytes) -> Transaction:
        """Read what ``get_bytes`` gave.

        Raises:
            MalformedMessage.
        """
        message = parse(gateway_pb2.PreparedTransaction, raw, "prepared transaction")
        envelope = message.envelope
        read_prepared(bytes(envelope.payload))
        return cls(
            client,
            signer,
            message.transaction_id,
            bytes(envelope.payload),
            signature or bytes(envelope.signature),
        )

    def get_bytes(self) -> bytes:
        """The transaction, serialised as ``gateway.PreparedTransaction``."""
        return bytes(
            gateway_pb2.PreparedTransaction(
                transaction_id=self.transaction_id, envelope=self._envelope()
            ).SerializeToString()
        )

    def get_digest(self) -> bytes:
        """What is to be signed."""
        return self._signer.hash(self._payload)

    def get_result(self) -> bytes:
        """What the chaincode answered."""
        return self._read().result

    def get_endorsers(self) -> tuple[str, ...]:
        """MSP ids of the organisations whose peers endorsed, one an endorsement.

        Raises:
            MalformedMessage: one of them is no identity.
        """
        return tuple(
            str(parse(identities_pb2.SerializedIdentity, each, "endorser").mspid)
            for each in self._read().endorsers
        )

    async def submit(self, options: CallOptions | None = None) -> SubmittedTransaction:
        """Hand the transaction to the ordering service. It may be handed over again: it is recorded once.

        Raises:
            SubmitError: unless ``is_definite``, it may have been taken all the same.
        """
        if not self._signature:
            self._signature = await self._signer.sign(self._payload)
        request = gateway_pb2.SubmitRequest(
            transaction_id=self.transaction_id,
            channel_id=self._read().channel,
            prepared_transaction=self._envelope(),
        )
        await self._client.call("submit", request, self.transaction_id, options)
        return self.submitted()

    def submitted(self) -> SubmittedTransaction:
        """The commit to wait for, without submitting: for when it is not known whether that succeeded."""
        request = gateway_pb2.CommitStatusRequest(
            transaction_id=self.transaction_id,
            channel_id=self._read().channel,
            identity=self._signer.creator,
        )
        return SubmittedTransaction(
            self._client,
            self._signer,
            self.transaction_id,
            bytes(request.SerializeToString()),
            result=self._read().result,
        )

    def _read(self) -> PreparedParts:
        if self._parts is None:
            self._parts = read_prepared(self._payload)
        return self._parts

    def _envelope(self) -> Any:
        return common_pb2.Envelope(payload=self._payload, signature=self._signature)


class Commit:
    """A transaction's commit, which can be waited for."""

    def __init__(
        self,
        client: Client,
        signer: SigningIdentity,
        transaction_id: str,
        request: bytes,
        signature: bytes = b"",
    ) -> None:
        self._client = client
        self._signer = signer
        self._request = request
        self._signature = signature
        self.transaction_id = transaction_id

    @classmethod
    def from_bytes(cls, client: Client, signer: SigningIdentity, raw: bytes, signature: bytes) -> Commit:
        """Read what ``get_bytes`` gave.

        Raises:
            MalformedMessage.
        """
        message = parse(gateway_pb2.SignedCommitStatusRequest, raw, "commit status request")
        request = parse(gateway_pb2.CommitStatusRequest, message.request, "commit status request")
        if not request.transaction_id:
            raise MalformedMessage("the commit status request names no transaction")
        signed = signature or bytes(message.signature)
        return cls(client, signer, request.transaction_id, bytes(message.request), signed)

    def get_bytes(self) -> bytes:
        """The request, serialised as ``gateway.SignedCommitStatusRequest``."""
        return bytes(self._signed().SerializeToString())

    def get_digest(self) -> bytes:
        """What is to be signed."""
        return self._signer.hash(self._request)

    async def get_status(self, options: CallOptions | None = None) -> Status:
        """Wait until the transaction stands in a block, and say what became of it.

        Raises:
            CommitStatusError: among others when the time is up.
        """
        if not self._signature:
            self._signature = await self._signer.sign(self._request)
        response = await self._client.call("commit_status", self._signed(), self.transaction_id, options)
        return Status(self.transaction_id, int(response.block_number), int(response.result))

    def _signed(self) -> Any:
        return gateway_pb2.SignedCommitStatusRequest(request=self._request, signature=self._signature)


class SubmittedTransaction(Commit):
    """The commit of a transaction submitted here, with its result."""

    def __init__(
        self, client: Client, signer: SigningIdentity, transaction_id: str, request: bytes, *, result: bytes
    ) -> None:
        super().__init__(client, signer, transaction_id, request)
        self._result = result

    def get_result(self) -> bytes:
        """What the chaincode answered; it holds if the commit is successful."""
        return self._result
